"""Streams that are not LangChain's: their span is active while their source is pulled."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import suppress
from contextvars import Token
from typing import NamedTuple

from .._runtime import interpreter
from .active_span import RunScope, enter, leave
from .calling_code import find_run, key_of, pulled
from .span_models import AnySpan


class Begun(NamedTuple):
    """A request for an item of a stream, or for its end, that goes on in one context."""

    scope: RunScope | None
    token: Token[tuple[Pull, Hashable] | None]


class Pull:
    """The span of a stream that is not LangChain's: active while its source is pulled.

    Args:
        span: The span.
    """

    __slots__ = ("is_over", "span")

    def __init__(self, span: AnySpan) -> None:
        self.span = span
        self.is_over = False

    def begin(self) -> Begun:
        """The source is pulled: what runs next in this context is inside. Several contexts may pull at a time."""
        outer = key_of(find_run())
        return Begun(enter(id(self), is_root=True), pulled.set((self, outer)))

    def pause(self, begun: Begun) -> None:
        """The consumer goes on: what runs next in this context is outside."""
        if not interpreter.is_collecting():
            with suppress(ValueError):  # closed from another context, which was never inside
                pulled.reset(begun.token)
        if begun.scope is not None:
            leave(begun.scope, id(self))

    def end(self) -> None:
        """The stream has ended."""
        self.is_over = True

    def is_live(self) -> bool:
        """Whether the stream has not ended."""
        return not self.is_over
