"""The lock that this package uses: nobody waits for it for ever."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

from .interpreter import collecting

if TYPE_CHECKING:
    _Lock = object
else:
    _Lock = type(RLock())  # Python's own, or that of gevent or eventlet


class PatientLock(_Lock):
    """A reentrant lock, for `with`. Whoever waits for it while garbage is being collected goes on without it.

    Garbage may be collected at any point, also by the thread that has the lock. What is collected may be a stream of
    LangGraph's, which waits for its threads when it is closed; and these may be waiting for this lock (langgraph 1.0 to
    1.2). Then the thread that has it stands still, and nobody else is about to change what it protects.
    """

    __slots__ = ()

    if TYPE_CHECKING:

        def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
        def release(self) -> None: ...

    def __enter__(self) -> bool:
        while not self.acquire(True, _PATIENCE):
            if collecting:
                return False
        return True

    def __exit__(self, *_: object) -> None:
        try:  # noqa: SIM105 -- each start and each end of a run passes here
            self.release()
        except RuntimeError:
            pass  # it went on without it


_PATIENCE = 0.05
"""Seconds after which it is asked whether garbage is being collected."""
