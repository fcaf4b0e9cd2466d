"""The package from outside: its door, and what a release says of it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import sentry_langchain_stream
from tests.kit import HANG, REPOSITORY, lean_environment


def test_what_is_public_is_there() -> None:
    """Each public name can be had, and another one cannot."""
    for name in sentry_langchain_stream.__all__:
        assert getattr(sentry_langchain_stream, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sentry_langchain_stream.nothing  # noqa: B018


def test_the_package_alone_loads_neither_library() -> None:
    """Pytest loads the package for its plugin in every run: that costs next to nothing."""
    script = (
        "import sys, sentry_langchain_stream.pytest_plugin\n"
        "print([name for name in ('langchain_core', 'sentry_sdk') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=HANG)
    assert done.stdout.strip() == "[]"


def test_a_handler_loads_no_other_package() -> None:
    """An application with a model and Sentry has all that a handler needs: it loads no client library for it."""
    script = (
        "import sys, langchain_core.language_models.chat_models, sentry_sdk\n"
        "packages = lambda: {name.partition('.')[0] for name in sys.modules} - {*sys.stdlib_module_names}\n"
        "before = packages()\n"
        "from sentry_langchain_stream import SentryStreamHandler\n"
        "SentryStreamHandler()\n"
        "print(sorted(packages() - before), 'sentry_sdk.integrations.langchain' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=HANG)
    assert done.stdout.strip() == "['sentry_langchain_stream'] False"


def test_a_release_works_outside_of_the_checkout(tmp_path: Path) -> None:
    """The sdist makes a wheel that has the package, its types, its licence and its plugin, and that works."""
    pytest.importorskip("hatchling")

    def run(*arguments: str, folder: Path, path: Sequence[Path] = ()) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=folder, env=lean_environment(*path), capture_output=True, timeout=HANG
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def build(kind: str, folder: Path) -> Path:
        run("-c", f"import hatchling.build as b; b.build_{kind}({str(tmp_path)!r})", folder=folder)
        return next(each for each in tmp_path.iterdir() if each.suffix == (".gz" if kind == "sdist" else ".whl"))

    with tarfile.open(build("sdist", REPOSITORY)) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    with zipfile.ZipFile(build("wheel", unpacked)) as wheel:
        wheel.extractall(tmp_path / "site-packages")
    told = run(
        str(REPOSITORY / "tests" / "kit" / "apps" / "installed.py"),
        folder=tmp_path,
        path=[tmp_path / "site-packages"],
    )
    assert told.startswith("installed and at work")
