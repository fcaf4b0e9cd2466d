"""Notice the ends that LangChain does not signal: a task that is done, a process that exits."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable
from contextvars import Context
from functools import cache, partial
from typing import Any, Protocol
from uuid import UUID

from .._runtime import interpreter
from .run import Run


def task(run: Run, ended: Callable[[UUID, bool], None]) -> None:
    """Call `ended(run id, whether it was cancelled)` when the current task is done. Without one, do nothing.

    The watch is taken back with `run.unwatch()`, so that a task that makes many calls gathers none of them.
    """
    current = interpreter.current_task()
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
    return started_in is interpreter.current_task()


def _unwatch(task: Callable[[], asyncio.Task[Any] | None], done: Callable[[asyncio.Task[Any]], None]) -> None:
    found = task()
    if found is not None:
        found.remove_done_callback(done)


def elsewhere(work: Callable[[], object]) -> bool:
    """Do it in a thread and a context of its own.

    Returns whether there could be a thread: not while the interpreter shuts down.
    """
    try:
        threading.Thread(target=Context().run, args=(work,), name="sentry-langchain-stream").start()
    except RuntimeError:
        return False
    return True


class Followed(Protocol):
    """What follows runs."""

    def end_all(self, evicted: str) -> None:
        """End every live run, and say why."""

    def forget(self) -> None:
        """Forget every live run."""


_all: weakref.WeakSet[Followed] = weakref.WeakSet()


def process(runs: Followed) -> None:
    """End these runs when the process exits, and forget them in its forks.

    Call it once there is a Sentry client. Exit functions run in reverse order, and Sentry's, which sends what is left
    and closes the client, is registered by `sentry_sdk.init` and must run after ours.
    """
    if runs not in _all:
        _all.add(runs)
        _register()


@cache
def _register() -> None:
    interpreter.watch_collections()
    atexit.register(_end_all)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)


def _end_all() -> None:
    for runs in list(_all):
        runs.end_all("exit")


def _forget_all() -> None:
    for runs in list(_all):
        runs.forget()
