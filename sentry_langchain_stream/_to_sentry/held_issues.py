"""Failures that may be reported by somebody, and are reported by us if nobody has.

When a root run fails, nobody can know where its exception will end. So its issue is made, as plain data, and held for
`HOLD` seconds. If an event with the exception leaves meanwhile, it is dropped. Otherwise the application has caught the
exception, and the issue is sent. It is also sent when the client is flushed or closed, so at the end of the process.

Neither the exception nor anything of its stack is kept. Spans and scopes are kept for `HOLD` seconds only, with or
without an issue to send: a scope may refer to a whole request.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from uuid import UUID
from weakref import ref

import sentry_sdk
from sentry_sdk.scope import Scope

from .._content import error_texts
from .._content.policy import Policy
from .._runtime.containment import contained
from . import celery_tasks, failure_events, internals, issues
from .client import Scopes, copies_of, is_sending, within_copies
from .span_models import AnySpan, SpanBackend

HOLD = 5.0
"""Seconds for which an issue is held."""

_MOST = 100


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Failure:
    """The failure of a root run.

    Args:
        run_id: The root run.
        first: The run that failed first.
        backend: The span model of the tree.
        span: The span of the run that failed first.
        scopes: The scopes in which the tree started.
        client: The client at that time.
        started: When the tree started, in seconds of the monotonic clock.
        failed: When it failed.
        event: The issue, as long as it may have to be sent.
        copies: The scopes as they were when it failed: the application goes on to other work, for another user.
    """

    run_id: UUID
    first: UUID
    backend: SpanBackend[Any]
    span: AnySpan | None
    scopes: Scopes | None
    client: Any
    started: float
    failed: float = field(default_factory=time.monotonic)
    event: Any = None
    copies: Scopes | None = None


_failures: dict[UUID, Failure] = {}
"""The failures of the last `HOLD` seconds, by root run."""
_reports: list[tuple[float, Scope]] = []
"""When failures of runs were reported by somebody in the last `HOLD` seconds, and in which isolation scope."""
_reported: dict[UUID, float] = {}
"""The runs that failed first in failures that somebody has reported, and when."""
_lock = threading.RLock()
_timer: list[threading.Thread] = []


def hold(error: BaseException, failure: Failure, policy: Policy, task: Any = None) -> None:
    """Hold the issue of a root run that has failed. It is sent unless somebody reports the exception.

    Args:
        error: The exception.
        failure: The failure.
        policy: What may be recorded.
        task: The task that the run started in.
    """
    if internals.event_from_exception is None:
        return
    issues.watch(reported)
    celery_tasks.follow(recovered)
    with _lock:
        _forget(time.monotonic())
        # A report from before the tree started is one of another run with the same id.
        is_known = _reported.get(failure.first, failure.started) > failure.started or any(
            scope is _isolation(failure) and failure.started < at for at, scope in _reports
        )
    if not is_known:
        failure.event = failure_events.event(error, failure.client, policy, task)
        if failure.event is not None and failure.scopes is not None:
            failure.copies = copies_of(failure.scopes)
    is_second = failure.run_id in _failures and failure.run_id in _passed_before(error)
    with _lock:
        same_id = _failures.pop(failure.run_id, None)
        if same_id is not None and is_second:
            same_id.event = None  # the application tries again in its `except`: that failure is part of this one
        _failures[failure.run_id] = failure
        early = [*filter(None, [same_id]), *[_failures[key] for key in list(_failures)[:-_MOST]]]
    _flush_with(failure.client)
    for each in early:
        _send(each)
    if not _start_timer():
        _send(failure)


def _passed_before(error: BaseException) -> set[UUID]:
    """The runs that the causes and contexts of an exception have passed."""
    parts = [each for each in error_texts.chain(error) if each is not error]
    return {run.run_id for part in parts for run in issues.passed(part)}


def reported(run_ids: Sequence[UUID]) -> dict[str, Any] | None:
    """Somebody reports a failure of these runs, see `issues.Reported`.

    Failures that belong together are reported as one without us: of several calls that `gather` or `batch` started, the
    exception of one is raised, the others are dropped. So the report of one stands for all in its request that ran
    at the same time.
    """
    isolation = sentry_sdk.get_isolation_scope()
    with _lock:
        now = time.monotonic()
        _forget(now)
        known = [_failures[each] for each in run_ids if each in _failures]
        first_time = [each for each in known if each.event is not None]
        for each in known:
            _reported[each.first] = now
            _reports.append((now, _isolation(each) or isolation))
            for other in _failures.values():
                if other is each or (_isolation(other) is _isolation(each) and _overlap(other, each)):
                    other.event = None
        if not known and run_ids:
            _reported[run_ids[-1]] = now  # an integration of asyncio sees the exception before the run ends
        del _reports[:-_MOST]
        while len(_reported) > _MOST * 10:
            del _reported[next(iter(_reported))]
    # The same exception may be raised again in another request, whose trace is its own.
    linked = next(
        (each for each in known if _isolation(each) in (None, isolation) or each in first_time or _is_here(each)), None
    )
    return _trace(linked) if linked is not None else None


def _is_here(failure: Failure) -> bool:
    """Whether a failure lies in the current trace, as that of a thread of this request does."""
    here = sentry_sdk.get_current_scope().get_trace_context()
    return failure.span is not None and failure.span.trace_id == here.get("trace_id")


def _trace(failure: Failure) -> dict[str, Any] | None:
    if failure.span is None:
        return None
    with sentry_sdk.new_scope() as scope:
        failure.backend.link(scope, failure.span)
        return scope.get_trace_context()


def recovered(error: BaseException) -> None:
    """Somebody has the exception who decides what becomes of it: nothing is reported by us."""
    found = [run.run_id for part in error_texts.chain(error) for run in issues.passed(part)]
    with _lock:
        for each in found:
            if each in _failures:
                _failures[each].event = None


def flush(client: Any = None) -> None:
    """Send what is held for a client, but not a failure that this thread is still handling."""
    if is_sending(queues=False):  # somebody's `repr` flushes; what is captured now, the SDK drops
        return
    current = sys.exc_info()[1]
    parts = error_texts.chain(current) if current is not None else ()
    in_flight = {run.run_id for part in parts for run in issues.passed(part)}
    with _lock:
        held = [each for each in _failures.values() if client in (None, each.client) and each.run_id not in in_flight]
    for each in held:
        _send(each)


def _send(failure: Failure) -> None:
    with _lock:
        if _failures.get(failure.run_id) is failure:
            del _failures[failure.run_id]
        event, failure.event = failure.event, None
        copies, failure.copies = failure.copies, None
    if event is None:
        return
    with contained("issue"), within_copies(copies), sentry_sdk.new_scope() as scope:
        scope.set_client(failure.client)
        if failure.span is not None:
            failure.backend.link(scope, failure.span)
        sent = scope.capture_event(event)
        if failure.scopes is not None:
            internals.set_last_event_id(failure.scopes[1], sent)


def _isolation(failure: Failure) -> Scope | None:
    return failure.scopes[1] if failure.scopes is not None else None


def _overlap(one: Failure, other: Failure) -> bool:
    return one.started <= other.failed and other.started <= one.failed


def _forget(now: float) -> None:
    """Forget what is older than `HOLD` and has been reported. Call it with the lock."""
    for each in [each for each in _failures.values() if each.event is None and now - each.failed > HOLD]:
        del _failures[each.run_id]
    _reports[:] = [each for each in _reports if now - each[0] < HOLD]


# -- When it is sent -------------------------------------------------------------------------------------------------


def _start_timer() -> bool:
    """Make sure that what is held is sent in time. Returns `False` if no thread can be started."""
    with _lock:
        if _timer and _timer[0].is_alive():
            return True
        since = [each.failed for each in _failures.values()] + [at for at, _ in _reports]
        oldest = min(since, default=time.monotonic())
        timer = threading.Timer(max(oldest + HOLD - time.monotonic(), 0.0), _on_time)
        timer.daemon = True
        timer.name = "sentry-langchain-stream"
        _timer[:] = [timer]
        _forget_in_forks()
        try:
            Context().run(timer.start)
        except RuntimeError:  # the interpreter is shutting down
            return False
    return True


def _on_time() -> None:
    with contained("issue"):
        now = time.monotonic()
        with _lock:
            due = [each for each in _failures.values() if now - each.failed >= HOLD - 0.1]
            _timer.clear()
        for each in due:
            _send(each)
        with _lock:
            _forget(now)
            is_empty = not _failures and not _reports
        if not is_empty:
            _start_timer()


def _flush_with(client: Any) -> None:
    """Send what is held when the client is flushed, or closed, which flushes it.

    Workaround: the client has no hook for it (sentry-sdk 2.44 to 2.75). Can go when it gets one.
    """
    if "flush" in vars(client):
        return
    weak = ref(client)
    for name in ("flush", "flush_async"):
        original = getattr(type(client), name, None)
        if original is not None:
            vars(client)[name] = _flushing(weak, original)


def _flushing(weak: Callable[[], Any], original: Any) -> Any:
    def flush_first(*args: Any, **kwargs: Any) -> Any:
        client = weak()
        with contained("issue"):
            flush(client)
        return original(client, *args, **kwargs)

    return flush_first


@cache
def _forget_in_forks() -> None:
    """In a forked process, the parent process sends what it holds."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget_all)


def _forget_all() -> None:
    global _lock
    _lock = threading.RLock()
    for each in (_failures, _reports, _reported, _timer):
        each.clear()
