"""Reads the events of Bedrock's Converse API: the `stream` in what `converse_stream` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.reading import field
from .answer import Answer


def recognises(item: object) -> bool:
    """Whether an item is an event that such a stream begins with: a mapping of one name to its body."""
    if not isinstance(item, Mapping) or len(item) != 1:
        return False
    if isinstance(field(item.get("messageStart"), "role"), str):
        return True
    return any(
        isinstance(field(item.get(event), body), Mapping) and isinstance(_place(item.get(event)), int)
        for event, body in (("contentBlockStart", "start"), ("contentBlockDelta", "delta"))
    )


def read(item: object, answer: Answer) -> None:
    """Read an event."""
    start, delta = field(item, "contentBlockStart"), field(item, "contentBlockDelta")
    if start is not None:
        tool = field(field(start, "start"), "toolUse")
        if tool is not None:
            answer.call(_place(start), id=field(tool, "toolUseId"), name=field(tool, "name"))
    elif delta is not None:
        _delta(field(delta, "delta"), _place(delta), answer)
    answer.stopped(field(field(item, "messageStop"), "stopReason"))
    answer.reports(field(field(item, "metadata"), "usage"))


def _delta(delta: Any, place: Any, answer: Answer) -> None:
    answer.text(field(delta, "text"), place)
    answer.thought(field(field(delta, "reasoningContent"), "text"), place)
    tool = field(delta, "toolUse")
    if tool is not None:
        answer.call(place, arguments=field(tool, "input"))


def _place(body: Any) -> Any:
    return field(body, "contentBlockIndex")
