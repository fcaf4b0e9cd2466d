"""Checks of versions and of environment variables."""

from __future__ import annotations

import platform
import re

from .case import Case
from .findings import Finding
from .providers import asks_usage

SUPPORTED: dict[str, tuple[tuple[int, int], int]] = {
    "sentry-sdk": ((2, 44), 3),
    "langchain-core": ((1, 0), 2),
    "langgraph": ((1, 0), 2),
}
"""Distribution -> the oldest supported version, and the first major version that is not supported."""

WITH_PAYLOADS = (
    "langchain-anthropic",
    "langchain-aws",
    "langchain-cerebras",
    "langchain-cohere",
    "langchain-deepseek",
    "langchain-fireworks",
    "langchain-google-genai",
    "langchain-google-vertexai",
    "langchain-groq",
    "langchain-huggingface",
    "langchain-ibm",
    "langchain-litellm",
    "langchain-mistralai",
    "langchain-nvidia-ai-endpoints",
    "langchain-ollama",
    "langchain-openai",
    "langchain-openrouter",
    "langchain-perplexity",
    "langchain-together",
    "langchain-xai",
)
"""The distributions whose numbers are tested with payloads of their providers (docs/numbers.md)."""

OTHERS = ("langchain-azure-ai", "langchain-sambanova", "langchain-upstage")
"""Some other distributions of model providers."""

OLDEST_PYTHON = (3, 10)

ELSEWHERE = ("OPENAI_BASE_URL", "OPENAI_API_BASE", "OPENAI_PROXY")
"""Variables that keep `ChatOpenAI` from requesting the usage of a stream by default, even if they are empty."""


def python(case: Case) -> Finding:
    """Check the version of Python."""
    version = platform.python_version()
    if _numbers(version) < OLDEST_PYTHON:
        return Finding("python", "fail", version, "Use Python 3.10 or newer.")
    if _numbers(version) == (3, 10) and case.installed("langgraph"):
        return Finding(
            "python",
            "warning",
            f"{version}, where LangChain does not pass on callbacks inside async nodes of a graph",
            "Use Python 3.11 or newer, or pass the node's config on yourself.",
        )
    return Finding("python", "ok", version)


def package(case: Case) -> Finding:
    """Check the version of this package."""
    version = case.installed("sentry-langchain-stream")
    if version is None:
        return Finding("sentry-langchain-stream", "warning", "imported, but not installed", "Install it with pip.")
    return Finding("sentry-langchain-stream", "ok", version)


def sentry_sdk(case: Case) -> Finding:
    """Check the version of Sentry's SDK."""
    return _version("sentry-sdk", case)


def langchain_core(case: Case) -> Finding:
    """Check the version of LangChain."""
    return _version("langchain-core", case)


def langgraph(case: Case) -> Finding:
    """Check the version of LangGraph, which is optional."""
    if case.installed("langgraph") is None:
        return Finding("langgraph", "ok", "not installed (optional)")
    return _version("langgraph", case)


def provider_packages(case: Case) -> Finding:
    """List the installed packages of model providers, and whether their numbers are tested."""
    tested = [f"{name} {version}" for name in WITH_PAYLOADS if (version := case.installed(name))]
    others = [f"{name} {version}" for name in OTHERS if (version := case.installed(name))]
    parts = [", ".join(tested) + ": numbers tested with its payloads"] if tested else []
    parts += [", ".join(others) + ": not tested"] if others else []
    return Finding("provider-packages", "ok", "; ".join(parts) or "no package of a provider that is known here")


def stream_usage(case: Case) -> Finding:
    """Check whether streamed answers get the provider's usage or an estimate."""
    name = "stream-usage"
    without, known = _models_without_usage(case)
    if without:
        found = f"{', '.join(without)} requests no usage when it streams, so tokens are estimated"
        return Finding(name, "warning", found, "Pass stream_usage=True to it, if its server knows that.")
    if known:
        return Finding(name, "ok", f"{', '.join(known)} requests the usage of a stream")
    if case.installed("langchain-openai") is None:
        return Finding(name, "ok", "langchain-openai is not installed")
    variables = [variable for variable in ELSEWHERE if variable in case.environ]
    if not variables:
        return Finding(
            name,
            "ok",
            "ChatOpenAI requests the usage of a stream, unless it has its own base URL or client",
        )
    return Finding(
        name,
        "warning",
        f"ChatOpenAI requests no usage when it streams, because of {' and '.join(variables)}: tokens are estimated",
        "Pass stream_usage=True to ChatOpenAI.",
    )


def _models_without_usage(case: Case) -> tuple[list[str], list[str]]:
    """Return the names of models that stream without usage, and of those that ask for it, both without repetition."""
    names = {id(each.value): each.name for each in case.made.models}
    asking: dict[str, bool] = {}
    if case.own is not None and case.own.calls.models:
        for model, asks in case.own.calls.models.values():
            if hasattr(model, "stream_usage"):
                asking[names.get(id(model), type(model).__name__)] = asks
    else:
        asking = {each.name: asks_usage(each.value) for each in case.made.models if hasattr(each.value, "stream_usage")}
    return [name for name, asks in asking.items() if not asks], [name for name, asks in asking.items() if asks]


def shutdown(case: Case) -> Finding:
    """Point to what a server needs so that it sends the spans of its last streams."""
    servers = [name for name in ("uvicorn", "gunicorn", "hypercorn") if case.installed(name)]
    if not servers:
        return Finding("shutdown", "ok", "no ASGI server is installed")
    remedy = "To lose no span when it is told to stop: docs/recipes.md#when-the-server-is-told-to-stop."
    return Finding("shutdown", "ok", f"{', '.join(servers)} installed", remedy)


def _version(distribution: str, case: Case) -> Finding:
    oldest, end = SUPPORTED[distribution]
    supported = f"{oldest[0]}.{oldest[1]} or newer, below {end}"
    version = case.installed(distribution)
    if version is None:
        return Finding(distribution, "warning", "its version is not known", f"It should be {supported}.")
    if oldest <= _numbers(version) < (end, 0):
        return Finding(distribution, "ok", version)
    how = f"pip install --upgrade '{distribution}>={oldest[0]}.{oldest[1]},<{end}'"
    return Finding(distribution, "fail", f"{version} is not supported", f"Install {distribution} {supported}: {how}")


def _numbers(version: str) -> tuple[int, ...]:
    """Return the major and minor version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
