"""Where the source of a tracked stream runs: in a context that requests an item of it, or its end, until it returns."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

from .._runtime import interpreter
from .._runtime.containment import contained
from .._to_sentry.pulled_streams import Begun, Pull

_running: ContextVar[ReferenceType[Any] | None] = ContextVar("sentry_langchain_stream_tracked", default=None)


class Pulled(NamedTuple):
    """A request for an item, or for the end, which runs the source in one context."""

    token: Token[ReferenceType[Any] | None]
    inside: tuple[Pull, Begun] | None


def begin(stream: object, pull: Pull | None) -> Pulled:
    """From now on the source of a stream is running in this context.

    Args:
        stream: The stream.
        pull: Its span, if it has one.
    """
    token, inside = _running.set(ref(stream)), None
    with contained("nesting"):
        if pull is not None:
            inside = pull, pull.begin()
    return Pulled(token, inside)


def pause(pulled: Pulled) -> None:
    """The source has returned or raised: from now on the consumer is running."""
    if not interpreter.is_collecting():
        with suppress(ValueError):  # closed from another context, which never ran the source
            _running.reset(pulled.token)
    if pulled.inside is not None:
        pull, begun = pulled.inside
        with contained("nesting"):
            pull.pause(begun)


def running() -> Any | None:
    """Return the innermost tracked stream whose source is running in this context."""
    found = _running.get()
    return found() if found is not None else None
