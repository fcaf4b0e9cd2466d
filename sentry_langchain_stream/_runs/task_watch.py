"""Notices the end of the task that a run started in."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any
from uuid import UUID


class TaskWatch:
    """Is called when a task ends.

    Args:
        task: The task.
        run_id: The run that started in it.
        ended: Is given the run's id and whether the task was cancelled.
    """

    __slots__ = ("_ended", "_run_id", "_task")

    def __init__(self, task: weakref.ref[asyncio.Task[Any]], run_id: UUID, ended: Callable[[UUID, bool], None]) -> None:
        self._task = task
        self._run_id = run_id
        self._ended = ended

    def __call__(self, task: asyncio.Task[Any]) -> None:
        # Do not call `task.exception()`: it would silence asyncio's "exception was never retrieved".
        self._ended(self._run_id, task.cancelled())

    def stop(self) -> None:
        """Remove the callback, so that callbacks do not accumulate in a task that makes many calls."""
        found = self._task()
        if found is not None:
            found.remove_done_callback(self)
