"""A monotonic clock that can be moved forward for the whole process, and timers that follow it.

Call `install()` before anything else is imported: modules that take a clock by name take the one that can be moved.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

_later = 0.0
_waiting: list[MovedTimer] = []


def _moved(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + _later


class MovedTimer:
    """Stands in for `threading.Timer`: it is due by the clock that can be moved, and never by itself."""

    daemon = True
    name = ""

    def __init__(self, interval: float, function: Callable[..., Any]) -> None:
        self.interval = interval
        self._function = function
        self._due = 0.0

    def start(self) -> None:
        """Wait for the clock."""
        self._due = time.monotonic() + self.interval
        _waiting.append(self)

    def is_alive(self) -> bool:
        """Whether it still waits."""
        return self in _waiting

    def run(self) -> None:
        """Call the function in a thread, as a timer does."""
        thread = threading.Thread(target=self._function, name=self.name)
        thread.start()
        thread.join()
        _waiting.remove(self)


def install() -> None:
    """Replace the clocks and the timers of this process."""
    vars(time).update(monotonic=_moved(time.monotonic), perf_counter=_moved(time.perf_counter))
    vars(threading).update(Timer=MovedTimer)


def advance(seconds: float) -> None:
    """Let time pass. What is due by then is done, in its order."""
    global _later
    until = time.monotonic() + seconds
    while due := [each for each in _waiting if each._due <= until]:
        first = min(due, key=lambda each: each._due)
        _later += max(0.0, first._due - time.monotonic())
        first.run()
    _later += max(0.0, until - time.monotonic())
