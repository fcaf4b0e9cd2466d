"""The parts behind a handler: the live runs, and the readers of LangChain's events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any
from uuid import UUID

from .._content.labels import CONVERSATION
from .._runs.live_runs import LiveRuns
from .._runs.run import Outcome, RunKind, Start
from .._runs.settings import Settings
from .._to_sentry import active_span, issues
from . import failures, inside, internals, marks, same_ids
from .model_calls import ModelRuns
from .steps import StepRuns


class Engine:
    """The parts behind one handler.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        active_span.ask(inside.find)
        self._configurable = frozenset((*settings.metadata_keys, *CONVERSATION, *filter(None, (settings.user_key,))))
        issues.ask(failures.find)
        self.runs = LiveRuns(settings, now, internals.watch_call)
        self.models = ModelRuns(self.runs, settings, now)
        self.steps = StepRuns(self.runs)

    def ending(self, run_id: UUID, outcome: Outcome = "completed") -> Ending:
        """Guard the work on the end event of a run: the run ends, whatever is raised there.

        Args:
            run_id: LangChain's run id.
            outcome: How the run ended, if that work does not come so far as to say it.
        """
        return Ending(self.runs, run_id, outcome)

    def read_start(
        self,
        kind: RunKind,
        id: UUID,
        parent_id: UUID | None,
        metadata: Mapping[str, Any] | None,
        kwargs: Mapping[str, Any],
    ) -> Start:
        """Read the start event of a run, see `marks.read_start`."""
        enclosing_id = internals.enclosing_run_id()
        if parent_id is not None and parent_id != enclosing_id and internals.is_traceable(parent_id):
            parent_id = enclosing_id  # nobody signals the runs of such functions, so look further up
        parent_id, enclosing_id = same_ids.enclosing_own(parent_id), same_ids.enclosing_own(enclosing_id)
        own = same_ids.starting(id, self.runs)
        start = marks.read_start(
            kind,
            own,
            parent_id,
            metadata,
            kwargs,
            enclosing_id=enclosing_id,
            configured=internals.configurable(self._configurable),
            has_fallbacks=kind == "chain" and internals.starts_fallbacks(),
        )
        start.given_id = id if own != id else None
        return start


class Ending:
    """A context manager that ends a run if anything is raised inside: by a payload, or by a signal such as Ctrl-C."""

    __slots__ = ("_outcome", "_run_id", "_runs")

    def __init__(self, runs: LiveRuns, run_id: UUID, outcome: Outcome) -> None:
        self._runs = runs
        self._run_id = run_id
        self._outcome: Outcome = outcome

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._runs.end(same_ids.own(self._run_id), self._outcome)
