"""Does in another thread what this one cannot do now: it collects garbage, or is in the midst of the SDK's code.

Whoever gives work away takes no lock and waits for nothing. Garbage may be collected at any point, also where this
thread has the lock of `threading` that starts threads, or where a greenlet must not give up control. So a thread
without `threading` starts the one that does the work. It is a daemon: whoever exits, or sends, waits with `finishing`.
"""

from __future__ import annotations

import _thread
import threading
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
    _workers.clear()


_waiting: deque[Work] = deque()


class _Worker:
    """Does what waits, until there is nothing."""

    __slots__ = ("began", "ident")

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ident: int | None = None

    def start(self) -> None:
        """Do it in a thread that `threading` knows: else it would make up one, and never forget it."""
        thread = threading.Thread(target=self.run, name="sentry-langchain-stream", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the process exits
            self.run()

    def run(self) -> None:
        """Do it in this thread."""
        self.ident = _thread.get_ident()
        try:
            with suppress(IndexError):
                while True:
                    self._do(_waiting.popleft())
        finally:
            with suppress(ValueError):
                _workers.remove(self)
            if _waiting:  # given away when this thread had found that there is nothing
                _start()

    def _do(self, work: Work) -> None:
        self.began = time.monotonic()
        with contained("work in another thread"):
            Context().run(work)


_workers: list[_Worker] = []


def _start() -> bool:
    """Have a thread that does what waits: one for all, unless that is in the midst of something that takes long."""
    now = time.monotonic()
    if not _waiting or any(now - each.began < _LONG for each in _workers):
        return True
    worker = _Worker()
    _workers.append(worker)
    try:
        _thread.start_new_thread(worker.start, ())
    except RuntimeError:
        _workers.remove(worker)
        return False
    return True


def _is_unfinished() -> bool:
    here = _thread.get_ident()
    return bool(_waiting) or any(each.ident != here for each in _workers)
