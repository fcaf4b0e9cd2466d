"""The lock that this package uses: nobody waits for it for ever."""

from __future__ import annotations

import re
import sys
from functools import partial
from threading import RLock
from types import FrameType
from typing import TYPE_CHECKING, Any

from .interpreter import collecting

if TYPE_CHECKING:
    _Lock = object
else:
    _Lock = type(RLock())  # Python's own, or that of gevent or eventlet


class PatientLock(_Lock):
    """A reentrant lock, for `with`. Nobody waits for a thread that does not go on, or does not know that it has it.

    Whoever waits for it while garbage is being collected goes on without it. Garbage may be collected at any point,
    also by the thread that has the lock. What is collected may be a stream of LangGraph's, which waits for its threads
    when it is closed; and these may be waiting for this lock (langgraph 1.0 to 1.2). Then the thread that has it stands
    still, and nobody else is about to change what it protects.

    And a thread may have left the lock behind: the exception of a signal handler, or one that another thread sets, may
    arrive between two instructions, when the lock has just been taken and no `finally` is in force yet, or before it is
    given back. Then another lock takes its place.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
        def release(self) -> None: ...

    def __enter__(self) -> bool:
        return self.acquire(False) or self._wait()

    def __exit__(self, *_: object) -> None:
        try:
            self.release()
        except RuntimeError:
            self._give_back_other()

    def _wait(self) -> bool:
        while self not in _instead:
            if self.acquire(True, _PATIENCE):
                return True
            if collecting:
                return False
            if self._is_left_behind():
                _instead.setdefault(self, PatientLock())
        return _instead[self].__enter__()

    def _give_back_other(self) -> None:
        """Give back the lock that took the place of this one, unless this thread went on without any."""
        other = _instead.get(self)
        if other is not None:
            other.__exit__()

    def _is_left_behind(self) -> bool:
        """Whether the thread that has the lock runs none of this package's code, so that it will not give it back."""
        if not _SAYS_ITS_OWNER:
            return False
        # Both at one moment: between two calls of Python code, another thread may give the lock back and go on.
        call: Any = partial.__call__
        told = map(call, (partial(repr, self), partial(sys._current_frames)))
        said, frames = told
        owner = _OWNER.search(said)
        if owner is None:
            return False
        frame: FrameType | None = frames.get(int(owner[1]))
        while frame is not None:
            if str(frame.f_globals.get("__name__")).startswith(_PACKAGE):
                return False
            frame = frame.f_back
        return True


_instead: dict[PatientLock, PatientLock] = {}
"""The locks that were left behind, and what takes the place of each."""

_PATIENCE = 0.05
"""Seconds after which it is asked whether garbage is being collected, and what the thread that has the lock does."""
_SAYS_ITS_OWNER = _Lock.__module__ == "_thread"
"""Whether the lock is Python's own. Others belong to greenlets, whose stacks are not those of threads."""
_OWNER = re.compile(r"\bowner=([1-9]\d*) ")
"""What Python's own says of a lock, and nothing else: the identifier of its thread, or 0 (Python 3.10 to 3.15)."""
_PACKAGE = __name__.partition(".")[0] + "."
