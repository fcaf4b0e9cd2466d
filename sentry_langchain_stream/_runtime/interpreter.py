"""The state of the Python interpreter: garbage collection, the current thread and task, and the call that starts a run.

Workaround for garbage collection: a finalizer that sets a context variable can crash the interpreter (Python before
3.12). There, garbage collection may interrupt any allocation, including those in `ContextVar.set`. If a finalizer sets
a context variable at that moment, the interpreter continues with freed memory. The finalizer of an unclosed stream
ends a run, and Sentry's scopes are context variables. Since Python 3.12 garbage is collected between two instructions.
Can go when Python 3.11 is no longer supported.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from threading import local
from types import CodeType, SimpleNamespace
from typing import Any

from .containment import contained

MATTERS = sys.version_info < (3, 12)

HAS_ASYNC_CONTEXT = sys.version_info >= (3, 11)
"""Whether a task can be given a context. Else LangChain's context names no async step (langchain-core 1.0 to 1.8).
Can go when Python 3.10 is no longer supported."""


class _Phase(set[str]):
    """Is not empty from the start of a garbage collection to its end, in whichever thread.

    An attribute `start` adds the keys of what is set to it, and `stop` takes them away.
    """

    __slots__ = ()
    start = property(None, set.update)
    stop = property(None, set.difference_update)


collecting = _Phase()
"""Whether garbage is being collected in any thread. Mostly not: ask that first where it has to be quick."""
_latest, _own = SimpleNamespace(), local()
"""What Python has said of the latest collection, and of the latest one in this thread: one object, if it is that."""
_waiting: list[Callable[[], object]] = []


def is_collecting() -> bool:
    """Whether garbage is being collected in this thread, so that no context variable may be set."""
    return MATTERS and bool(collecting) and is_in_collection()


def is_in_collection() -> bool:
    """Whether garbage is being collected in this thread."""
    return bool(collecting) and getattr(_own, "start", None) is _latest.start


def after_collection(work: Callable[[], object]) -> None:
    """Call `work` when the garbage that is being collected in this thread has been finalized, else now."""
    if not is_in_collection():
        work()
        return
    if not _waiting:
        gc.callbacks.append(_go_on)
    _waiting.append(work)


@cache
def watch_collections() -> None:
    """Track garbage collections from now on.

    A signal is handled before the next instruction of Python, and what its handler raises is lost in a callback of the
    garbage collector: a time limit, Ctrl-C. Long collections end with a signal waiting. So these callbacks have no
    instructions: each is a C function, which sets an attribute called `start` or `stop`.
    """
    _callbacks.extend(partial(setattr, each) for each in (_own, _latest, collecting))
    gc.callbacks.extend(_callbacks)


_callbacks: list[Callable[..., object]] = []


def watch_no_longer() -> None:
    """Track no further collections: the process exits. gevent's thread-local objects fail then (gevent 26.9)."""
    for each in _callbacks:
        with suppress(ValueError):
            gc.callbacks.remove(each)
    collecting.clear()


def forget() -> None:
    """Forget the collections in other threads: a forked process has this thread alone."""
    if not is_in_collection():
        collecting.clear()


def _go_on(*_: object) -> None:
    """Do what waits for the end of the collection. It is a callback only while something waits."""
    gc.callbacks.remove(_go_on)
    collecting.add("waiting")  # the collection may have interrupted the setting of a context variable
    try:
        while _waiting:  # what is done here may have more to wait for
            try:
                with contained("after garbage collection"):
                    _waiting[0]()
            finally:
                del _waiting[0]
    finally:
        collecting.clear()
        if _waiting:  # a signal has interrupted this
            gc.callbacks.append(_go_on)


class _Thread(local):
    def __init__(self) -> None:
        self.identity = object()


_thread = _Thread()


def thread_identity() -> object:
    """Return an object that only this thread has. Its ident may be that of another thread when it has ended."""
    return _thread.identity


def current_task() -> asyncio.Task[Any] | None:
    """Return the current task, or `None` outside of a task.

    Ask seldom: before Python 3.12, asyncio asks the system for the process's id each time that it looks for its loop.
    """
    loop = running_loop()
    return None if loop is None else asyncio.current_task(loop)


def _found_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


running_loop: Callable[[], asyncio.AbstractEventLoop | None] = getattr(asyncio, "_get_running_loop", _found_loop)
"""Returns the event loop that runs in this thread, or `None`. asyncio's own function for that, which is not documented
but for the authors of event loops (Python 3.10 to 3.15), raises nothing where there is none."""


def with_subclasses(base: type) -> Iterator[type]:
    """Yield a class and all classes below it, each once. No class is asked: `type` knows them."""
    seen: set[type] = set()
    pending = [base]
    while pending:
        cls = pending.pop()
        if cls not in seen:
            seen.add(cls)
            yield cls
            pending.extend(type.__subclasses__(cls))


def is_on_stack(frame_id: int, code: CodeType, thread: int | None = None) -> bool:
    """Whether a frame is on a stack, by its identity and its code: the identity may be used again.

    Args:
        frame_id: The identity of the frame.
        code: Its code.
        thread: The identifier of the thread whose stack it is. The default is this one, also where it is a greenlet.
    """
    frame = sys._getframe(1) if thread is None else sys._current_frames().get(thread)
    while frame is not None:
        if id(frame) == frame_id and frame.f_code is code:
            return True
        frame = frame.f_back
    return False
