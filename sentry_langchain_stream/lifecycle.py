"""The live runs: opens a span when a run starts, and closes it when the run ends, once and always."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any
from uuid import UUID, uuid4

from . import attributes, backends, content, naming, watch
from .containment import contained
from .conventions import AttributeValue
from .pricing import Prices
from .privacy import NOTHING, Policy
from .record import Call, Kind, Outcome, Run
from .settings import Settings

_STATUS: dict[Outcome, backends.Status] = {
    "completed": "ok",
    "cancelled": "cancelled",
    "abandoned": "cancelled",
    "failed": "internal_error",
}

# How a run ended that was still open when the run above it ended so.
_BELOW: dict[Outcome, Outcome] = {
    "completed": "abandoned",
    "cancelled": "cancelled",
    "abandoned": "abandoned",
    "failed": "cancelled",
}

_SEVERITY: tuple[Outcome, ...] = ("completed", "abandoned", "cancelled", "failed")


class LiveRuns:
    """The runs that have started and not ended, by run id.

    A run's parent is the live run that LangChain names, never whatever span happens to be current: many
    streams share one event loop, and each is pulled at its own time. Only a top run looks at the current span.

    LangChain does not signal every end. What ends a run otherwise: the end of the run above it, the end of the
    task that it ran in, idleness, a bound on the number of live runs, and the end of the process.

    Safe for threads: a run ends by being taken out of the map, which one caller alone can do, and starts and ends
    within one tree take turns.
    """

    def __init__(self, settings: Settings, now: Callable[[], float]) -> None:
        self._settings = settings
        self._now = now
        self._prices = Prices() if settings.cost else None
        self._runs: dict[UUID, Run] = {}
        # The ids of runs without a live parent, those looked at longest ago first; ended ones drop out when met.
        self._tops: deque[UUID] = deque()
        # The calls of several prompts of which not all have started, each with what its runs share: kept, so that
        # nothing else can come to have its identity.
        self._batches: dict[tuple[int, int] | None, tuple[object, Run]] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def get(self, run_id: UUID) -> Run | None:
        """The live run of this id."""
        return self._runs.get(run_id)

    def start(
        self,
        run_id: UUID,
        parent_run_id: UUID | None,
        kind: Kind,
        *,
        name: str | None,
        metadata: Mapping[str, Any],
        call: Callable[[Policy], Call] | None = None,
        batch: tuple[int, object] = (1, None),
    ) -> None:
        """Start a run, unless it is live already or there is no Sentry client.

        Args:
            run_id: LangChain's id of it.
            parent_run_id: The id of the run above it, which we may never have seen.
            kind: What runs.
            name: The run's name.
            metadata: The run's metadata.
            call: For a model run, makes the record of the call under the run's policy.
            batch: How many runs start together in one call of the model, and an object they share.
        """
        if run_id in self._runs:
            return
        self._bound()
        parent = self._runs.get(parent_run_id) if parent_run_id is not None else None
        if parent is None:
            self._sweep()
            parent = self._above(name, metadata, batch)
            if parent is None:
                return
            if kind != "model":
                # A chain, tool or retriever at the top is the pipeline itself.
                self._start_top(parent, run_id, kind, name, reports=parent_run_id is None)
                return
        record = self._record(parent, call) if call is not None else None
        with parent.tree.lock:
            # Another thread may have ended the parent meanwhile. Its span is still the right one to hang on.
            ended = not parent.implicit and parent.id not in self._runs
            run = Run(
                run_id,
                kind,
                parent.pipeline,
                parent.backend,
                parent.policy,
                name=name,
                parent=None if ended else parent,
                anchor=parent.anchor,
                recording=parent.recording,
                reports=parent.implicit and parent_run_id is None,
                tree=parent.tree,
            )
            self._runs[run_id] = run
            if parent.implicit or ended:
                self._tops.append(run_id)
            if not ended:
                parent.children[run_id] = run
            if record is not None:
                self._open_call(run, record)
            run.tree.touched = self._now()
        if kind != "chain":
            watch.task(run, self._task_ended)

    def end(
        self,
        run_id: UUID,
        outcome: Outcome = "completed",
        error: BaseException | None = None,
        *,
        evicted: str | None = None,
    ) -> None:
        """End a run, and before it whatever is still open below it. Late and repeated ends are ignored.

        Args:
            run_id: LangChain's id of it.
            outcome: How it ended.
            error: What it failed with.
            evicted: Why we end it, if it is not LangChain that does.
        """
        run = self._runs.get(run_id)
        if run is None:
            return
        with run.tree.lock, backends.within(run.tree.scopes):
            if self._runs.pop(run_id, None) is None:
                return
            if outcome == "completed" and run.kind == "chain" and watch.is_current(run) and run.streams():
                # A sync chain whose consumer left says that it came to its end, while the model is still at it.
                outcome = "abandoned"
            try:
                for below in run.below():
                    if self._runs.pop(below.id, None) is not None:
                        self._close(below, _BELOW[outcome], None, evicted)
            finally:
                self._close(run, outcome, error, evicted)
                self._leave(run, outcome, error, evicted)

    def _leave(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        """Take a run that has ended out of its tree, and end what ends with it."""
        parent, run.parent = run.parent, None
        run.children.clear()
        run.tree.touched = self._now()
        if parent is None:
            return
        parent.children.pop(run.id, None)
        parent.remember(run.failed)
        if parent.implicit:
            if _SEVERITY.index(outcome) >= _SEVERITY.index(parent.outcome):
                parent.outcome, parent.error_type = outcome, run.error_type
            if not parent.children:
                self._batches.pop(parent.tree.batch, None)
                self._close(parent, parent.outcome, None, evicted)
        elif outcome == "abandoned" and (parent.name or "").startswith("RunnableWithFallbacks"):
            # Left at its first chunk, it ends without a word (langchain-core 1.7 to 1.8).
            self.end(parent.id, "abandoned", evicted=evicted)

    def end_batch(self, run_id: UUID) -> None:
        """End what started together with a run that has just failed, where LangChain never will.

        The sync `generate` of several prompts stops at the first that fails and forgets the others.
        """
        run = self._runs.get(run_id)
        if run is not None and run.parent is not None and run.parent.implicit and watch.is_current(run):
            for sibling_id in list(run.parent.children):
                if sibling_id != run_id:
                    self.end(sibling_id, "cancelled")

    def end_all(self, evicted: str) -> None:
        """End every live run."""
        for run_id in list(self._runs):
            with contained("end of all runs"):
                self.end(run_id, "abandoned", evicted=evicted)

    def forget(self) -> None:
        """Forget every live run without ending it: in a forked process they are the parent's to end."""
        self._runs.clear()
        self._tops.clear()
        self._batches.clear()

    def _above(self, name: str | None, metadata: Mapping[str, Any], batch: tuple[int, object]) -> Run | None:
        """What stands above a run without a live parent: the pipeline, below the active span if there is one."""
        size, shared = batch
        together = (get_ident(), id(shared))
        if size > 1 and together in self._batches:
            _, begun = self._batches[together]
            if len(begun.children) == size - 1:
                del self._batches[together]
            return begun
        backend = backends.choose()
        if backend is None:
            return None
        watch.process(self)
        settings = self._settings
        inputs, outputs = backends.allowed_content()
        policy = Policy.decide(
            client_inputs=inputs,
            client_outputs=outputs,
            include_prompts=settings.include_prompts,
            redact=settings.redact,
        )
        active = backend.current()
        pipeline = naming.pipeline(settings.pipeline_name, metadata, backends.pipeline_name(), name)
        top = Run(uuid4(), "chain", pipeline, backend, policy, anchor=active, implicit=True)
        top.tree.scopes = backends.scopes()
        top.recording = active is None or backend.recording(active)
        if size > 1:
            top.tree.batch = together
            self._batches[together] = shared, top
        return top

    def _start_top(self, run: Run, run_id: UUID, kind: Kind, name: str | None, *, reports: bool) -> None:
        run.id, run.kind, run.name, run.implicit, run.reports = run_id, kind, name, False, reports
        with run.tree.lock:
            self._runs[run_id] = run
            self._tops.append(run_id)
            self._open_pipeline(run)
            run.tree.touched = self._now()
        watch.task(run, self._task_ended)

    def _record(self, parent: Run, call: Callable[[Policy], Call]) -> Call | None:
        """The record of a call. Made outside of the lock: the user's `redact` and `token_counter` are called."""
        if parent.implicit and parent.span is None and parent.anchor is None:
            # A bare model call with nothing above it: the pipeline gets a span that ends with the call.
            self._open_pipeline(parent)
        if not parent.recording and not self._settings.metrics:
            return None
        try:
            return call(parent.policy if parent.recording else NOTHING)  # the metrics hold no content
        except BaseException:
            # Ctrl-C in the middle of our work: LangChain will not end what it has not started.
            if parent.implicit and not parent.children:
                self._batches.pop(parent.tree.batch, None)
                self._close(parent, "cancelled", None, None)
            raise

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

    def _close(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        if run.unwatch is not None:
            run.unwatch()
            run.unwatch = None
        run.outcome, run.evicted = outcome, evicted
        failure = error if outcome == "failed" else None
        if failure is not None:
            run.error_type = type(failure).__name__
            first = backends.first_failed(failure, run.id)
            if first == run.id:
                run.remember({first: run.span or run.anchor})
        if run.call is not None:
            self._complete(run.call, run.policy, outcome)
        if run.span is not None:
            if run.call is not None and self._prices is not None:
                with contained("cost"):
                    run.call.cost = self._prices.cost(run.call)
            told: dict[str, AttributeValue] = {}
            with contained("attributes"):
                told = attributes.describe(run, self._settings.dialect)
            with contained("backend.finish"):
                run.backend.finish(run.span, told, _STATUS[outcome])
        if run.call is not None and self._settings.metrics:
            with contained("metrics"):
                backends.record_metrics(run, run.call)
        if failure is not None and run.reports and self._settings.capture_errors:
            with contained("capture_errors"):
                backends.capture_error(failure, run.backend, run.failed.get(first, run.span), run.policy)

    def _complete(self, call: Call, policy: Policy, outcome: Outcome) -> None:
        call.ended = self._now()
        call.finished = outcome == "completed"
        if call.response.messages is None and call.texts:
            with contained("partial answer"):
                call.response = call.response.saying(content.output_messages([("".join(call.texts), None)], policy))

    def _task_ended(self, run_id: UUID, cancelled: bool) -> None:
        """The task that started a run is done, though the run is not.

        Inside chains each chunk of a stream is fetched by a task of its own, so for a stream that has begun, or a
        chain, a task that is done says nothing, unless it was cancelled.
        """
        run = self._runs.get(run_id)
        if run is None:
            return
        goes_on = run.kind == "chain" or (run.call is not None and run.call.streamed)
        if cancelled or not goes_on:
            with contained("end of a task"):
                self.end(run_id, "cancelled")

    def _bound(self) -> None:
        """End the oldest trees if there are too many live runs."""
        while len(self._runs) >= self._settings.max_live_runs:
            try:
                oldest = next(iter(self._runs.values()))
            except (StopIteration, RuntimeError):  # another thread was at it
                return
            top = oldest.top()
            for run_id in list(top.children) if top.implicit else [top.id]:
                self.end(run_id, "abandoned", evicted="limit")
            self.end(oldest.id, "abandoned", evicted="limit")

    def _sweep(self) -> None:
        """End what has been idle too long. Each start looks at two trees at the most, and every tree gets its turn."""
        for _ in range(2):
            try:
                run_id = self._tops.popleft()
            except IndexError:
                return
            run = self._runs.get(run_id)
            if run is None:
                continue
            longest = self._settings.max_idle_seconds
            if self._now() - run.tree.touched > longest and self._now() - run.top().active_at() > longest:
                self.end(run_id, "abandoned", evicted="idle")
            else:
                self._tops.append(run_id)
