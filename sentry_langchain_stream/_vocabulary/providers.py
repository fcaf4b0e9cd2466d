"""The names of model providers in LangChain and in Sentry."""

from __future__ import annotations

from functools import lru_cache
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
    "anthropic-bedrock": Provider("aws.bedrock", "langchain", "anthropic"),
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
    # Names of our own, for classes of which LangChain has no name.
    "sagemaker": Provider("aws.sagemaker"),
    "dashscope": Provider("dashscope", "langchain", "openai"),
    "oci": Provider("oci"),
    "vllm": Provider("vllm"),
}


# Part of a class's name, or of the LangChain package that it is from, without "_" and in lower case -> key of
# `PROVIDERS`. The first match wins, so the more specific parts come first.
_CLASSES: tuple[tuple[str, str], ...] = (
    ("azureai", "azure_ai"),
    ("azureopenai", "azure"),
    ("azurechatopenai", "azure"),
    ("anthropicvertex", "google_anthropic_vertex"),
    ("vertexai", "google_vertexai"),
    ("vertexmodelgarden", "google_vertexai"),
    ("anthropicbedrock", "anthropic-bedrock"),
    ("bedrock", "amazon_bedrock"),
    ("sagemaker", "sagemaker"),
    ("huggingface", "huggingface"),
    ("watsonx", "ibm"),
    ("chatqwen", "dashscope"),
    ("chatqwq", "dashscope"),
    ("tongyi", "dashscope"),
    ("chatoci", "oci"),
    ("ocigenai", "oci"),
    ("ocimodel", "oci"),
    ("vllm", "vllm"),
)

_OF_A_CLIENT = frozenset({"openai", "anthropic", "mistral"})
"""What `ls_provider` says in every class that is built on that client, whichever server the class talks to."""


def _plain(text: str) -> str:
    return text.lower().replace("_", "").replace("-", "")


# The same for whatever else identifies a provider if LangChain gives no name at all.
_HINTS: tuple[tuple[str, str], ...] = (
    *_CLASSES,
    ("azure", "azure"),
    ("vertex", "google_vertexai"),
    ("google", "google_genai"),
    ("gemini", "google_genai"),
    *(
        (_plain(name), name)
        for name in sorted(PROVIDERS, key=len, reverse=True)
        if name not in {"aws", "oci", "together"}
    ),
)


@lru_cache(maxsize=256)  # for one model it is the same at every call
def _find(ls_provider: str | None, path: str, kind: str) -> Provider | None:
    if not ls_provider:
        return _first(_HINTS, f"{path} {kind}")
    key, name = ls_provider.lower(), path.rpartition(".")[2]
    known = PROVIDERS.get(key)
    if key in _OF_A_CLIENT or (known is None and key in _derived(name)):
        known = _first(_CLASSES, path if path.startswith("langchain") else name) or known
    return known or Provider(key)


def find(ls_provider: object, path: str | None = None, kind: object = None) -> Provider | None:
    """Return the provider of a model.

    LangChain's name counts, unless it is derived from the name of the class or belongs to the client that the class is
    built on. Then the class and its package decide, if they are known.

    Args:
        ls_provider: LangChain's name of the provider, from the run's metadata.
        path: The import path of the model's class.
        kind: The invocation parameter `_type`. It is used if LangChain gives no name.

    Returns:
        Its row of `PROVIDERS`, a new row with LangChain's name if there is none, or `None` if nothing identifies it.
    """
    name = str.__str__(ls_provider) if isinstance(ls_provider, str) else ""
    other = str.__str__(kind) if isinstance(kind, str) else ""
    if len(name) + len(path or "") + len(other) > _LONGEST:  # not worth keeping
        return _find.__wrapped__(name, path or "", other)
    return _find(name, path or "", other)


_LONGEST = 1_000


def _derived(name: str) -> tuple[str, str, str]:
    """Return the names that langchain-core derives from the name of a class that does not name its provider."""
    lower = name.lower()
    return lower.removeprefix("chat"), lower.removesuffix("chat"), lower.removesuffix("llm")


def _first(parts: tuple[tuple[str, str], ...], text: str) -> Provider | None:
    plain = _plain(text)
    return next((PROVIDERS[key] for part, key in parts if part in plain), None)


NAMES = frozenset(each.name for each in PROVIDERS.values())
"""The names of the providers that are known."""


def platform_of(provider: Provider | None) -> Platform:
    """Return the platform of a provider, one of Sentry's predefined four."""
    return provider.platform if provider is not None else "langchain"
