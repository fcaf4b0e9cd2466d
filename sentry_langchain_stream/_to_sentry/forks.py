"""What a forked process does with the spans that were open at the fork: they are the parent process's.

Only the parent process sends a transaction. In the fork the SDK collects spans in its copy, and never sends them: a
pool forks its workers with the first job, which is mostly in a request. So here such a transaction counts as one that
has been sent, whose trace a root joins: for a while, because a worker may do the work of others for days.
"""

from __future__ import annotations

import os
from functools import cache
from time import monotonic, perf_counter_ns
from typing import Any

from sentry_sdk.scope import Scope

from .._runtime.containment import contained
from . import internals

at: int | None = None
"""When this process was forked, if it was, in nanoseconds of the performance counter, which goes on over a fork."""
foreign: object | None = None
"""The `root` of the span that was active then. Compare it with `is`."""

_trace_id: str | None = None
_forked_at = 0.0
_LONGEST = 300.0
"""Seconds after the fork in which a root joins the trace."""


@cache
def watch() -> None:
    """Notice forks of this process. Call it early: what forks may be imported before a handler is made."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_child=_after)


def root(span: Any) -> object | None:
    """The transaction or the segment of a span. One that has none, because it is not sampled, stands for itself."""
    found: object | None = internals.root_of(span) or span
    return found


def is_foreign(transaction: Any) -> bool:
    """Whether a transaction is the parent process's: it was made before the fork, whenever it is said to have started.

    Call it only in a fork, see `at`.
    """
    made_at = internals.made_at(transaction)
    return transaction is foreign if made_at is None or at is None else made_at < at


def is_stale(trace_id: str) -> bool:
    """Whether this is the trace of the parent process, and it is too late to join it."""
    return trace_id == _trace_id and monotonic() - _forked_at > _LONGEST


def _before() -> None:
    with contained("fork"):
        # The SDK makes up an id when it is first asked for: after the fork, each process would make up its own.
        for span in (active := _active(), internals.root_of(active)):
            _ = getattr(span, "trace_id", None), getattr(span, "span_id", None)


def _after() -> None:
    global at, foreign, _trace_id, _forked_at
    at = perf_counter_ns()
    with contained("fork"):
        active = _active()
        foreign, _trace_id, _forked_at = root(active), getattr(active, "trace_id", None), monotonic()


def _active() -> Any | None:
    scope = Scope.get_current_scope()
    return scope.span or getattr(scope, "streamed_span", None)
