"""Reads the events of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.reading import as_mapping, field
from .answer import Answer, kind_of, made_by

_BODY = {
    "message_start": "message",
    "content_block_start": "content_block",
    "content_block_delta": "delta",
    "message_delta": "delta",
}
"""The events that bring something, and the field that they bring it in."""


def recognises(item: object) -> bool:
    """Whether an item is such an event: by its `type`, and its class or the field that the type has."""
    body = _BODY.get(kind_of(item))
    if body is None:
        return False
    return isinstance(item.get(body), Mapping) if isinstance(item, Mapping) else made_by(item, "anthropic")


def read(item: object, answer: Answer) -> None:
    """Read an event. The helper's own events (`text`, `input_json`, ...) repeat the deltas, so they are ignored."""
    kind = kind_of(item)
    if kind not in _BODY:
        return
    body = field(item, _BODY[kind])
    place = field(item, "index")
    if kind == "message_start":
        answer.named(field(body, "model"))
        answer.identified(field(body, "id"))
        _report(field(body, "usage"), answer)
    elif kind == "content_block_start":
        _start(body, place, answer)
    elif kind == "content_block_delta":
        _delta(body, place, answer)
    else:
        answer.stopped(field(body, "stop_reason"))
        _report(field(item, "usage"), answer)


def _start(block: Any, place: Any, answer: Answer) -> None:
    kind = kind_of(block)
    answer.text(field(block, "text") if kind == "text" else None, place)
    answer.thought(field(block, "thinking") if kind == "thinking" else None, place)
    if kind.endswith("tool_use"):
        own = None if kind == "tool_use" else kind
        answer.call(place, id=field(block, "id"), name=field(block, "name"), arguments=field(block, "input"), type=own)
    elif kind not in ("text", "thinking", ""):
        answer.whole(block, place)


def _delta(delta: Any, place: Any, answer: Answer) -> None:
    kind = kind_of(delta)
    if kind == "text_delta":
        answer.text(field(delta, "text"), place)
    elif kind == "thinking_delta":
        answer.thought(field(delta, "thinking"), place)
    elif kind == "input_json_delta":
        answer.call(place, arguments=field(delta, "partial_json"))
    elif kind == "citations_delta":
        answer.cited(field(delta, "citation"), place)


def _report(usage: object, answer: Answer) -> None:
    """Take the numbers of a report. The first has the prompt's tokens; the last the answer's, and maybe both."""
    found = as_mapping(usage)
    if isinstance(found, Mapping):
        answer.kept_usage.update({name: value for name, value in found.items() if value is not None})
        answer.reports(answer.kept_usage)
