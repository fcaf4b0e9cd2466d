"""The live runs: opens a span when a run starts, and closes it when the run ends, once and always."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from . import attributes, backends, naming
from .containment import contained
from .privacy import Policy
from .record import Call, Outcome, Run
from .settings import Settings

_STATUS: dict[Outcome, backends.Status] = {
    "completed": "ok",
    "cancelled": "cancelled",
    "abandoned": "cancelled",
    "failed": "internal_error",
}


class LiveRuns:
    """The runs that have started and not ended, by run id.

    A run's parent is the live run that LangChain names, never whatever span happens to be current: many
    streams share one event loop, and each is pulled at its own time. Only a root looks at the current span.

    Safe for threads: a run ends by being taken out of the map, which one caller alone can do.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs: dict[UUID, Run] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: UUID) -> Run | None:
        """The live run of this id."""
        return self._runs.get(run_id)

    def start(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        *,
        name: str | None,
        metadata: Mapping[str, Any],
        call: Callable[[Policy], Call] | None = None,
    ) -> None:
        """Start a run, unless it is live already or there is no Sentry client.

        Args:
            run_id: LangChain's id of it.
            parent_run_id: The id of the run above it, which we may never have seen.
            name: The run's name.
            metadata: The run's metadata.
            call: For a model run, makes the record of the call under the run's policy.
        """
        if run_id in self._runs:
            return
        parent = self._runs.get(parent_run_id) if parent_run_id is not None else None
        if parent is None:
            parent = self._above(name, metadata)
            if parent is None:
                return
            if call is None:
                # A chain at the top is the pipeline itself.
                parent.id = run_id
                parent.implicit = False
                self._runs[run_id] = parent
                self._open_pipeline(parent)
                return
            if parent.anchor is None:
                # A bare model call with nothing above it: the pipeline gets a span that ends with the call.
                self._open_pipeline(parent)
        run = Run(
            run_id,
            parent.pipeline,
            parent.backend,
            parent.policy,
            parent=parent,
            anchor=parent.anchor,
            recording=parent.recording,
        )
        self._runs[run_id] = run
        parent.children[run_id] = run
        if call is not None and run.recording:
            self._open_call(run, call(run.policy))

    def end(
        self, run_id: UUID, outcome: Outcome = "completed", error: BaseException | None = None, now: float = 0.0
    ) -> None:
        """End a run, and before it whatever is still open below it. Late and repeated ends are ignored.

        Args:
            run_id: LangChain's id of it.
            outcome: How it ended.
            error: What it failed with.
            now: When, in seconds on the clock of its calls.
        """
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        for child_id in list(run.children):
            self.end(child_id, outcome, now=now)
        self._close(run, outcome, error, now)
        parent, run.parent = run.parent, None
        if parent is not None:
            parent.children.pop(run.id, None)
            if parent.implicit:
                self._close(parent, outcome, error, now)

    def _above(self, name: str | None, metadata: Mapping[str, Any]) -> Run | None:
        """What stands above a run that has no live parent: the pipeline, below the active span if there is one."""
        backend = backends.choose()
        if backend is None:
            return None
        settings = self._settings
        inputs, outputs = backends.allowed_content()
        policy = Policy.decide(
            client_inputs=inputs,
            client_outputs=outputs,
            include_prompts=settings.include_prompts,
            redact=settings.redact,
        )
        active = backend.current()
        return Run(
            uuid4(),
            naming.pipeline(settings.pipeline_name, metadata, backends.pipeline_name(), name),
            backend,
            policy,
            anchor=active,
            recording=active is None or backend.recording(active),
            implicit=True,
        )

    def _open_pipeline(self, run: Run) -> None:
        dialect = self._settings.dialect
        self._open(
            run,
            op=naming.op("pipeline", dialect),
            name=naming.span_name("pipeline", dialect, run.pipeline, None),
        )

    def _open_call(self, run: Run, call: Call) -> None:
        dialect = self._settings.dialect
        request = call.request
        run.call = call
        self._open(
            run,
            op=naming.op(request.operation, dialect, request.platform),
            name=naming.span_name(request.operation, dialect, run.pipeline, request.model),
        )

    @staticmethod
    def _open(run: Run, *, op: str, name: str) -> None:
        if not run.recording:
            return
        with contained("backend.start"):
            run.span = run.backend.start(run.anchor, op=op, name=name)
            if run.backend.recording(run.span):
                run.anchor = run.span
            elif run.anchor is None:
                # The root is not sampled. It is finished all the same, so that the SDK can count it.
                run.recording = False
            # A child that the user's `ignore_spans` left out: what is below it hangs on its parent.

    def _close(self, run: Run, outcome: Outcome, error: BaseException | None, now: float) -> None:
        run.outcome = outcome
        root = run.root()
        if error is not None and outcome == "failed":
            run.error_type = type(error).__name__
            if run.span is not None:
                root.failed_spans.setdefault(id(error), run.span)
        if run.call is not None:
            run.call.ended = now
        if run.span is not None:
            with contained("backend.finish"):
                run.backend.finish(run.span, attributes.describe(run, self._settings.dialect), _STATUS[outcome])
        if run is root and error is not None and outcome == "failed" and self._settings.capture_errors:
            with contained("capture_errors"):
                backends.capture_error(error, run.backend, root.failed_spans.get(id(error)))
