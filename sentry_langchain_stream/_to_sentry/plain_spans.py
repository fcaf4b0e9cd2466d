"""Spans of a transaction that skip the SDK's serialization, which is slow.

Workaround: when a transaction ends, the SDK checks every value of every span in it, in the thread that ends the request
(sentry-sdk 2.44 to 2.75). At 2 µs per value, this costs more than everything else that the handler does for a model
call. The SDK does not check a value that has its own `__sentry_repr__`, so our spans have one. It copies a span whose
values are all plain, and leaves any other span to the SDK. If the SDK then cuts or removes values, this is not
annotated in the event's `_meta`. Can go when the SDK prepares envelopes outside of the request's thread.

If the application has registered a repr processor, which the SDK asks about every value of a span, the spans are left
to the SDK, and only roots are prepared. Django's, which is there as soon as Django is installed, changes nothing plain.
The benchmark has both cases (`docs/benchmarks.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from math import inf, isfinite
from typing import Any, TypeVar

import sentry_sdk
from sentry_sdk.tracing import Span, Transaction

from .._runtime.containment import pass_on
from . import internals
from .moved_spans import PlainSpan

_Found = TypeVar("_Found", bound=dict[Any, Any])

_CAN_PREPARE = None not in (
    internals.serialize,
    internals.repr_processors,
    internals.format_timestamp,
    internals.is_serializing,
)


def prepared(span: Span) -> Span:
    """Make a span prepare itself for sending, and return it. Spans of other classes are not changed."""
    if _CAN_PREPARE:  # the SDK creates the spans, and only what it sends of them changes
        if type(span) is Span:
            span.__class__ = _PreparedSpan
        elif type(span) is Transaction:
            span.__class__ = _PreparedTransaction
    return span


class _PreparedSpan(Span):
    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        payload = super().to_json()
        return payload if internals.may_change_plain_values() else _Prepared(payload)


class _PreparedTransaction(Transaction):
    """A root. It is sent as the event's trace context, of whose values the SDK asks no processor."""

    __slots__ = ()

    def get_trace_context(self) -> Any:
        return _PreparedContext(super().get_trace_context())


class _Prepared(dict[str, Any]):
    """The payload of a span. Event processors and the scrubber can change it like any other."""

    def __sentry_repr__(self) -> dict[str, Any]:
        longest = sentry_sdk.get_client().options.get("max_value_length") or inf
        try:
            return _plain(self, longest)
        except Exception as error:  # it is not plain, or checking a value raised
            pass_on(error)
            payload: dict[str, Any] = _left_to_the_sdk({"spans": [{**self}]})["spans"][0]
            return payload


class _PreparedContext(dict[str, Any]):
    """The same of a root, which has no times there."""

    def __sentry_repr__(self) -> dict[str, Any]:
        longest = sentry_sdk.get_client().options.get("max_value_length") or inf
        try:
            return _checked({**self}, longest)
        except Exception as error:
            pass_on(error)
            context: dict[str, Any] = _left_to_the_sdk({"contexts": {"trace": {**self}}})["contexts"]["trace"]
            return context


def _left_to_the_sdk(event: dict[str, Any]) -> dict[str, Any]:
    options = sentry_sdk.get_client().options
    limits = {name: options.get(name) for name in ("max_value_length", "custom_repr")}
    serialized: dict[str, Any] = internals.serialize(event, **limits)  # type: ignore[misc]
    internals.is_serializing.set(True)  # type: ignore[union-attr]  # restore: the SDK's `serialize` calls us
    return serialized


def _timestamp(value: datetime) -> str:
    """Return a time as the SDK writes it."""
    if value.tzinfo is timezone.utc:  # which the times of spans are; the SDK's own way is ten times slower
        date, time = (value.year, value.month, value.day), (value.hour, value.minute, value.second, value.microsecond)
        return _AS_SENT % (*date, *time)  # `isoformat` asks the time zone, which takes longer
    return internals.format_timestamp(value)  # type: ignore[misc,no-any-return]


_AS_SENT = "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ"


class _NotPlain(Exception):
    """The SDK would or might change a value."""


def _plain(payload: Mapping[Any, Any], longest: float) -> PlainSpan:
    """Return a copy of a span, the same that the SDK would make.

    Args:
        payload: The payload of the span. It may have mappings in it: its data, its tags.
        longest: The maximum length of a text, in bytes.

    Raises:
        _NotPlain: The SDK would or might change a value.
    """
    found = PlainSpan(payload)  # a copy, because another thread may be writing
    found.seconds = {}
    for name in _TIMES:
        if type(value := found.get(name)) is datetime:
            found[name] = text = _timestamp(value)
            found.seconds[text] = value.timestamp()
    return _checked(found, longest)


def _checked(found: _Found, longest: float) -> _Found:
    """Copy what a payload holds, and return it if the SDK would change no value.

    Raises:
        _NotPlain: The SDK would or might change a value.
    """
    held: list[dict[Any, Any]] = [found]
    for name in _HOLDERS:
        if type(value := found.get(name)) is dict:
            found[name] = copied = {**value}
            held.append(copied)
    most, inside = longest / _LONGEST_CHARACTER, 1
    for each in held:
        for key, value in each.items():
            kind = type(value)
            if kind is str:
                if len(value) > most:
                    raise _NotPlain
            elif kind is float:
                if not isfinite(value):
                    raise _NotPlain
            elif kind is list:
                each[key] = [*value]
                if not all(type(text) is str and len(text) <= most for text in each[key]):
                    raise _NotPlain
            elif kind is dict:
                inside += 1
            elif kind is not int and kind is not bool and value is not None:
                raise _NotPlain
            if type(key) is not str:
                raise _NotPlain
    if inside != len(held):
        raise _NotPlain  # a mapping in a mapping
    return found


_TIMES = ("start_timestamp", "timestamp")
_HOLDERS = ("data", "tags", "dynamic_sampling_context")
"""What holds the values of a span that are not its own."""
_LONGEST_CHARACTER = 4  # bytes of UTF-8; the SDK counts bytes
