"""Failures that may be reported by somebody, and are reported by us if nobody has.

When a root run fails, nobody can know where its exception will end. So its issue is made, as plain data, and held for
`HOLD` seconds, and longer while calls go on that may belong to it. If an event with the exception leaves meanwhile, or
one like it, it is dropped. Otherwise the application has caught the exception, and the issue is sent. It is also sent
when the client is flushed or closed, so at the end of the process.

Neither the exception nor anything of its stack is kept. Spans and scopes are kept as long as that only, with or without
an issue to send: a scope may refer to a whole request.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextvars import Context, ContextVar
from functools import cache
from typing import Any
from uuid import UUID

import sentry_sdk
from sentry_sdk.scope import Scope

from .._content import error_texts
from .._runtime.containment import contained
from .._runtime.locks import PatientLock
from . import celery_tasks, client_flushes, failure_events, failures, internals, issues, reports, scope_internals
from .client import Scopes, copies_of, current_client, current_scopes, is_sending, within_copies
from .failures import Failure
from .sentrys_hooks import unfollowed

_MOST = 100
"""So many issues of failures are held that were raised at the same place."""
_LEAST = 1.0
"""Seconds that a flush may take to send them, however short its timeout: the network has no part in it."""
_MOST_FAILURES = 1_000
"""So many failures are kept: an outage of a provider fails all requests at once, and each report knows its own."""


_failures: dict[UUID, Failure] = {}
"""The failures of the last `HOLD` seconds, by root run."""
_reports = reports.Reports()
"""The reports of the last `HOLD` seconds."""
_lock = PatientLock()
_timer: list[threading.Thread] = []
_is_capturing: ContextVar[bool] = ContextVar("sentry_langchain_stream_capturing", default=False)
"""Whether an issue of ours is being sent in this context. What the application's `before_send` calls may fail, too."""


def hold(error: BaseException, failure: Failure, task: Any = None) -> None:
    """Hold the issue of a root run that has failed. It is sent unless somebody reports the exception.

    Args:
        error: The exception.
        failure: The failure.
        task: The task that the run started in.
    """
    if internals.event_from_exception is None or _is_capturing.get():
        return
    issues.watch(reported)
    celery_tasks.follow(recovered)
    failure.came_through = frozenset(run.run_id for run in issues.passed(error))
    failure.traits = reports.traits(error_texts.chain(error), failure.scopes or current_scopes())
    with _lock:
        _forget(failure.failed)
        is_known = _reports.know(failure.first, failure.started, _isolation(failure))
        is_known = _reports.know_like(failure.traits, failure.failed) or _is_held_already(failure) or is_known
        # Of very many that are alike it is enough to hold some: they are one issue, also if nobody reports them.
        alike = [each for each in _held() if not failure.traits.places.isdisjoint(each.traits.places)]
    if not is_known and len(alike) < _MOST:
        failure.event = failure_events.event(error, failure.client, failure.policy, task)
        if failure.event is not None and failure.scopes is not None:
            failure.copies = copies_of(failure.scopes)
            failure.last_event = scope_internals.last_event_id(failure.scopes[1])
    failure.held = time.monotonic()
    before = (run for part in error_texts.chain(error) if part is not error for run in issues.passed(part))
    is_second = failure.run_id in _failures and any(run.run_id == failure.run_id for run in before)
    with _lock:
        same_id = _failures.pop(failure.run_id, None)
        if same_id is not None and is_second:
            same_id.event = None  # the application tries again in its `except`: that failure is part of this one
        _failures[failure.run_id] = failure
        early = [*filter(None, [same_id])]
        while len(_failures) > _MOST_FAILURES:
            settled = (each for each, kept in _failures.items() if kept.event is None)
            early.append(_failures.pop(next(settled, next(iter(_failures)))))
    client_flushes.begin_with(_sending, failure.client)
    for each in early:
        _send(each)
    if not _start_timer():
        _send(failure)


def _is_held_already(failure: Failure) -> bool:
    """Whether the issue of the same exception is held. Call it with the lock.

    All runs of `batch` and `abatch` fail with the exception of one, in which it began: the issue is that one's.
    """
    same = [each for each in _held() if each.traits.are_like(failure.traits)]
    same = [each for each in same if _overlap(each, failure) and each.came_through & failure.came_through]
    if failure.first != failure.run_id:
        for each in same:
            if each.first == each.run_id:
                each.event = None
    return any(each.event is not None for each in same)


def _held() -> list[Failure]:
    """The failures that have an issue, the oldest first. Call it with the lock."""
    return [each for each in _failures.values() if each.event is not None]


def reported(error: BaseException, is_here: bool) -> issues.KnownFailure:
    """Somebody reports an exception, see `issues.Reported`.

    Failures that belong together are reported as one without us: of several calls that `gather` or `batch` started, the
    exception of one is raised, the others are dropped. So the report of one stands for all in its request that ran
    at the same time, and for all that are like it.
    """
    parts = error_texts.chain(error)
    run_ids = [run.run_id for part in parts for run in issues.passed(part)]
    scope, isolation = here = current_scopes()
    given = reports.traits(parts, here)
    with _lock:
        now = time.monotonic()
        _forget(now)
        known = [_failures[each] for each in run_ids if each in _failures]
        if not run_ids:  # the application may have taken the traceback away, or the variables out of its frames
            known = [each for each in _failures.values() if each.traits.are_of(given)]
        first_time = [each for each in known if not each.is_reported]
        if is_here:
            _reports.add(now, given)
        for each in known:
            each.is_reported = True
            _reports.add_run(now, each.first, _isolation(each) or isolation)
            for other in _failures.values():
                if other is each or (_isolation(other) is _isolation(each) and _overlap(other, each)):
                    other.event = None
        for other in _held():
            if (is_here and other.traits.are_like(given)) or any(other.traits.are_like(each.traits) for each in known):
                other.event = None
        if not known and run_ids:
            _reports.add_run(now, run_ids[-1], None)  # an integration of asyncio sees it before the run ends
    # The same exception may be raised again in another request, or be handed over to one, whose trace is its own.
    is_alone = scope.span is None and getattr(scope, "streamed_span", None) is None
    linked = next(
        (
            each
            for each in known
            if _isolation(each) in (None, isolation) or _is_here(each) or (is_alone and each in first_time)
        ),
        None,
    )
    return issues.KnownFailure(_trace(linked) if linked is not None else None, [each.policy for each in known])


