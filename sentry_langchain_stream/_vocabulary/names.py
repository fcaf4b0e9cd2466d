"""What things are called: providers, platforms, pipelines, span ops and span names."""

from __future__ import annotations

from typing import Literal

from .keys import Dialect
from .providers import Platform

SpanKind = Literal["chat", "text_completion", "pipeline", "agent", "tool", "retriever", "chain"]
"""What a span stands for."""

DEFAULT_PIPELINE = "langchain"
DEFAULT_AGENT = "LangGraph"
"""The name that LangGraph gives a graph without one."""


# The span op of a kind, a column per dialect. "function" is Sentry's predefined op of a plain function: of an
# `ai.*` or `gen_ai.*` op that is neither an agent's nor a tool's Sentry would make one more model call.
_OPS: dict[Dialect, dict[SpanKind, str]] = {
    "gen_ai": {
        "chat": "gen_ai.chat",
        "text_completion": "gen_ai.text_completion",
        "pipeline": "function",
        "agent": "gen_ai.invoke_agent",
        "tool": "gen_ai.execute_tool",
        "retriever": "function",
        "chain": "function",
    },
    "ai": {
        "chat": "ai.chat_completions.create.{platform}",
        "text_completion": "ai.chat_completions.create.{platform}",
        "pipeline": "ai.pipeline.langchain",
        "agent": "ai.agent.langchain",
        "tool": "ai.tool.langchain",
        "retriever": "function",
        "chain": "function",
    },
}

# What a span's name begins with, before what it is done to.
_VERBS: dict[SpanKind, str] = {
    "chat": "chat",
    "text_completion": "text_completion",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieve",
}

_NAMED_AFTER_PIPELINE: dict[Dialect, frozenset[SpanKind]] = {
    "gen_ai": frozenset({"pipeline"}),
    # The old LLM Monitoring joins a pipeline's span to those of its model calls by name.
    "ai": frozenset({"pipeline", "chat", "text_completion"}),
}


def op(kind: SpanKind, dialect: Dialect, platform: Platform = "langchain") -> str:
    """The span op of a kind of run, always one that Sentry predefines."""
    return _OPS[dialect][kind].replace("{platform}", platform)


def span_name(kind: SpanKind, dialect: Dialect, pipeline: str, what: str | None) -> str:
    """The span's name.

    Args:
        kind: What it stands for.
        dialect: The dialect.
        pipeline: The pipeline's name.
        what: The model, agent, tool, retriever or chain.
    """
    if kind in _NAMED_AFTER_PIPELINE[dialect]:
        return pipeline
    return " ".join(part for part in (_VERBS.get(kind), what) if part)


def pipeline(*, configured: str | None, metadata: str | None, sentry: str | None, run: str | None) -> str:
    """The pipeline's name, by precedence.

    The constructor's argument, the run's metadata `pipeline_name`, Sentry's own pipeline-name
    context, the name of the root run, `"langchain"`.
    """
    for candidate in (configured, metadata, sentry, run):
        if candidate is not None and candidate.strip():
            return candidate
    return DEFAULT_PIPELINE


def agent(*, own: str | None, parent: str | None, run: str | None) -> str:
    """The name of an agent: its own, else the run's, else LangGraph's default.

    Args:
        own: The name in its metadata, which a nested agent inherits.
        parent: The name of the agent that it runs inside of.
        run: The run's name.
    """
    return own if own and own != parent else run or DEFAULT_AGENT
