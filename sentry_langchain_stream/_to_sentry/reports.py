"""Which failures somebody has reported lately: by the run that failed, by its neighbours, and by where it was raised.

Without us, a failure that a node logs and raises again is one event, and so are twenty calls of a batch that fail in
the same way. So a failure is known if one like it has been reported in the same request: of the same class, raised at
the same place. Sentry would make one issue of both.

No exception and no scope is kept, but for the isolation scopes of failed runs, for a few seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sentry_sdk.scope import Scope

from .._runtime import tracebacks
from . import internals, joining
from .client import Scopes

Place = tuple[str, str, str, int]
"""Where an exception was raised: the module and the name of its class, the file, and the line."""


class Request(NamedTuple):
    """What surrounds a run: the request, the task or the script. Threads of a request have scopes of their own.

    Args:
        trace: The trace of the active span.
        root: The id of the transaction or segment that the active span belongs to. Several requests may be of one
            trace: those of a page, the tasks that one request has put into a queue.
        context: The SDK's propagation context, which has a trace, too. What goes on after the end of the request's span
            has only that. The SDK makes its id up when it is first asked for, and twice if two threads ask at once
            (sentry-sdk 2.44 to 2.75): so it is asked for when two are compared.
        isolation: The address of the isolation scope.
    """

    trace: str | None
    root: str | None
    context: Any
    isolation: int

    def is_also(self, other: Request) -> bool:
        """Whether both are the same request."""
        if self.isolation == other.isolation or self.trace is None or other.trace is None:
            return not self._traces().isdisjoint(other._traces())
        return self.trace == other.trace and self.root == other.root

    def _traces(self) -> set[str]:
        found = (self.trace, getattr(self.context, "trace_id", None))
        return {each for each in found if each is not None}


_MOST = 1_000


class Traits(NamedTuple):
    """What a failure and a report of it have in common.

    Args:
        request: What surrounds it: the request, the task or the script.
        places: Where the exception, its causes and its contexts were raised.
        objects: The addresses and the classes of these exceptions.
    """

    request: Request
    places: frozenset[Place]
    objects: frozenset[tuple[int, str]]

    def are_like(self, others: Traits) -> bool:
        """Whether both are of one request, and an exception of both was raised at one place."""
        return self.request.is_also(others.request) and not self.places.isdisjoint(others.places)

    def are_of(self, others: Traits) -> bool:
        """Whether both are of one request, and an exception of both is the same object."""
        return self.request.is_also(others.request) and not self.objects.isdisjoint(others.objects)


UNKNOWN = Traits(Request(None, None, None, 0), frozenset(), frozenset())
"""Those of a failure that is like no other."""


def traits(parts: Sequence[BaseException], scopes: Scopes) -> Traits:
    """Return the traits of a failure.

    Args:
        parts: The exception, its causes and its contexts.
        scopes: The scopes of the report, or of the start of the tree.
    """
    places = set()
    for part in parts:
        entry = tracebacks.innermost(part)
        if entry is not None:
            cls, code = type(part), entry.tb_frame.f_code
            places.add((cls.__module__, cls.__qualname__, code.co_filename, entry.tb_lineno))
    objects = frozenset((id(part), type(part).__qualname__) for part in parts)
    return Traits(request_of(scopes), frozenset(places), objects)


def request_of(scopes: Scopes) -> Request:
    """What surrounds the runs that start in these scopes."""
    current, isolation = scopes
    around: Any = getattr(current, "covered", current)  # that of a run also knows the run's span, of a trace of its own
    span = around.span or getattr(around, "streamed_span", None)
    trace = span.trace_id if span is not None else None
    root = getattr(internals.root_of(span), "span_id", None)
    return Request(trace, root, joining.propagation_context(around), id(isolation))


class Reports:
    """What was reported in the last few seconds. Not thread-safe."""

    def __init__(self) -> None:
        self.of_runs: list[tuple[float, Scope]] = []
        """When failures of runs were reported, and in which isolation scope."""
        self._alike: list[tuple[float, Traits]] = []
        self._first: dict[UUID, float] = {}

    def add(self, now: float, given: Traits) -> None:
        """Somebody reports an exception, of whatever code."""
        if given.places:
            self._alike.append((now, given))
            del self._alike[:-_MOST]

    def add_run(self, now: float, first: UUID, isolation: Scope | None) -> None:
        """It is the failure of a run.

        Args:
            now: The time, in seconds of the monotonic clock.
            first: The run that failed first.
            isolation: The isolation scope of its tree, if the run has ended.
        """
        self._first[first] = now
        while len(self._first) > _MOST:
            del self._first[next(iter(self._first))]
        if isolation is not None:
            self.of_runs.append((now, isolation))
            del self.of_runs[:-_MOST]

    def know(self, first: UUID, started: float, isolation: Scope | None) -> bool:
        """Whether a failure is known by the run that failed first, or by one beside it.

        Args:
            first: The run that failed first.
            started: When the tree started. A report from before that is one of another run with the same id.
            isolation: The isolation scope of the tree.
        """
        return self._first.get(first, started) > started or any(
            scope is isolation and started < at for at, scope in self.of_runs
        )

    def know_like(self, given: Traits, now: float) -> bool:
        """Whether one like it is known. Each is remembered: of many that fail one after the other, all are known.

        Only what was reported is: a failure that is known for another reason may be of an issue that nobody has seen.
        """
        found = [place for place, (_, each) in enumerate(self._alike) if given.are_like(each)]
        for place in found:
            self._alike[place] = now, self._alike[place][1]
        return bool(found)

    def forget(self, before: float) -> None:
        """Forget what was reported before a time. Which runs failed first is remembered longer."""
        self.of_runs[:] = [each for each in self.of_runs if each[0] > before]
        self._alike[:] = [each for each in self._alike if each[0] > before]

    def clear(self) -> None:
        """Forget all of it."""
        self.of_runs.clear()
        self._alike.clear()
        self._first.clear()
