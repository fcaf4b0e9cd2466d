"""Spotlight, Sentry's viewer for one's own machine: where it is, and what it has received."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import sentry_sdk
from httpx_sse import connect_sse

from ..testing.envelopes import CapturedSpan, read_spans

_BY_DEFAULT = "http://127.0.0.1:8969/stream"

_PATIENCE = 2.0
"""Seconds of silence after which Spotlight is taken to have told all it has."""


def address() -> str:
    """Where Spotlight takes envelopes: the URL in `SENTRY_SPOTLIGHT`, which the SDK reads too, or its usual port."""
    stated = os.environ.get("SENTRY_SPOTLIGHT", "")
    return stated if "://" in stated else _BY_DEFAULT


def is_running(url: str) -> bool:
    """Whether it is Spotlight that answers there."""
    try:
        health = httpx.URL(url).join("/health")
        answer = httpx.get(health, trust_env=False, timeout=_PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return "spotlight" in answer.headers.get("X-Powered-By", "")


def options(url: str) -> dict[str, Any]:
    """The options of `sentry_sdk.init` with which Spotlight shows AI spans."""
    # It looks for them inside of their transaction. Older SDKs know no other place.
    inside = {"stream_gen_ai_spans": False} if _version() >= (2, 60) else {}
    return {"spotlight": url, **inside}


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in sentry_sdk.VERSION.split(".")[:2])


def received(url: str) -> Iterator[CapturedSpan]:
    """The spans that Spotlight has, oldest first, until it falls silent: it does not say where they end."""
    try:
        with (
            httpx.Client(trust_env=False, timeout=_PATIENCE) as client,
            connect_sse(client, "GET", url, params={"client": "sentry-langchain-stream"}) as source,
        ):
            for event in source.iter_sse():
                _, items = json.loads(event.data)
                for header, payload in items:
                    yield from read_spans(str(header.get("type")), payload)
    except httpx.HTTPError:
        return
