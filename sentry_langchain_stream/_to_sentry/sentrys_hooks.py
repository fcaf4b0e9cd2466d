"""Whether the calling code runs in a hook that Sentry's SDK has called for something of ours.

Such a hook (`before_send_transaction`, `before_send_span`, `traces_sampler`, an event processor, a transport) may call
a model of LangChain, for example one that sums up what is sent. If that call were followed, the hook would be called
for its spans too, and so on without end. So what runs inside a hook is not followed, while it is called for what we
send.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from threading import get_ident
from typing import ParamSpec, TypeVar

from .._runtime.interpreter import is_on_stack

P = ParamSpec("P")
T = TypeVar("T")

_ARE_GREENLETS = get_ident.__module__ != "_thread"
"""Whether gevent has put greenlets in the place of threads."""


class _Call:
    """A call of the SDK in which it may call hooks. No other one equals it: a context may outlive it.

    Args:
        thread: The identifier of its thread.
        frame_id: The identity of the frame there that has called the SDK.
    """

    __slots__ = ("frame_id", "thread")

    def __init__(self, thread: int, frame_id: int) -> None:
        self.thread, self.frame_id = thread, frame_id


under_way: set[_Call] = set()
"""The calls of the SDK that go on, in any thread. Mostly there are none: ask that first where it has to be quick."""

_here: ContextVar[_Call | None] = ContextVar("sentry_langchain_stream_hook", default=None)
"""Copied to tasks, to `asyncio.to_thread`, and to the threads of LangChain's executors."""


def unfollowed(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call the SDK. Runs that start in the hooks that it calls are not followed."""
    call = _Call(get_ident(), id(sys._getframe()))
    token = None
    try:
        under_way.add(call)
        token = _here.set(call)
        return work(*args, **kwargs)
    finally:
        under_way.discard(call)
        if token is not None:
            _here.reset(token)


def is_inside() -> bool:
    """Whether the calling code runs in such a hook, perhaps in a thread that the hook has started.

    A time limit may strike before the mark is taken away. So it counts only while the call is on its thread's stack:
    else no run in this context would be followed any more.
    """
    call = _here.get()
    if call is None or call not in under_way:
        return False
    # Python does not know the stacks of other greenlets.
    if _ARE_GREENLETS or any(is_on_stack(call.frame_id, unfollowed.__code__, each) for each in (None, call.thread)):
        return True
    under_way.discard(call)
    return False
