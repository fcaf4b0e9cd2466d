"""The event loop in which the doctor awaits whatever is async of the application.

It is one loop for all: a client that the application makes keeps its connections to the loop that it was first used in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Any, TypeVar

from .findings import Finding

T = TypeVar("T")

PATIENCE = 5.0
"""How many seconds a task that is cancelled has to end."""


class OneLoop:
    """An event loop that lives as long as a `with` block. `asyncio.Runner` is that from Python 3.11 on.

    It is made when it is needed: the application may choose which kind.
    """

    def __init__(self) -> None:
        self._made: asyncio.AbstractEventLoop | None = None
        self._stuck: set[asyncio.Task[Any]] = set()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._made is None:
            self._made = asyncio.new_event_loop()
        return self._made

    def __enter__(self) -> OneLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made is None:
            return
        try:
            self._cancel(asyncio.all_tasks(self._loop))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            if self._stuck:  # asyncio would log that they are destroyed, and Sentry would report that
                self._loop.set_exception_handler(lambda loop, context: None)
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns. Tasks that it has started go on with the next one."""
        return self._loop.run_until_complete(work)

    def run_whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns. Tasks that it has left are cancelled, as by `asyncio.run`."""
        before = asyncio.all_tasks(self._loop)
        try:
            return self.run(work)
        finally:
            self._cancel(asyncio.all_tasks(self._loop) - before)

    def findings(self) -> list[Finding]:
        """Return a warning if tasks have gone on though they were cancelled, else nothing."""
        if not self._stuck:
            return []
        names = ", ".join(sorted(getattr(task.get_coro(), "__qualname__", "?") for task in self._stuck))
        found = f"cancelled, but still running after {PATIENCE:g} s: {names}"
        return [Finding("tasks", "warning", found, "Let asyncio.CancelledError through, or asyncio.run never returns.")]

    def _cancel(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        left = set(tasks) - self._stuck
        for task in left:
            task.cancel()
        if left:
            ended, stuck = self._loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
            self._stuck |= stuck
            for task in ended:
                if not task.cancelled():
                    task.exception()  # or asyncio logs that nobody has asked for it
