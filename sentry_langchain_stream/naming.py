"""What things are called: providers, platforms, pipelines, span ops and span names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from .settings import Dialect

Platform = Literal["openai", "cohere", "langchain", "huggingface_hub"]
"""The platforms that Sentry's predefined `ai.chat_completions.create.*` ops name; there are no others."""

Kind = Literal["chat", "text_completion", "pipeline", "agent", "tool", "retriever", "chain"]
"""What a span stands for."""

DEFAULT_PIPELINE = "langchain"


class Provider(NamedTuple):
    """A row of `PROVIDERS`."""

    name: str
    """`gen_ai.provider.name`, from OpenTelemetry's list of well-known values where it has one."""
    platform: Platform = "langchain"
    integration: str | None = None
    """Identifier of the Sentry integration that traces the client library this provider's package uses."""


# LangChain's `ls_provider` -> what we call it. A provider without a row keeps its own name.
PROVIDERS: dict[str, Provider] = {
    "openai": Provider("openai", "openai", "openai"),
    "openai-codex": Provider("openai", "openai", "openai"),
    "openai-mantle": Provider("aws.bedrock", "openai", "openai"),
    "azure": Provider("azure.ai.openai", "openai", "openai"),
    "azure_ai": Provider("azure.ai.inference", "langchain", "openai"),
    "anthropic": Provider("anthropic", "langchain", "anthropic"),
    "anthropic-mantle": Provider("aws.bedrock", "langchain", "anthropic"),
    "google_genai": Provider("gcp.gemini", "langchain", "google_genai"),
    "google_vertexai": Provider("gcp.vertex_ai", "langchain", "google_genai"),
    "google_anthropic_vertex": Provider("gcp.vertex_ai", "langchain", "anthropic"),
    "amazon_bedrock": Provider("aws.bedrock", "langchain", "boto3"),
    "aws": Provider("aws.bedrock", "langchain", "boto3"),
    "cohere": Provider("cohere", "cohere", "cohere"),
    "huggingface": Provider("huggingface", "huggingface_hub", "huggingface_hub"),
    "huggingface_hub": Provider("huggingface", "huggingface_hub", "huggingface_hub"),
    "mistral": Provider("mistral_ai"),
    "mistralai": Provider("mistral_ai"),
    "xai": Provider("x_ai", "langchain", "openai"),
    "deepseek": Provider("deepseek", "langchain", "openai"),
    "perplexity": Provider("perplexity", "langchain", "openai"),
    "groq": Provider("groq"),
    "ollama": Provider("ollama"),
    "fireworks": Provider("fireworks"),
    "together": Provider("together", "langchain", "openai"),
    "openrouter": Provider("openrouter"),
    "nvidia": Provider("nvidia"),
    "ibm": Provider("ibm.watsonx.ai"),
    "litellm": Provider("litellm", "langchain", "litellm"),
    "upstage": Provider("upstage", "langchain", "openai"),
}

# Parts of a class's import path or of `_type` that tell the provider where `ls_provider` is missing.
# The first that matches wins: the more telling ones stand first.
_HINTS: tuple[tuple[str, str], ...] = (
    ("azure_ai", "azure_ai"),
    ("azure", "azure"),
    ("vertex", "google_vertexai"),
    ("google", "google_genai"),
    ("gemini", "google_genai"),
    ("bedrock", "amazon_bedrock"),
    ("huggingface", "huggingface"),
    *((name, name) for name in sorted(PROVIDERS, key=len, reverse=True) if name not in {"azure", "aws", "together"}),
)


def provider(ls_provider: object, *hints: object) -> Provider | None:
    """The provider of a model.

    Args:
        ls_provider: LangChain's name of it, from the run's metadata.
        *hints: Other texts that may tell: the invocation parameter `_type`, the class's import path.

    Returns:
        Its row of `PROVIDERS`, a row made of its own name where it has none, or `None` if nothing tells.
    """
    if isinstance(ls_provider, str) and ls_provider:
        key = ls_provider.lower()
        return PROVIDERS.get(key) or Provider(key)
    told = " ".join(hint.lower() for hint in hints if isinstance(hint, str))
    return next((PROVIDERS[name] for part, name in _HINTS if part in told), None)


def platform(of: Provider | None) -> Platform:
    """The platform of a provider, one of Sentry's predefined four."""
    return of.platform if of is not None else "langchain"


# The span op of a kind, a column per dialect. "function" is Sentry's predefined op of a plain function: of an
# `ai.*` or `gen_ai.*` op that is neither an agent's nor a tool's Sentry would make one more model call.
_OPS: dict[Dialect, dict[Kind, str]] = {
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
_VERBS: dict[Kind, str] = {
    "chat": "chat",
    "text_completion": "text_completion",
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "retriever": "retrieve",
}

_NAMED_AFTER_PIPELINE: dict[Dialect, frozenset[Kind]] = {
    "gen_ai": frozenset({"pipeline"}),
    # The old LLM Monitoring joins a pipeline's span to those of its model calls by name.
    "ai": frozenset({"pipeline", "chat", "text_completion"}),
}


def op(kind: Kind, dialect: Dialect, platform: Platform = "langchain") -> str:
    """The span op of a kind of run, always one that Sentry predefines."""
    return _OPS[dialect][kind].replace("{platform}", platform)


def span_name(kind: Kind, dialect: Dialect, pipeline: str, what: str | None) -> str:
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


def pipeline(configured: str | None, metadata: Mapping[str, Any], from_sentry: str | None, run_name: str | None) -> str:
    """The pipeline's name, by precedence.

    The constructor's argument, the run's metadata `pipeline_name`, Sentry's own pipeline-name
    context, the name of the root run, `"langchain"`.
    """
    for candidate in (configured, metadata.get("pipeline_name"), from_sentry, run_name):
        if isinstance(candidate, str) and candidate.strip():
            return candidate
    return DEFAULT_PIPELINE
