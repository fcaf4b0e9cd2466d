"""The names of model providers in LangChain and in Sentry."""

from __future__ import annotations

from typing import Literal, NamedTuple

Platform = Literal["openai", "cohere", "langchain", "huggingface_hub"]
"""The platforms of Sentry's predefined `ai.chat_completions.create.*` ops. Sentry defines no others."""


class Provider(NamedTuple):
    """A row of `PROVIDERS`."""

    name: str
    """`gen_ai.provider.name`, from OpenTelemetry's list of well-known values if that has one."""
    platform: Platform = "langchain"
    integration: str | None = None
    """The identifier of the Sentry integration that traces the client library of this provider's package."""


# LangChain's `ls_provider` -> our entry. A provider without a row keeps LangChain's name.
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


# Parts of a class's import path or of `_type` that identify the provider if `ls_provider` is missing. The first match
# wins, so the more specific ones come first.
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
    """Return the provider of a model.

    Args:
        ls_provider: LangChain's name of the provider, from the run's metadata.
        *hints: Other texts that may identify it: the invocation parameter `_type`, the class's import path.

    Returns:
        Its row of `PROVIDERS`, a new row with LangChain's name if there is none, or `None` if nothing identifies it.
    """
    if isinstance(ls_provider, str) and ls_provider:
        key = ls_provider.lower()
        return PROVIDERS.get(key) or Provider(key)
    text = " ".join(hint.lower() for hint in hints if isinstance(hint, str))
    return next((PROVIDERS[name] for part, name in _HINTS if part in text), None)


def platform_of(provider: Provider | None) -> Platform:
    """Return the platform of a provider, one of Sentry's predefined four."""
    return provider.platform if provider is not None else "langchain"