def _is_here(failure: Failure) -> bool:
    """Whether a failure lies in the current trace, as that of a thread of this request does."""
    here = sentry_sdk.get_current_scope().get_trace_context()
    return failure.span is not None and failure.span.trace_id == here.get("trace_id")


def _trace(failure: Failure) -> dict[str, Any] | None:
    if failure.span is None:
        return None
    # That of a run finds the active span itself, and the run that has failed may still be the innermost one.
    current = sentry_sdk.get_current_scope()
    scope: Scope = getattr(current, "covered", current).fork()
    failure.backend.link(scope, failure.span)
    return scope.get_trace_context()


def recovered(error: BaseException) -> None:
    """Somebody has the exception who decides what becomes of it: nothing is reported by us."""
    found = issues.runs_behind(error)
    with _lock:
        for each in found:
            if each in _failures:
                _failures[each].event = None


def _sending(client: Any, timeout: float) -> Iterator[None]:
    """Send what is held for a client, one issue with each step, but not a failure that this thread is still handling.

    Each runs the application's `before_send`, which may take its time. What is not sent in time is held on.

    Args:
        client: The client.
        timeout: How long this may take, in seconds. It may take `_LEAST` seconds in any case.
    """
    if is_sending(queues=False):  # somebody's `repr` flushes; what is captured now, the SDK drops
        return
    handled = issues.runs_behind(sys.exc_info()[1])
    end = time.monotonic() + max(timeout, _LEAST)
    with _lock:
        held = [each for each in _failures.values() if each.client is client and each.run_id not in handled]
    for each in held:
        with contained("issue"):
            _send(each)
        if time.monotonic() > end:
            return
        yield


def _send(failure: Failure) -> None:
    with _lock:
        if _failures.get(failure.run_id) is failure:
            del _failures[failure.run_id]
        event, failure.event = failure.event, None
        copies, failure.copies = failure.copies, None
    if event is not None:
        failure.context.copy().run(_capture, failure, event, copies)


def _capture(failure: Failure, event: Any, copies: Scopes | None) -> None:
    _is_capturing.set(True)  # this context is a copy of its own
    with contained("issue"), within_copies(copies), sentry_sdk.new_scope() as scope:
        scope.set_client(failure.client)
        if failure.span is not None:
            failure.backend.link(scope, failure.span)
        sent = unfollowed(scope.capture_event, event)
        if failure.scopes is not None and scope_internals.last_event_id(failure.scopes[1]) == failure.last_event:
            scope_internals.set_last_event_id(failure.scopes[1], sent)


def _isolation(failure: Failure) -> Scope | None:
    return failure.scopes[1] if failure.scopes is not None else None


def _overlap(one: Failure, other: Failure) -> bool:
    return one.started <= other.failed and other.started <= one.failed


def _forget(now: float) -> None:
    """Forget what is older than `HOLD` and has been reported. Call it with the lock."""
    for each in [each for each in _failures.values() if each.event is None and now - each.failed > failures.HOLD]:
        del _failures[each.run_id]
    _reports.forget(now - failures.HOLD)


# -- When it is sent -------------------------------------------------------------------------------------------------


def _start_timer() -> bool:
    """Make sure that what is held is sent in time. Returns `False` if no thread can be started."""
    with _lock:
        if _timer and _timer[0].is_alive():
            return True
        ahead = [each.due for each in _failures.values()] + [at + failures.HOLD for at, _ in _reports.of_runs]
        now = time.monotonic()
        timer = threading.Timer(max(min(ahead, default=now) - now, 0.0), _on_time)
        timer.daemon = True
        timer.name = "sentry-langchain-stream"
        _timer[:] = [timer]
        _follow_the_process()
        try:
            Context().run(timer.start)
        except RuntimeError:  # the interpreter is shutting down
            return False
    return True


def _on_time() -> None:
    with contained("issue"):
        now = time.monotonic()
        with _lock:
            due = [each for each in _failures.values() if now >= each.due - 0.1]
            _timer.clear()
        for each in due:
            with contained("issue"):
                if not each.waits(now):
                    _send(each)
        with _lock:
            _forget(time.monotonic())
            is_empty = not _failures and not _reports.of_runs
        if not is_empty:
            _start_timer()


@cache
def _follow_the_process() -> None:
    """Send at exit what is held for replaced clients. In a forked process, the parent process sends what it holds."""
    atexit.register(_flush_replaced)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)


def _flush_replaced() -> None:
    """Flush the clients that another `init` has replaced: the SDK flushes the current one alone, and waits for it."""
    with _lock:
        clients = {id(each.client): each.client for each in _held() if each.client is not current_client()}
    began = time.monotonic()
    for each in clients.values():
        with contained("issue"):
            each.flush(timeout=max(began + each.options.get("shutdown_timeout", 2) - time.monotonic(), 0.0))


def _forget_all() -> None:
    global _lock
    _lock = PatientLock()
    for each in (_failures, _reports, _timer):
        each.clear()
