"""Reads LangChain's v3 stream events, the arguments of `on_stream_event`.

Their shapes are `MessagesData` of LangChain's agent streaming protocol (PyPI `langchain-protocol`), and the older shape
with `content_block` that langchain-core also reads. The protocol is beta, so every field is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.parts import has_answer
from .._content.reading import as_text
from .._runs.usage import Usage


def read(event: object) -> tuple[str, bool, Usage | None]:
    """Read a stream event.

    The finish event of a block repeats its deltas, so it is ignored. The start event of a block is content only if it
    has data: the name of a tool call, or a complete block.

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


def model(event: object) -> str | None:
    """Return the model that the first event of a message names, if it names one."""
    metadata = event.get("metadata") if isinstance(event, Mapping) and event.get("event") == "message-start" else None
    return as_text(metadata.get("model")) if isinstance(metadata, Mapping) else None


def failed(event: object) -> bool:
    """Whether this event reports that the model failed. LangChain then signals no end of the run."""
    return isinstance(event, Mapping) and event.get("event") == "error"


def _block(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    block = event.get(name) or event.get("content_block")
    if isinstance(block, Mapping) and block.get("type") == "block-delta":
        block = block.get("fields")
    return block if isinstance(block, Mapping) else {}
