"""Spans of a transaction that are ready to be sent.

As a transaction ends, the SDK looks at each value of each span in it, lest there be one that cannot be sent (sentry-sdk
2.75). At 2 µs a value that is more than all else a model's span costs, and it is the request that waits. What has a
`__sentry_repr__` the SDK takes as that says. So our spans say it themselves while all they hold is plain, and leave it
to the SDK where something is not. What it then cuts or leaves out, it does not annotate in the event's `_meta`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import inf, isfinite
from typing import Any

import sentry_sdk
from sentry_sdk import utils
from sentry_sdk.consts import DEFAULT_MAX_VALUE_LENGTH
from sentry_sdk.serializer import global_repr_processors, serialize
from sentry_sdk.tracing import Span


def prepared(span: Span) -> Span:
    """The same span, which from now on says by itself how it is sent. Those of other classes stay as they are."""
    if type(span) is Span:
        span.__class__ = _PreparedSpan  # it is the SDK that makes spans, and only what they tell is to change
    return span


class _PreparedSpan(Span):
    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        return _Prepared(super().to_json())


class _Prepared(dict[str, Any]):
    """A span as JSON. Event processors and the scrubber may change it like any other."""

    def __sentry_repr__(self) -> dict[str, Any]:
        options = sentry_sdk.get_client().options
        if not global_repr_processors:  # they are asked about every value, so there is none that needs no look
            try:
                return _plain(self, options.get("max_value_length") or DEFAULT_MAX_VALUE_LENGTH or inf)
            except Exception:  # it is not plain, or not even to be looked at
                pass
        limits = {name: options.get(name) for name in ("max_value_length", "custom_repr")}
        told: dict[str, Any] = serialize({"spans": [{**self}]}, **limits)["spans"][0]
        utils.disable_capture_event.set(True)  # as it was before: we are called by the SDK's own `serialize`
        return told


class _NotPlain(Exception):
    """Something is not to be sent as it is."""


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
            found[name] = utils.format_timestamp(value)
        elif kind is dict and holds:
            found[name] = _plain(value, longest, holds=False)
        else:
            raise _NotPlain
    return found
