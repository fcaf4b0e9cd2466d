"""Whether the calling code runs in a function that the user gave us: `redact` or `token_counter`.

Such a function may call a model of LangChain, for example one that finds personal data. It would be called for that
model's prompt too, and so on without end. So neither we nor Sentry's integrations follow what runs inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import sentry_sdk

from . import scope_internals

T = TypeVar("T")

ever = False
"""Whether such a function has been called in this process. Mostly none has: ask that first where it has to be quick."""

_asking: ContextVar[bool] = ContextVar("sentry_langchain_stream_asking", default=False)
"""Copied to tasks, to `asyncio.to_thread`, and to the threads of LangChain's executors."""


class Asked(Generic[T]):
    """A user's function. It can be pickled if the function can.

    Args:
        function: The function.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[[str], T]) -> None:
        self.function = function

    def __call__(self, text: str) -> T:
        """Call the function. What runs inside it is not followed."""
        global ever
        ever = True
        token = _asking.set(True)
        try:
            with sentry_sdk.new_scope() as scope:
                mark = _Mark()
                scope.add_event_processor(mark)
                _live.add(mark)
                try:
                    return self.function(text)
                finally:
                    mark.is_live = False
                    _live.discard(mark)
        finally:
            _asking.reset(token)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Asked) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)


class _Mark:
    """Marks the current scope, which Sentry's ThreadingIntegration copies to plain threads and thread pools.

    It is an event processor that changes nothing, because those are copied with a scope. A thread that the user's
    function starts may outlive the function and serve others, so the mark counts no longer than that.
    """

    is_live = True

    def __call__(self, event: Any, hint: Any) -> Any:
        return event


_live: set[_Mark] = set()
"""The marks of the functions that are being called, in whatever thread. Mostly there are none."""


def guarded(function: Callable[[str], T] | None) -> Asked[T] | None:
    """Return a user's function so that nothing that runs inside it is followed."""
    return function if function is None or isinstance(function, Asked) else Asked(function)


def plain(function: Any) -> Any:
    """Return the function that was guarded, or what is no guarded function as it is."""
    return function.function if isinstance(function, Asked) else function


def is_asking() -> bool:
    """Whether the calling code runs in a user's function, perhaps in a thread that this has started."""
    if _asking.get():
        return True
    if not _live:
        return False
    marks = scope_internals.event_processors(sentry_sdk.get_current_scope())
    return any(type(each) is _Mark and each.is_live for each in marks)
