"""A test is skipped for what it cannot have here, and for nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sentry_sdk.consts import VERSION

import sentry_langchain_stream
from tests.kit import HANG, REPOSITORY, absent

PACKAGE = Path(sentry_langchain_stream.__file__).parent


def failing(code: str, file: Path) -> BaseException:
    """The exception of this code, as if it stood in this file."""
    with pytest.raises((ImportError, TypeError)) as raised:
        exec(compile(code, str(file), "exec"), {})
    return raised.value


@pytest.fixture(autouse=True)
def without_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery is one of the extras, and here there is none."""
    monkeypatch.setitem(sys.modules, "celery", None)


@pytest.mark.parametrize(
    "file", [Path(__file__), PACKAGE / "demo" / "story.py", PACKAGE / "cli.py", Path("README.md:3")]
)
def test_a_missing_extra_is_a_reason(file: Path) -> None:
    """A test may be skipped if it, the demo or a page imports a package of an extra that is not installed."""
    assert absent.reason(failing("import celery.app", file)) == "needs celery, which is not installed"


@pytest.mark.parametrize("room", ["handler.py", "_to_sentry/span_models.py", "doctor/probe.py"])
def test_the_package_itself_has_no_excuse(room: str) -> None:
    """A module that must work without the extras, and imports one, makes the test fail."""
    assert absent.reason(failing("import celery", PACKAGE / room)) is None


def test_an_unknown_package_is_no_reason() -> None:
    """A package that is in no extra is a mistake of the test."""
    assert absent.reason(failing("import no_such_package", Path(__file__))) is None


@pytest.mark.parametrize(("option", "is_reason"), [("data_collection", True), ("no_such_option", False)])
def test_an_option_that_the_sdk_does_not_have(option: str, is_reason: bool) -> None:
    """Options that came with a later SDK are a reason, misspelt ones are not."""
    why = absent.reason(TypeError(f"Unknown option {option!r}"))
    assert why == (f"needs the option {option!r}, which sentry-sdk {VERSION} does not have" if is_reason else None)


def test_files_and_tests_are_skipped_with_the_reason(tmp_path: Path) -> None:
    """Both a file that imports what is missing and a test that does say what they lack; others run."""
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\nimport sys; sys.modules['celery'] = None\n")
    (tmp_path / "test_whole.py").write_text("import celery\ndef test_it(): pass\n")
    (tmp_path / "test_one.py").write_text("def test_it():\n    import celery\ndef test_other(): pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=HANG, check=False)
    assert "1 passed, 2 skipped" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("needs celery, which is not installed") == 2
