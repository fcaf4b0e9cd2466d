"""Finds a running Spotlight (Sentry's local viewer), and reads the spans that it has received."""

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
"""Seconds without an event after which Spotlight is assumed to have sent everything it has."""


def address() -> str:
    """Return Spotlight's URL: the one in `SENTRY_SPOTLIGHT`, which the SDK reads too, or the default one."""
    configured = os.environ.get("SENTRY_SPOTLIGHT", "")
    return configured if "://" in configured else _BY_DEFAULT


def is_running(url: str) -> bool:
    """Whether Spotlight answers at this URL."""
    try:
        health = httpx.URL(url).join("/health")
        answer = httpx.get(health, trust_env=False, timeout=_PATIENCE)
    except (httpx.HTTPError, httpx.InvalidURL):
        return False
    return "spotlight" in answer.headers.get("X-Powered-By", "")


def options(url: str) -> dict[str, Any]:
    """Return the options of `sentry_sdk.init` with which Spotlight shows AI spans."""
    # Spotlight reads AI spans only inside of their transaction. Older SDKs always put them there.
    inside = {"stream_gen_ai_spans": False} if _version() >= (2, 60) else {}
    return {"spotlight": url, **inside}


def _version() -> tuple[int, ...]:
    return tuple(int(part) for part in sentry_sdk.VERSION.split(".")[:2])


def received(url: str) -> Iterator[CapturedSpan]:
    """Yield the spans that Spotlight has, oldest first, until no more arrive. Spotlight does not mark the end."""
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
