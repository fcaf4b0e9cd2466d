"""The providers of models: what LangChain and Sentry call each of them."""

from __future__ import annotations

from typing import Literal, NamedTuple

Platform = Literal["openai", "cohere", "langchain", "huggingface_hub"]
"""The platforms that Sentry's predefined `ai.chat_completions.create.*` ops name; there are no others."""


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


def find(ls_provider: object, *hints: object) -> Provider | None:
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


def platform_of(of: Provider | None) -> Platform:
    """The platform of a provider, one of Sentry's predefined four."""
    return of.platform if of is not None else "langchain"
