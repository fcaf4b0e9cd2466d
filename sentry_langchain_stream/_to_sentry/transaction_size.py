"""Keeps a transaction with spans of ours below the size at which Sentry refuses it, with all its spans.

Each span keeps to its own limit, but a transaction may have a thousand. So when a transaction that is too large leaves,
the contents of our spans are replaced with marks: those of model calls last, the largest first. If that does not
suffice, spans lose the attributes that Sentry's pages can do without. The spans that the SDK takes out of the
transaction (`stream_gen_ai_spans`) do not count there. They leave together, and are kept below a limit of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

from sentry_sdk.types import Event, Hint

from .._content.cutting import mark
from .._runtime.containment import contain
from .._vocabulary.keys import CONTENT, ESSENTIAL, LEFT_OUT, MESSAGES
from . import processors
from .client import current_client
from .joining import ORIGIN

MOST = 1_000_000
"""The size that a transaction is brought down to, in bytes of JSON. Relay refuses an event above 1 MiB, which is
1,048,576 (`max_event_size`, getsentry/relay). The rest is for what the SDK and its transport still add."""

MOST_MOVED = 11_000_000
"""The same for the spans that the SDK takes out of it. They are one item, which Relay refuses above 12 MiB, with all
spans in it (`max_container_size`). The rest is for what the SDK repeats in each of at most a thousand spans."""

_SUSPICIOUS = 400_000
"""With less of ours than this, in bytes, the size of a transaction is not determined."""
_SPAN = 600
"""The bytes that a span is taken to have without content. With many attributes it is twice as much."""
_ADDED = 1_000
"""The bytes that a span grows by at most where the SDK moves it: types of its attributes, and what is in all spans."""
_CALLS = ("gen_ai.chat", "gen_ai.text_completion", "gen_ai.evaluate", "ai.chat_completions")
"""The ops of model calls, by their beginning. Their contents are the last to be replaced."""


def watch() -> None:
    """Look at every transaction from now on. Does nothing if this has been done."""
    processors.add(_process)


def _process(event: Event, hint: Hint) -> Event:
    if event.get("type") == "transaction":
        try:
            _bound(event)
        except Exception as failure:  # it leaves as it is
            contain("size of a transaction", failure)
    return event


def _bound(event: Event) -> None:
    staying, moved = _spans(event)
    if _ours_at_most([_trace(event), *staying, *moved]) < _SUSPICIOUS:
        return  # as nearly always
    _keep_below(MOST, [_trace(event), *staying], lambda: _size({**event, "spans": staying}))
    _keep_below(MOST_MOVED, moved, lambda: _size(moved) + _ADDED * len(moved))


def _ours_at_most(spans: list[Any]) -> int:
    """The largest size that what is ours of these spans usually has, in bytes."""
    found = 0
    for span, data in _ours(spans):
        found += _SPAN
        if not CONTENT.isdisjoint(data):
            found += sum([_at_most(each.text) for each in _contents(span, data)])
    return found


def _keep_below(most: int, spans: list[Any], size: Callable[[], int]) -> None:
    if _ours_at_most(spans) < _SUSPICIOUS * most // MOST:
        return
    ours = _ours(spans)
    contents = [each for span, data in ours for each in _contents(span, data)]
    excess = size() - most
    for each in sorted(contents, key=lambda each: (each.is_call, -len(each.text))):
        if excess <= 0:
            return
        kept = _marked(each.key, each.text)
        each.data[each.key] = kept
        excess -= _size(each.text) - _size(kept)
    for _, data in ours:
        if excess <= 0:
            return
        excess -= _without_details(data)


class _Content(NamedTuple):
    """A content of a span of ours: whether the span is a model call, the attribute, and its text."""

    is_call: bool
    data: dict[str, Any]
    key: str
    text: str


def _contents(span: dict[str, Any], data: dict[str, Any]) -> Iterator[_Content]:
    is_call = str(span.get("op")).startswith(_CALLS)
    for key in CONTENT & data.keys():
        if isinstance(data[key], str):
            yield _Content(is_call, data, key, data[key])


def _without_details(data: dict[str, Any]) -> int:
    """Remove from a span what Sentry's pages can do without. Return by how many bytes it has become smaller."""
    details = {key: value for key, value in data.items() if key not in ESSENTIAL}
    for key in details:
        del data[key]
    data[LEFT_OUT] = len(details)
    return _size(details) - _size({LEFT_OUT: len(details)})


def _trace(event: Event) -> Any:
    """Return the root span of a transaction."""
    return (event.get("contexts") or {}).get("trace") or {}


def _ours(spans: list[Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return the spans of ours that have attributes, each with its attributes."""
    return [
        (span, data) for span in spans if span.get("origin") == ORIGIN and isinstance(data := span.get("data"), dict)
    ]


def _spans(event: Event) -> tuple[list[Any], list[Any]]:
    """Return the spans that are sent with the transaction, and those that the SDK moves to an item of their own."""
    moving = bool(current_client().options.get("stream_gen_ai_spans"))
    spans: Any = event.get("spans")
    staying: list[Any] = []
    moved: list[Any] = []
    for span in spans if isinstance(spans, list) else ():
        if isinstance(span, dict):
            (moved if moving and str(span.get("op")).startswith("gen_ai.") else staying).append(span)
    return staying, moved


def _at_most(text: str) -> int:
    """The largest size that a text usually has in JSON. It need not be read for that."""
    return len(text) * (2 if text.isascii() else 12)


def _size(value: Any) -> int:
    return len(_json().encode(value))


@cache
def _json() -> json.JSONEncoder:
    """As the SDK spells JSON: in ASCII, so a Chinese character takes six bytes."""
    return json.JSONEncoder(separators=(",", ":"), default=str)


_EVALUATION = '[{"type": "evaluation"'
_EVALUATED = {"gen_ai.input.messages": "state", "gen_ai.output.messages": "answers"}
"""What of a decision the messages have, see `_content.decisions`."""


def _marked(key: str, text: str) -> str:
    """What stands in place of an attribute's content, in the same shape."""
    placeholder = mark(len(text), "characters")
    if key in MESSAGES and text.startswith(_EVALUATION):
        return json.dumps([{"type": "evaluation", _EVALUATED[key]: placeholder}])
    if key in MESSAGES:
        return json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": placeholder}]}])
    return json.dumps([{"content": placeholder}]) if text.startswith("[{") else placeholder
