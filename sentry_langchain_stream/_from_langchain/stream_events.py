"""LangChain's v3 stream events as plain values: what `on_stream_event` brings.

The shapes are `MessagesData` of LangChain's agent streaming protocol (PyPI `langchain-protocol`), and the older
spelling with `content_block` that langchain-core reads as well. They are beta, so nothing in them is taken for granted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.parts import has_answer
from .._runs.usage import Usage


def read(event: object) -> tuple[str, bool, Usage | None]:
    """What a stream event brings.

    A block's finish repeats what its deltas brought and counts for nothing. Its start is content only if it brings
    something of its own: a tool call's name, or a block that comes whole.

    Args:
        event: `message-start`, `content-block-start`, `-delta`, `-finish`, `message-finish` or `error`.

    Returns:
        Its piece of the answer's text; whether it has content (text, tool-call data or a reasoning block); and the
        usage that the provider reports in it.
    """
    if not isinstance(event, Mapping):
        return "", False, None
    kind = event.get("event")
    if kind == "content-block-delta":
        delta = _block(event, "delta")
        text = delta.get("text") if delta.get("type") in ("text-delta", "text") else None
        return text if isinstance(text, str) else "", has_answer(delta), None
    if kind == "content-block-start":
        return "", has_answer(_block(event, "content")), None
    return "", False, Usage.reported(event.get("usage")) if kind == "message-finish" else None


def failed(event: object) -> bool:
    """Whether the model says by this event that it failed. LangChain then signals no end of the run."""
    return isinstance(event, Mapping) and event.get("event") == "error"


def _block(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    block = event.get(name) or event.get("content_block")
    if isinstance(block, Mapping) and block.get("type") == "block-delta":
        block = block.get("fields")
    return block if isinstance(block, Mapping) else {}
