"""Ends runs where LangChain signals no end: when their task or their call is over, and when the process exits."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import cache, partial
from uuid import UUID

from .._runtime import aside, interpreter
from .._runtime.containment import contained
from .._to_sentry import client_flushes
from .kinds import CHAINS, WATCHED, Outcome
from .numbers import Number, number
from .run import CallWatch, Keeper, Run
from .task_watch import TaskWatch

WatchCall = Callable[[Callable[[UUID, bool], None], UUID], CallWatch | None]
"""Watches the call that is starting a run, and calls the function when that call is over: with the run's id, and with
whether the call was a stream that the caller read. Returns `None` if the call cannot be watched.
"""


class Watching:
    """Watches for ends that LangChain does not signal.

    Args:
        get: Returns the live run of a number.
        end: Ends a run.
        watch_call: Watches the call that starts a run, if there is one.
    """

    def __init__(
        self, get: Callable[[Number], Run | None], end: Callable[[UUID, Outcome], None], watch_call: WatchCall | None
    ) -> None:
        self._get = get
        self._end = end
        self._watch_call = watch_call
        self._call_over_soon = self._note_call_over  # one bound method for all runs
        self._end_with_task = self._task_ended

    def watch(self, run: Run) -> None:
        """Watch for an end that LangChain does not signal. A chain below another one ends with its parent."""
        # LangChain signals no end of an async stream that is collected after its loop was closed.
        may_be_lost = run.kind in CHAINS and run.parent is None and interpreter.running_loop() is not None
        if (run.kind in WATCHED or run.has_fallbacks or may_be_lost) and self._watch_call is not None:
            run.thread = threading.get_ident()
            run.call_watch = self._watch_call(self._call_over_soon, run.id)
        if run.kind in CHAINS and run.parent is not None:
            return
        current = interpreter.current_task()
        if current is None:
            return
        run.task = weakref.ref(current)
        # A call mostly ends before its task does, or with it. If nothing is sent of it, that is early enough.
        if run.place.recording or run.call is not None or run.call_watch is None:
            run.task_watch = TaskWatch(run.task, run.id, self._end_with_task)
            current.add_done_callback(run.task_watch)

    def _note_call_over(self, run_id: UUID, was_stream: bool) -> None:
        """A call is over, of which LangChain may yet signal the end."""
        soon(partial(self._call_over, run_id, was_stream))

    def _call_over(self, run_id: UUID, was_stream: bool) -> None:
        """End a run whose call is over, though LangChain has not ended it: timed out, broken off, or left early."""
        run = self._get(number(run_id))
        if run is None or run.ending.leaving:
            return
        if was_stream and _is_closed_next(run):
            run.ending.is_over = True
            return
        streamed = was_stream if run.kind in CHAINS else run.call is not None and run.call.streamed
        # Where a batch with fallbacks raises, LangChain ends none of its calls (langchain-core 1.0 to 1.8).
        has_failed = 0 < run.ending.attempts == run.ending.failures
        outcome: Outcome = "failed" if has_failed else "cancelled"
        with contained("end of a call"):
            self._end(run_id, "abandoned" if run.kind == "tool" or streamed else outcome)

    def _task_ended(self, run_id: UUID, cancelled: bool) -> None:
        """End a run whose task has ended, unless the run may go on without the task.

        Inside chains each chunk of a stream is fetched in a separate task. So the end of a task does not end a chain or
        a stream that has begun, unless the task was cancelled. The same holds for a text model: `agenerate` starts each
        run in a task that ends right after the start.
        """
        run = self._get(number(run_id))
        if run is None:
            return
        call = run.call
        goes_on = run.kind in CHAINS or (
            call is not None and (call.streamed or call.request.operation == "text_completion")
        )
        if cancelled or not goes_on:
            with contained("end of a task"):
                self._end(run_id, "cancelled")


def _is_closed_next(run: Run) -> bool:
    """Whether what is in a call with fallbacks is closed as soon as its stream is gone, which ends the call, too.

    That is so in sync code, unless the call has used a fallback: then it keeps the failure, which keeps the streams.
    """
    is_closed = run.has_fallbacks and run.below is not None and not run.ending.failures
    return is_closed and interpreter.running_loop() is None


def soon(work: Callable[[], None]) -> None:
    """Call `work` two turns of the event loop later, or now if there is none: LangChain may yet signal the end."""
    loop = interpreter.running_loop()
    if loop is None:
        work()
    else:
        context = Context()
        loop.call_soon(partial(loop.call_soon, work, context=context), context=context)


def is_current(run: Run) -> bool:
    """Whether the current task started the run. If the run started outside of a task: whether there is no task now.

    LangChain's async callback manager signals ends from a task of its own. The sync one signals them where the run
    started.
    """
    started_in = run.task() if run.task is not None else None
    return started_in is interpreter.current_task()


def goes_on(run: Run, parent: Run) -> bool:
    """Whether a model's or retriever's call is still running, in another task or thread than its parent's.

    LangChain's callback manager is alive as long as its call is. Without this, a call that a node starts and does not
    wait for would end with the node.
    """
    watch = run.call_watch
    if watch is None or watch() is None:
        return False
    task = run.task() if run.task is not None else None
    if task is None:
        return run.thread != threading.get_ident() and interpreter.current_task() is None
    root = parent.root()
    return not task.done() and task is not (root.task() if root.task is not None else None)


def do_aside(work: Callable[[], object], client: object | None) -> bool:
    """Have another thread do some work, and this client wait for it when it is flushed.

    Returns:
        `False` if no thread can be started, as during interpreter shutdown.
    """
    if not aside.do(work):
        return False
    if client is not None:
        client_flushes.begin_with(_finishing, client)
    return True


def _finishing(_: object, seconds: float) -> Iterator[None]:
    return aside.finishing(seconds)


_all: weakref.WeakSet[Keeper] = weakref.WeakSet()


def process(runs: Keeper) -> None:
    """End these runs when the process exits, and forget them in its forks.

    Call this after `sentry_sdk.init`. Exit functions run in reverse order, and Sentry's must run after ours: it sends
    what is left and closes the client.
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
    until = time.monotonic() + _AT_EXIT
    aside.finish(_AT_EXIT)
    for runs in list(_all):
        runs.end_all("exit")
    aside.finish(until - time.monotonic())  # what ends in the midst of the SDK's code ends there, too
    while handing_on and time.monotonic() < until:  # by a daemon's thread, in which a hook takes its time
        time.sleep(_PAUSE)
    interpreter.watch_no_longer()


handing_on: set[int] = set()
"""The ends of runs that go on in any thread, of which something is yet to be handed to the SDK."""
_PAUSE = 0.001
"""Seconds between two looks at them."""
_AT_EXIT = 2.0
"""Seconds that the process waits at most for what is done in other threads, as Sentry's SDK does for what it sends."""


def _forget_all() -> None:
    for runs in list(_all):
        runs.forget()
    aside.forget()
    handing_on.clear()
    interpreter.forget()
