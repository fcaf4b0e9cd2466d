"""Whether the exception of a failed run is still on its way: somebody handles it, or the SDK makes an event of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any
from uuid import UUID

from .._content import error_texts
from . import internals, issues


def runs_of(error: BaseException | None) -> set[UUID]:
    """Return the runs that an exception has come through, and those that its causes and contexts have."""
    parts = error_texts.chain(error) if error is not None else ()
    return {run.run_id for part in parts for run in issues.passed(part)}


def is_on_its_way(run_id: UUID, thread: int) -> bool:
    """Whether some code is still handling the failure of a run, or the SDK is looking at one in this thread.

    An `except` or a `finally` block may take its time before it lets the exception through or reports it. And the SDK
    calls the `repr` of every variable before anybody learns that it is making an event: a lazy query asks a database.

    Args:
        run_id: The run.
        thread: The thread in which it failed.
    """
    return _is_reporting(thread) or any(run_id in runs_of(error) for error in _handled())


def _handled() -> Iterator[BaseException]:
    """Yield the exception that each thread is handling."""
    handled = getattr(sys, "_current_exceptions", None)  # documented, but for specialized purposes, and by CPython only
    for found in list(handled().values()) if handled is not None else ():
        error = found[1] if isinstance(found, tuple) else found  # a tuple before Python 3.12
        if isinstance(error, BaseException):
            yield error


def _is_reporting(thread: int) -> bool:
    code: Any = getattr(internals.event_from_exception, "__code__", None)
    frame: FrameType | None = sys._current_frames().get(thread) if code is not None else None
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None
