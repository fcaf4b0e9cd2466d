"""Span ops, and the names of spans, pipelines and agents."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

from .keys import Dialect, bounded
from .providers import Platform

SpanKind = Literal[
    "chat",
    "text_completion",
    "evaluate",
    "embeddings",
    "rerank",
    "pipeline",
    "agent",
    "tool",
    "handoff",
    "memory",
    "checkpoint",
    "retriever",
    "chain",
]
"""The kind of a span."""

LONGEST = 200
"""The maximum length of a name, in characters."""

DEFAULT_PIPELINE = "langchain"
DEFAULT_AGENT = "LangGraph"
"""The name that LangGraph gives a graph without one."""


# The span op of each kind, by dialect. "function" is Sentry's predefined op of a plain function. With an `ai.*` or
# `gen_ai.*` op that is not an agent's, a tool's or a handoff's, Sentry would count the span as a model call.
_OPS: dict[Dialect, dict[SpanKind, str]] = {
    "gen_ai": {
        "chat": "gen_ai.chat",
        "text_completion": "gen_ai.text_completion",
        "evaluate": "gen_ai.evaluate",
        "embeddings": "gen_ai.embeddings",
        "rerank": "gen_ai.rerank",
        "pipeline": "function",
        "agent": "gen_ai.invoke_agent",
        "tool": "gen_ai.execute_tool",
        "handoff": "gen_ai.handoff",
        "memory": "function",
        "checkpoint": "function",
        "retriever": "function",
        "chain": "function",
    },
    "ai": {
        "chat": "ai.chat_completions.create.{platform}",
        "text_completion": "ai.chat_completions.create.{platform}",
        "evaluate": "ai.chat_completions.create.{platform}",
        "embeddings": "ai.embeddings.create.{platform}",
        "rerank": "ai.rerank.create.{platform}",
        "pipeline": "ai.pipeline.langchain",
        "agent": "ai.agent.langchain",
        "tool": "ai.tool.langchain",
        "handoff": "function",
        "memory": "function",
        "checkpoint": "function",
        "retriever": "function",
        "chain": "function",
    },
}

# The first word of a span's name.
_VERBS: dict[SpanKind, str] = {
    "chat": "chat",
    "text_completion": "text_completion",
    "evaluate": "evaluate",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "handoff": "handoff",
    "retriever": "retrieve",
}

_NAMED_AFTER_PIPELINE: dict[Dialect, frozenset[SpanKind]] = {
    "gen_ai": frozenset({"pipeline"}),
    # LLM Monitoring of 2024 joins the span of a pipeline with those of its model calls by name.
    "ai": frozenset({"pipeline", "chat", "text_completion", "evaluate", "embeddings", "rerank"}),
}


def op(kind: SpanKind, dialect: Dialect, platform: Platform = "langchain") -> str:
    """Return the span op of a kind, always one that Sentry predefines."""
    found = _OPS[dialect][kind]
    return found.replace("{platform}", platform) if dialect == "ai" else found


def span_name(kind: SpanKind, dialect: Dialect, pipeline: str, subject: str | None) -> str:
    """Return the name of a span.

    Args:
        kind: The kind of the span.
        dialect: The dialect.
        pipeline: The pipeline's name.
        subject: The name of the model, agent, tool, retriever or chain; what a handoff, a memory operation or a
            checkpointer does.
    """
    if kind in _NAMED_AFTER_PIPELINE[dialect]:
        return pipeline
    verb, of = _VERBS.get(kind), subject and bounded(subject, LONGEST)
    return f"{verb} {of}" if verb and of else verb or of or ""


def pipeline(*, configured: str | None, metadata: str | None, sentry: str | None, run: str | None) -> str:
    """Return the pipeline's name, the first one of these that is not blank.

    The constructor's argument, `pipeline_name` in the run's metadata, Sentry's own pipeline name, the name of the root
    run, `"langchain"`.
    """
    for candidate in (configured, metadata, sentry, run):
        if candidate is not None and (shown := bounded(candidate, LONGEST)).strip():
            return shown
    return DEFAULT_PIPELINE


def agent(
    *, own: str | None = None, told: str | None = None, around: Collection[str] = (), run: str | None = None
) -> str:
    """Return the name of an agent: its own, else the one in its metadata, else the run's, else LangGraph's default.

    Args:
        own: The name that it was made with.
        told: The name in its metadata. A nested agent inherits the name of an enclosing agent there.
        around: The names of the enclosing agents. If `told` is one of them, it is taken as inherited.
        run: The run's name.
    """
    told = bounded(told or "", LONGEST)
    return bounded(own or (told if told not in around else "") or run or DEFAULT_AGENT, LONGEST)


def of_resource(model: str) -> str:
    """Return the name of a model without that of a resource: langchain-google-genai has "models/gemini-2.5-flash"."""
    return (_RESOURCE.sub("", model) or model) if "models/" in model else model


_RESOURCE = re.compile(r"^(?:(?:projects/[^/]+/locations/[^/]+/)?publishers/[^/]+/)?models/")
