"""The issue of a failed run: any code may report the exception, and what leaves is linked and kept private.

An exception that leaves a chain rises through the application, to its web framework, its task queue, or the end of the
script. Sentry's integration there reports it with every frame, and as unhandled. So nothing is reported when a run
fails. The event of the integration is changed on its way out instead: see `_process`. Only a failure that nobody
reports is reported by us: see `held_issues`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from .._content import error_texts
from .._content.policy import Policy
from .._runtime.containment import contain
from . import asking, internals, processors
from .private_events import exceptions, keep_private, remove_all

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


class Passed(NamedTuple):
    """A run of ours that an exception has come through.

    Args:
        run_id: LangChain's id of it.
        policy: What may be recorded of it.
    """

    run_id: UUID
    policy: Policy


Find = Callable[[BaseException], Sequence[Passed]]
"""Finds the runs that an exception has come through by itself, the innermost last; causes are not looked at."""


class KnownFailure(NamedTuple):
    """What is known of an exception that somebody reports.

    Args:
        trace: The trace context of the span that failed first, if the event is to be linked to it.
        policies: What may be recorded of the runs that failed with it.
    """

    trace: dict[str, Any] | None
    policies: Sequence[Policy]


Also = Callable[[Any, BaseException], Iterable[Policy]]
"""Finds what may be recorded of the event of an exception beyond the runs that the exception came through."""

Reported = Callable[[BaseException, bool], KnownFailure]
"""Called with an exception that is reported, and whether it belongs there. Returns what is known of its failure."""

_find: Find | None = None
_also: list[Also] = []
_reported: Reported | None = None
_noticed: ContextVar[tuple[int, KnownFailure]] = ContextVar("sentry_langchain_stream_noticed")
"""The address of the exception whose event is being processed in this context, and what is known of it."""


def ask(find: Find) -> None:
    """From now on ask this function which runs an exception has come through."""
    global _find
    _find = find


def also(find: Also) -> None:
    """From now on ask this function, too, what may be recorded of an event."""
    if find not in _also:
        _also.append(find)


def passed(error: BaseException) -> Sequence[Passed]:
    """The runs of ours that an exception has come through, the innermost last."""
    return _find(error) if _find is not None else ()


def runs_behind(error: BaseException | None) -> set[UUID]:
    """The runs of ours that an exception has come through, and those that its causes and contexts have."""
    parts = error_texts.chain(error) if error is not None else ()
    return {run.run_id for part in parts for run in passed(part)}


def watch(reported: Reported) -> None:
    """Look at every event of an exception from now on. Does nothing if this has been done.

    An event is noticed before any processor drops it, as the SDK's own does with one that was seen before: whoever
    reports an exception and wants no event of it wants none of ours. It is changed after all those of the SDK and its
    integrations: the processors of the global scope run after those that integrations add, as PureEvalIntegration does.
    """
    global _reported
    _reported = reported
    internals.process_first(_notice)
    processors.add(_process)


def _error_of(event: Event, hint: Hint) -> BaseException | None:
    """The exception that an event is made of, if it is an error event."""
    info = hint.get("exc_info")
    error = info[1] if isinstance(info, tuple) and len(info) == 3 else None
    return error if isinstance(error, BaseException) and event.get("type") is None else None


def _notice(event: Event, hint: Hint) -> Event:
    """Tell who waits for it that somebody reports an exception."""
    error = _error_of(event, hint)
    try:
        # The user's `redact` reports a failure of its own, which has the run's among its contexts. It is not the run's.
        if error is not None and _reported is not None and not asking.is_asking():
            _noticed.set((id(error), _reported(error, not _is_elsewhere(event, hint))))
    except Exception as failure:
        contain("issue", failure)
    return event


def _is_elsewhere(event: Event, hint: Hint) -> bool:
    """Whether an exception is reported wherever garbage is collected: of a task that nobody has awaited, for one."""
    record = hint.get("log_record")
    return getattr(record, "name", None) == "asyncio" or mechanism(event) == "unraisablehook"


def mechanism(event: Event) -> str | None:
    """The name of who has reported the exception of an event."""
    found = [value.get("mechanism") or {} for value in exceptions(event)[-1:]]
    return found[0].get("type") if found else None


def _known(event: Event, hint: Hint, error: BaseException) -> KnownFailure:
    known = _noticed.get(None)
    if known is None or known[0] != id(error):  # the SDK has no such list of processors
        _notice(event, hint)
        known = _noticed.get(None)
    return known[1] if known is not None and known[0] == id(error) else KnownFailure(None, ())


def _process(event: Event, hint: Hint) -> Event:
    """Link the event of an exception that has come through a run of ours, and remove what may not be recorded.

    So it is removed from an exception that is reported inside of one: by a tool that catches it, for one.
    """
    error = _error_of(event, hint)
    if error is None:
        return event
    try:
        policies = [each.policy for part in error_texts.chain(error) for each in passed(part)]
        if not _is_elsewhere(event, hint):
            policies += [each for find in _also for each in find(event, error)]
        if asking.is_asking():
            if policies:  # `redact` would be called for this event too, and so on without end
                keep_private(event, error, Policy(), record=hint.get("log_record"))
            return event
        known = _known(event, hint, error)
        policies += known.policies
        if policies:
            keep_private(event, error, reduce(Policy.and_, policies), record=hint.get("log_record"))
            if known.trace is not None:
                event.setdefault("contexts", {})["trace"] = known.trace
    except Exception as failure:
        remove_all(event)
        contain("issue", failure)
    return event
