"""Checks of versions, and of what stands in the environment."""

from __future__ import annotations

import platform
import re

from .case import Case
from .findings import Finding

SUPPORTED: dict[str, tuple[tuple[int, int], int]] = {
    "sentry-sdk": ((2, 44), 3),
    "langchain-core": ((1, 0), 2),
    "langgraph": ((1, 0), 2),
}
"""Distributions, the oldest version that is supported, and the major version from which on none is."""

OLDEST_PYTHON = (3, 10)

ELSEWHERE = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY")
"""Variables with which `ChatOpenAI` no longer asks for the usage of a stream by itself, even if they are empty."""


def python(case: Case) -> Finding:
    """The interpreter."""
    version = platform.python_version()
    if _numbers(version) < OLDEST_PYTHON:
        return Finding("python", "fail", version, "Use Python 3.10 or newer.")
    if _numbers(version) == (3, 10) and case.installed("langgraph"):
        return Finding(
            "python",
            "warning",
            f"{version}, on which LangChain does not pass callbacks on inside async nodes of a graph",
            "Use Python 3.11 or newer, or pass the node's config on by hand.",
        )
    return Finding("python", "ok", version)


def package(case: Case) -> Finding:
    """This package."""
    version = case.installed("sentry-langchain-stream")
    if version is None:
        return Finding("sentry-langchain-stream", "warning", "imported, but not installed", "Install it with pip.")
    return Finding("sentry-langchain-stream", "ok", version)


def sentry_sdk(case: Case) -> Finding:
    """Sentry's SDK."""
    return _version("sentry-sdk", case)


def langchain_core(case: Case) -> Finding:
    """LangChain."""
    return _version("langchain-core", case)


def langgraph(case: Case) -> Finding:
    """LangGraph, which is not needed."""
    if case.installed("langgraph") is None:
        return Finding("langgraph", "ok", "not installed, and not needed")
    return _version("langgraph", case)


def stream_usage(case: Case) -> Finding:
    """Whether the usage of a stream is the provider's or an estimate."""
    name = "stream-usage"
    if case.installed("langchain-openai") is None:
        return Finding(name, "ok", "langchain-openai is not installed")
    variables = [variable for variable in ELSEWHERE if variable in case.environ]
    if not variables:
        return Finding(
            name,
            "ok",
            "ChatOpenAI asks for the usage of a stream, unless it is given a base URL or a client of its own",
        )
    return Finding(
        name,
        "warning",
        f"{' and '.join(variables)} is set, so ChatOpenAI asks for no usage when it streams, and tokens are estimates",
        "Pass stream_usage=True to ChatOpenAI.",
    )


def _version(distribution: str, case: Case) -> Finding:
    oldest, end = SUPPORTED[distribution]
    supported = f"{oldest[0]}.{oldest[1]} or newer, below {end}"
    version = case.installed(distribution)
    if version is None:
        return Finding(distribution, "warning", "its version is not known", f"It should be {supported}.")
    if oldest <= _numbers(version) < (end, 0):
        return Finding(distribution, "ok", version)
    return Finding(distribution, "fail", f"{version} is not supported", f"Install {distribution} {supported}.")


def _numbers(version: str) -> tuple[int, ...]:
    """Major and minor version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
