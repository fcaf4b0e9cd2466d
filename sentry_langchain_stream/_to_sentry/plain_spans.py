"""Spans of a transaction that skip the SDK's serialization, which is slow.

Workaround: when a transaction ends, the SDK checks every value of every span in it, in the thread that ends the request
(sentry-sdk 2.44 to 2.75). At 2 µs per value, this costs more than everything else that the handler does for a model
call. The SDK does not check a value that has its own `__sentry_repr__`, so our spans have one. It copies a span whose
values are all plain, and leaves any other span to the SDK. If the SDK then cuts or removes values, this is not
annotated in the event's `_meta`. Can go when the SDK prepares envelopes outside of the request's thread.

If a repr processor is registered (as soon as Django is installed), the SDK checks every value anyway, so the spans are
not prepared. The benchmark has both cases (`docs/performance.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from itertools import chain, compress
from math import inf, isfinite
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Span

from . import internals
from .moved_spans import PlainSpan

_CAN_PREPARE = None not in (
    internals.serialize,
    internals.repr_processors,
    internals.format_timestamp,
    internals.is_serializing,
)


def prepared(span: Span) -> Span:
    """Make a span prepare itself for sending, and return it. Spans of other classes are not changed."""
    if _CAN_PREPARE and type(span) is Span:
        span.__class__ = _PreparedSpan  # the SDK creates the spans, and only `to_json` changes
    return span


class _PreparedSpan(Span):
    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        payload = super().to_json()
        return payload if internals.repr_processors else _Prepared(payload)


class _Prepared(dict[str, Any]):
    """The payload of a span. Event processors and the scrubber can change it like any other."""

    def __sentry_repr__(self) -> dict[str, Any]:
        options = sentry_sdk.get_client().options
        try:
            return _plain(self, options.get("max_value_length") or inf)
        except Exception:  # it is not plain, or checking a value raised
            limits = {name: options.get(name) for name in ("max_value_length", "custom_repr")}
            payload: dict[str, Any] = internals.serialize({"spans": [{**self}]}, **limits)["spans"][0]  # type: ignore[misc]
            internals.is_serializing.set(True)  # type: ignore[union-attr]  # restore: the SDK's `serialize` calls us
            return payload


_TO_MICROSECONDS = len("2026-11-28T01:02:03.000000")


def _timestamp(value: datetime) -> str:
    """Return a time as the SDK writes it."""
    if value.tzinfo is timezone.utc:  # which the times of spans are; the SDK's own way is ten times slower
        return f"{value.isoformat('T', 'microseconds')[:_TO_MICROSECONDS]}Z"
    return internals.format_timestamp(value)  # type: ignore[misc,no-any-return]


class _NotPlain(Exception):
    """The SDK would or might change a value."""


_LONGEST_CHARACTER = 4  # bytes of UTF-8; the SDK counts bytes

_TEXT = frozenset({str})
_PLAIN = frozenset({str, float, int, bool, type(None), list, datetime, dict})
_is_text, _is_float = {str}.__contains__, {float}.__contains__


def _plain(payload: Mapping[Any, Any], longest: float) -> PlainSpan:
    """Return a copy of a span, the same that the SDK would make.

    Args:
        payload: The payload of the span. It may have mappings in it: its data, its tags.
        longest: The maximum length of a text, in bytes.

    Raises:
        _NotPlain: The SDK would or might change a value.
    """
    found = PlainSpan(payload)  # a copy, because another thread may be writing
    held: list[dict[Any, Any]] = [found]
    for name in _HOLDERS:
        if type(value := found.get(name)) is dict:
            found[name] = copied = {**value}
            held.append(copied)
    # A span has some thirty values. They are looked at by what is written in C: a loop of Python's takes twice as long.
    values = [*chain.from_iterable(map(dict.values, held))]
    kinds = [*map(type, values)]
    if not (_TEXT.issuperset(map(type, chain.from_iterable(held))) and _PLAIN.issuperset(kinds)):
        raise _NotPlain
    if longest != inf and not _are_short(compress(values, map(_is_text, kinds)), longest):
        raise _NotPlain
    if not all(map(isfinite, compress(values, map(_is_float, kinds)))):
        raise _NotPlain
    dates = kinds.count(datetime)
    found.seconds = {}
    for name in _TIMES:
        if type(value := found.get(name)) is datetime:
            found[name] = text = _timestamp(value)
            found.seconds[text] = value.timestamp()
            dates -= 1
    if dates or kinds.count(dict) >= len(held):
        raise _NotPlain  # in a mapping, or a mapping in a mapping
    if list in kinds:
        for each in held:
            _copy_lists(each, longest)
    return found


def _copy_lists(held: dict[Any, Any], longest: float) -> None:
    for name, value in held.items():
        if type(value) is list:
            held[name] = texts = [*value]
            if not (all(map(_is_text, map(type, texts))) and _are_short(texts, longest)):
                raise _NotPlain


_TIMES = ("start_timestamp", "timestamp")
_HOLDERS = ("data", "tags")
"""What holds the values of a span that are not its own."""


def _are_short(texts: Iterable[str], longest: float) -> bool:
    return max(map(len, texts), default=0) * _LONGEST_CHARACTER <= longest
