"""Notice the ends that LangChain does not signal: a task that is done, a process that exits."""

from __future__ import annotations

import asyncio
import atexit
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Protocol
from uuid import UUID

from .record import Run


def task(run: Run, ended: Callable[[UUID, bool], None]) -> None:
    """Call `ended(run id, whether it was cancelled)` when the current task is done. Without one, do nothing.

    The watch is taken back with `run.unwatch()`, so that a task that makes many calls gathers none of them.
    """
    current = _current()
    if current is None:
        return

    def done(task: asyncio.Task[Any], run_id: UUID = run.id) -> None:
        # Not `task.exception()`: asking for it would silence asyncio's "exception was never retrieved".
        ended(run_id, task.cancelled())

    current.add_done_callback(done)
    run.task = weakref.ref(current)
    run.unwatch = partial(_unwatch, run.task, done)


def is_current(run: Run) -> bool:
    """Whether we are in the task that started the run, or in none, as then.

    LangChain's async manager signals ends from a task of its own; the sync one from where the run started.
    """
    started_in = run.task() if run.task is not None else None
    return started_in is _current()


def _unwatch(task: Callable[[], asyncio.Task[Any] | None], done: Callable[[asyncio.Task[Any]], None]) -> None:
    found = task()
    if found is not None:
        found.remove_done_callback(done)


def _current() -> asyncio.Task[Any] | None:
    # `current_task` raises without a running loop, which costs more than to ask first.
    return asyncio.current_task() if asyncio._get_running_loop() is not None else None


class Endable(Protocol):
    """What can end all its runs."""

    def end_all(self, evicted: str) -> None:
        """End every live run, and say why."""


_all: weakref.WeakSet[Endable] = weakref.WeakSet()


def exit(runs: Endable) -> None:
    """End these runs when the process exits. Call it once there is a Sentry client, see below."""
    if runs not in _all:
        _all.add(runs)
        _register()


@cache
def _register() -> None:
    # Exit functions run in reverse order. Sentry's, which sends what is left and closes the client, is registered
    # by `sentry_sdk.init` and must run after ours.
    atexit.register(_end_all)


def _end_all() -> None:
    for runs in list(_all):
        runs.end_all("exit")
