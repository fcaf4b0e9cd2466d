"""The package from outside: its door, and what a release says of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sentry_langchain_stream

ROOT = Path(__file__).parent.parent


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
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_version_is_told_once() -> None:
    """The changelog and the citation name the package's version."""
    version = sentry_langchain_stream.__version__
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
