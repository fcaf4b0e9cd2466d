"""Does in another thread what this one cannot do now: it collects garbage, or is in the midst of the SDK's code.

Whoever gives work away takes no lock and waits for nothing. Garbage may be collected at any point, also where this
thread has the lock of `threading` that starts threads, or where a greenlet must not give up control. So our threads are
not those of `threading`, for which a process waits when it exits: whoever exits, or sends, waits with `finishing`.
"""

from __future__ import annotations

import _thread
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context

from .containment import contained
from .interpreter import is_in_collection

Work = Callable[[], object]

_LONG = 1.0
"""Seconds. What waits for work that takes longer, such as a user's function that hangs, is done by another thread."""

_PAUSE = 0.001
"""Seconds between two looks at whether all is done."""


def do(work: Work) -> bool:
    """Do some work soon, in an empty context.

    Returns:
        `False` if no thread can be started, as during interpreter shutdown.
    """
    _waiting.append(work)
    if _start():
        return True
    try:
        _waiting.remove(work)
    except ValueError:  # a thread has begun it just now
        return True
    return False


def finishing(seconds: float) -> Iterator[None]:
    """Wait until all is done, in short steps, at most so many seconds. Does nothing in a garbage collection."""
    until = time.monotonic() + seconds
    while _is_unfinished() and time.monotonic() < until and not is_in_collection():
        _start()
        time.sleep(_PAUSE)
        yield


def finish(seconds: float) -> None:
    """Wait until all is done, at most so many seconds."""
    for _ in finishing(seconds):
        pass


def forget() -> None:
    """Forget what is to be done. In a forked process, the parent process does it."""
    _waiting.clear()
    _threads.clear()


_waiting: deque[Work] = deque()


class _Thread:
    """A thread that does what waits, until there is nothing."""

    __slots__ = ("began", "ident")

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ident: int | None = None

    def run(self) -> None:
        self.ident = _thread.get_ident()
        try:
            with suppress(IndexError):
                while True:
                    self._do(_waiting.popleft())
        finally:
            with suppress(ValueError):
                _threads.remove(self)
            if _waiting:  # given away when this thread had found that there is nothing
                _start()

    def _do(self, work: Work) -> None:
        self.began = time.monotonic()
        with contained("work in another thread"):
            Context().run(work)


_threads: list[_Thread] = []


def _start() -> bool:
    """Have a thread that does what waits: one for all, unless that is in the midst of something that takes long."""
    now = time.monotonic()
    if not _waiting or any(now - each.began < _LONG for each in _threads):
        return True
    thread = _Thread()
    _threads.append(thread)
    try:
        _thread.start_new_thread(thread.run, ())
    except RuntimeError:
        _threads.remove(thread)
        return False
    return True


def _is_unfinished() -> bool:
    here = _thread.get_ident()
    return bool(_waiting) or any(each.ident != here for each in _threads)
