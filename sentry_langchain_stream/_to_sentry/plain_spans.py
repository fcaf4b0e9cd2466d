"""Spans of a transaction that are prepared for sending.

As a transaction ends, the SDK examines each value of each span in it, in the thread that ends the request, because
some value might be one that cannot be sent. At 2 µs a value that costs more than all else that the handler does for a
model call. The SDK leaves a value alone that has a `__sentry_repr__` of its own. So our spans have one. It copies them
as they are while all their values are plain, and leaves them to the SDK otherwise. What the SDK then cuts or leaves out
is not annotated in the event's `_meta`.

Where a repr processor is registered (as soon as Django is installed) the SDK looks at every value in any case, so such
spans are not prepared. Seen in sentry-sdk 2.44 to 2.75; can go when the SDK prepares envelopes outside the request's
thread. The benchmark has both cases (`docs/performance.md`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import inf, isfinite
from typing import Any

import sentry_sdk
from sentry_sdk.tracing import Span

from . import internals

_CAN_PREPARE = None not in (
    internals.serialize,
    internals.repr_processors,
    internals.format_timestamp,
    internals.is_serializing,
)


def prepared(span: Span) -> Span:
    """The same span, which from now on prepares itself for sending. Spans of other classes stay as they are."""
    if _CAN_PREPARE and type(span) is Span:
        span.__class__ = _PreparedSpan  # the SDK makes the spans, and only `to_json` is to change
    return span


class _PreparedSpan(Span):
    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        told = super().to_json()
        return told if internals.repr_processors else _Prepared(told)


class _Prepared(dict[str, Any]):
    """A span as JSON. Event processors and the scrubber may change it like any other."""

    def __sentry_repr__(self) -> dict[str, Any]:
        options = sentry_sdk.get_client().options
        try:
            return _plain(self, options.get("max_value_length") or inf)
        except Exception:  # it is not plain, or a value of it cannot even be looked at
            limits = {name: options.get(name) for name in ("max_value_length", "custom_repr")}
            told: dict[str, Any] = internals.serialize({"spans": [{**self}]}, **limits)["spans"][0]  # type: ignore[misc]
            internals.is_serializing.set(True)  # type: ignore[union-attr]  # as it was: the SDK's `serialize` calls us
            return told


class _NotPlain(Exception):
    """The SDK would change something, or might."""


_TEXTS = frozenset({str})
_AS_IT_IS = frozenset({int, bool, type(None)})
_LONGEST_CHARACTER = 4  # bytes of UTF-8, in which the SDK counts


def _plain(told: Mapping[Any, Any], longest: float, *, holds: bool = True) -> dict[str, Any]:
    """A copy of a span as the SDK would make it.

    Args:
        told: The span, or what it holds: its data, its tags.
        longest: How long a text may be, in bytes.
        holds: Whether there may be mappings in it.

    Raises:
        _NotPlain: The SDK would change something, or might.
    """
    found = {**told}  # a copy: another thread may be writing
    if not _TEXTS.issuperset(map(type, found)):
        raise _NotPlain
    for name, value in found.items():
        kind = type(value)
        if kind is str:
            if len(value) * _LONGEST_CHARACTER > longest:
                raise _NotPlain
        elif kind in _AS_IT_IS:
            pass
        elif kind is float:
            if not isfinite(value):
                raise _NotPlain
        elif kind is list:
            found[name] = [*value]
            if not all(type(each) is str and len(each) * _LONGEST_CHARACTER <= longest for each in found[name]):
                raise _NotPlain
        elif kind is datetime:
            found[name] = internals.format_timestamp(value)  # type: ignore[misc]
        elif kind is dict and holds:
            found[name] = _plain(value, longest, holds=False)
        else:
            raise _NotPlain
    return found
