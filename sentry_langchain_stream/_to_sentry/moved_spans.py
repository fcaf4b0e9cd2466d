"""Spans of ours that take a short way from a transaction to the item in which the SDK sends spans of AI.

Workaround: the SDK moves a transaction's spans of AI into an item of their own, in the format of streamed spans, in the
thread that ends the request. It calls a function for each value of each span, which asks for one type after the other,
and works out again for each span what it says of the transaction (sentry-sdk 2.60 to 2.75). The values of our spans
have been looked at in `plain_spans`, so here a look-up for each will do. An unusual span is left to the SDK.
Can go when the SDK prepares envelopes outside of the request's thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sentry_sdk.tracing import Span

from .._runtime.containment import pass_on
from . import internals, other_integrations


class PlainSpan(dict[str, Any]):
    """The payload of a span of ours, all of whose values are plain."""

    __slots__ = ("seconds",)

    seconds: dict[str, float]
    """Its times in seconds since the epoch, by the text that stands for them."""


def install() -> None:
    """Have our spans take the short way from now on, if it leads where the SDK's does. Does nothing the second time."""
    if not internals.moves_itself():
        return
    event = {"event_id": "0", "user": {"id": "1"}, "release": "1", "contexts": {"trace": {"span_id": "2"}}}
    try:
        sample = PlainSpan(_sample())
        sample.seconds = {}
        is_same = _shortly(sample, event) == internals.move_span({**sample}, event)  # type: ignore[misc]
    except Exception as error:  # in this version of the SDK it is another function
        pass_on(error)
        return
    if is_same:
        internals.have_moved_by(_moved, instead_of=internals.move_span)
        other_integrations.undo_with(uninstall)


def uninstall() -> None:
    """Undo `install`, until a client is used for the first time."""
    internals.have_moved_by(internals.move_span, instead_of=_moved)


def _sample() -> dict[str, Any]:
    """A span as the SDK serializes it, with an attribute of each type."""
    span = Span(op="gen_ai.chat", name="chat", origin="auto.ai")
    span.set_status("internal_error")
    span.finish()
    payload: dict[str, Any] = span.to_json()
    payload["data"] = {"text": "a", "list": ["a"], "no": False, "one": 1, "half": 0.5}
    for name in ("start_timestamp", "timestamp"):
        payload[name] = internals.format_timestamp(payload[name])  # type: ignore[misc]
    return payload


def _moved(span: dict[str, Any], event: Mapping[str, Any]) -> dict[str, Any]:
    """Move a span, see `internals.move_span`."""
    if type(span) is PlainSpan:
        try:
            return _shortly(span, event)
        except Exception as error:  # something is missing, or is not plain any more
            pass_on(error)
    return internals.move_span(span, event)  # type: ignore[misc]


_TYPES = {str: "string", int: "integer", bool: "boolean", float: "double", list: "array"}
_of_event: tuple[object, dict[str, Any]] = None, {}
"""The id of the last transaction that a span was moved out of, and what each of its spans says of it."""


def _shortly(span: PlainSpan, event: Mapping[str, Any]) -> dict[str, Any]:
    global _of_event
    number, of_event = _of_event
    if number is not event["event_id"]:
        of_event = internals.move_span({}, event)["attributes"]  # type: ignore[misc]
        _of_event = event["event_id"], of_event
    attributes = {"sentry.op": span["op"], "sentry.origin": span["origin"], **span["data"], **span["tags"]}
    attributes.pop("status", None)  # it stands beside the attributes
    typed = {name: {"value": value, "type": _TYPES[type(value)]} for name, value in attributes.items()}
    if list in map(type, attributes.values()) and not all(map(_is_moved_as_array, attributes.values())):
        raise TypeError
    begin, end = span["start_timestamp"], span["timestamp"]
    seconds = span.seconds
    return {
        "status": "ok" if span["status"] == "ok" else "error",
        "is_segment": False,
        "trace_id": span["trace_id"],
        "span_id": span["span_id"],
        "name": span["op"] if span["description"] is None else span["description"],
        "start_timestamp": seconds[begin] if begin in seconds else _seconds(begin),
        "end_timestamp": seconds[end] if end in seconds else _seconds(end),
        "parent_span_id": span["parent_span_id"],
        "attributes": {**typed, **of_event},
    }


def _is_moved_as_array(value: object) -> bool:
    """Whether the SDK moves a value as an array if that is a list at all: of others than texts it makes a text."""
    return type(value) is not list or set(map(type, value)) <= {str}


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(f"{timestamp[:-1]}+00:00").timestamp()
