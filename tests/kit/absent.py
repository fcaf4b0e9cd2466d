"""What the suite can do without: packages of the extras, and options that older versions of the SDK do not have.

A test that meets one of them is skipped, and says which. Nothing else is: a module of the package that cannot do
without such a package fails, as it should.
"""

from __future__ import annotations

import os
import re
import traceback
from importlib.util import find_spec
from pathlib import Path

import pytest
from sentry_sdk.consts import VERSION
from sentry_sdk.integrations import DidNotEnable

import sentry_langchain_stream

PACKAGES = frozenset(
    {
        "bottle",
        "celery",
        "chainlit",
        "deepagents",
        "django",
        "falcon",
        "fastapi",
        "flask",
        "genai_prices",
        "gevent",
        "gradio",
        "gradio_client",
        "httpx_sse",
        "langchain",
        "langchain_mcp_adapters",
        "langchain_openai",
        "langgraph",
        "langgraph_api",
        "langgraph_cli",
        "langgraph_supervisor",
        "langgraph_swarm",
        "matplotlib",
        "mcp",
        "nbclient",
        "nbformat",
        "openai",
        "opentelemetry",
        "playwright",
        "ray",
        "rich",
        "sentry_conventions",
        "sentry_relay",
        "sqlalchemy",
        "sse_starlette",
        "starlette",
        "streamlit",
        "typer",
        "uvicorn",
        "uvloop",
    }
)
"""Packages of the extras, and those that a session of nox installs."""

OPTIONS = frozenset({"data_collection", "stream_gen_ai_spans", "trace_lifecycle"})
"""Options of `sentry_sdk.init` that came after the oldest supported version."""

_PACKAGE = Path(sentry_langchain_stream.__file__).parent
_OF_THE_DEMO = (_PACKAGE / "demo", _PACKAGE / "cli.py")


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skips a test that looks at what these packages do, and does not import them itself."""
    missing = [each for each in packages if find_spec(each) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}, which is not installed")


def reason(error: BaseException) -> str | None:
    """Why a test that fails with this error is to be skipped, or `None` if it is to fail."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        return f"needs {name}, which is not installed" if name in PACKAGES and not _is_ours(error) else None
    if isinstance(error, DidNotEnable):
        return f"needs what an integration of Sentry is for: {error}"
    if isinstance(error, TypeError):
        unknown = re.search(r"Unknown option '(\w+)'$", str(error))
        if unknown is not None and unknown[1] in OPTIONS:
            return f"needs the option {unknown[1]!r}, which sentry-sdk {VERSION} does not have"
    return None


def _is_ours(error: ModuleNotFoundError) -> bool:
    """Whether the import is in a module that has to do without the extras."""
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__) if "<" not in frame.filename]
    importing = files[-1]
    return importing.is_relative_to(_PACKAGE) and not any(importing.is_relative_to(each) for each in _OF_THE_DEMO)


long = pytest.mark.skipif(
    os.environ.get("HYPOTHESIS_PROFILE") != "thorough", reason="takes long: HYPOTHESIS_PROFILE=thorough plays it"
)
"""Marks a test that has a shorter relative."""
