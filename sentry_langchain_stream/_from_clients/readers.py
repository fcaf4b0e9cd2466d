"""Which client library a chunk comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .._content.reading import field
from . import anthropic, bedrock, gemini, ollama, openai_chat, openai_responses
from .answer import Answer


class Reader(NamedTuple):
    """Reads the chunks of one API.

    `recognises` is asked until it is sure of an item, so it must not take a user's own object for one of the API's.
    """

    recognises: Callable[[object], bool]
    read: Callable[[object, Answer], None]
    provider: str | None = None
    """The provider, if only one has this API."""


READERS = (
    Reader(openai_chat.recognises, openai_chat.read),
    Reader(openai_responses.recognises, openai_responses.read),
    Reader(anthropic.recognises, anthropic.read),
    Reader(gemini.recognises, gemini.read),
    Reader(bedrock.recognises, bedrock.read, "amazon_bedrock"),
    Reader(ollama.recognises, ollama.read, "ollama"),
)


def find(item: object) -> Reader | None:
    """Return the reader of the API that an item comes from, or `None` if it is the user's own."""
    if isinstance(item, (str, bytes)):
        return None
    return next((reader for reader in READERS if reader.recognises(item)), None)


# The end of a host's name -> LangChain's name of the provider.
_HOSTS = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "amazonaws.com": "amazon_bedrock",
    "generativelanguage.googleapis.com": "google_genai",
    "aiplatform.googleapis.com": "google_vertexai",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistralai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "xai",
    "openrouter.ai": "openrouter",
}


def provider_of(stream: object) -> str | None:
    """Return the provider that a stream comes from, by the host that answered, if that makes it certain.

    The streams of `openai` and `anthropic` have the HTTP response. Many providers offer OpenAI's protocol.
    """
    host = field(field(field(stream, "response"), "url"), "host")
    if not isinstance(host, str):
        return None
    return next((name for end, name in _HOSTS.items() if host == end or host.endswith((f".{end}", f"-{end}"))), None)
