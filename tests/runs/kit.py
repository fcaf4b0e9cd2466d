"""Calls that are priced."""

from __future__ import annotations

from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from sentry_langchain_stream._runs.call import Call, Request
from sentry_langchain_stream._runs.usage import Usage


def chat(url: str, **options: Any) -> ChatOpenAI:
    """The real model class, pointed at a server."""
    return ChatOpenAI(
        **{"model": "gpt-4o-mini", "stream_usage": True, "max_retries": 0, **options},
        base_url=f"{url}/v1",
        api_key=SecretStr("none"),
    )


def costs(span: Any) -> dict[str, float]:
    """What the span says of costs."""
    return {key.removeprefix("gen_ai.cost."): value for key, value in span.attributes.items() if "cost" in key}


def call_of(usage: Usage | None, model: str | None = "gpt-4o-mini", provider: str | None = "openai") -> Call:
    """A call that was completed with this usage."""
    return Call(Request(model=model, provider=provider), 0.0, reported=usage, finished=True)
