"""Reads the events of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.reading import as_text, field
from .answer import Answer, kind_of, made_by

_ENDS = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_STARTS = ("response.created", "response.queued", "response.in_progress")


def recognises(item: object) -> bool:
    """Whether an item is such an event: by its `type`, and its class or the number that each event has."""
    if not kind_of(item).startswith("response."):
        return False
    return isinstance(item.get("sequence_number"), int) if isinstance(item, Mapping) else made_by(item, "openai")


def read(item: object, answer: Answer) -> None:
    """Read an event. The `done` events repeat their deltas, except for blocks that come whole."""
    kind = kind_of(item)
    place = (field(item, "output_index"), field(item, "content_index"))
    if kind == "response.output_text.delta":
        answer.text(field(item, "delta"), place)
    elif kind == "response.refusal.delta":
        answer.text(field(item, "delta"), (*place, "refusal"))
    elif kind in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
        answer.thought(field(item, "delta"), (*place, field(item, "summary_index")))
    elif kind == "response.output_text.annotation.added":
        answer.cited(field(item, "annotation"), place)
    elif kind == "response.function_call_arguments.delta":
        answer.call(place[0], arguments=field(item, "delta"))
    elif kind == "response.output_item.added":
        _added(field(item, "item"), place[0], answer)
    elif kind == "response.output_item.done":
        _done(field(item, "item"), place[0], answer)
    elif kind in _STARTS:
        _whole(field(item, "response"), answer)
    elif kind in _ENDS:
        response = field(item, "response")
        _whole(response, answer)
        answer.reports(field(response, "usage"))
        answer.stopped(as_text(field(field(response, "incomplete_details"), "reason")) or kind.partition(".")[2])
    answer.failed = answer.failed or kind in ("response.failed", "error")


def _whole(response: Any, answer: Answer) -> None:
    answer.named(field(response, "model"))
    answer.identified(field(response, "id"))
    answer.in_tier(field(response, "service_tier"))


def _added(item: Any, place: Any, answer: Answer) -> None:
    if kind_of(item) == "function_call":
        arguments = as_text(field(item, "arguments"))
        answer.call(place, id=field(item, "call_id"), name=field(item, "name"), arguments=arguments)


def _done(item: Any, place: Any, answer: Answer) -> None:
    kind = kind_of(item)
    if kind == "custom_tool_call":
        arguments = {"__arg1": field(item, "input")}  # as LangChain has it
        answer.call(place, id=field(item, "call_id"), name=field(item, "name"), arguments=arguments)
    elif kind not in ("message", "reasoning", "function_call", ""):
        answer.whole(item, place)
