"""The live runs: opens a span when a run starts, and closes it when the run ends, once and always."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from uuid import UUID

from .._content.labels import conversation_id, user_labels
from .._content.policy import NOTHING, Policy
from .._from_langchain import marks
from .._runtime import interpreter
from .._runtime.containment import contained
from .._to_sentry.client import is_sending, within_scopes
from . import silent_ends
from .call import Call
from .roots import Roots
from .run import CHAINS, Agent, Detail, Outcome, Run, Start
from .run_spans import RunSpans
from .settings import Settings

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
        self._spans = RunSpans(settings, now)
        self._runs: dict[UUID, Run] = {}
        self.get = self._runs.get
        """The live run of an id, or `None`. The dict's own method, as it is asked once per token."""
        # The ids of runs without a live parent, those looked at longest ago first; ended ones drop out when met.
        self._tops: deque[UUID] = deque()
        self._roots = Roots(settings, now)

    def __len__(self) -> int:
        return len(self._runs)

    def start(self, start: Start, record: Callable[[Policy], Call | Detail] | None = None) -> None:
        """Start a run, unless it is live already or there is no Sentry client.

        Args:
            start: What LangChain says of it.
            record: Makes the record of what it is asked, under the run's policy.
        """
        if start.id in self._runs:
            return
        self._bound()
        parent = self._parent(start)
        if parent is None:
            self._sweep()
            parent = self._roots.above(start, self)
            if parent is None:
                return
            if start.kind in CHAINS or (parent.anchor is not None and start.batch == 1):
                # A chain at the top is the pipeline itself, or an agent. And a lone call needs none above it, if there
                # is a span to hang on.
                self._start_top(parent, start, record)
                return
        elif parent.kind in ("chain", "pipeline") and not parent.implicit and marks.is_node(start.tags):
            self._becomes_graph(parent)
        detail = self._record(parent, record) if record is not None else None
        with parent.tree.lock:
            # Another thread may have ended the parent meanwhile. Its span is still the right one to hang on.
            ended = not parent.implicit and parent.id not in self._runs
            run = Run(
                start.id,
                start.kind,
                parent.pipeline,
                parent.backend,
                parent.policy,
                name=start.name,
                parent=None if ended else parent,
                anchor=parent.anchor,
                recording=parent.recording,
                reports=parent.implicit and start.parent_id is None,
                agent=parent.agent,
                attempt=marks.attempt(start.tags) or parent.attempt,
                fallback=_fallback(parent),
                node=marks.is_node(start.tags),
                tree=parent.tree,
            )
            self._runs[run.id] = run
            if parent.implicit or ended:
                self._tops.append(run.id)
            if not ended:
                parent.children[run.id] = run
            self._open(run, start, detail)
        if start.batch == 1:
            # Of several prompts that start together, each would take itself for the one that is at work.
            self._spans.activate(run, start.enclosing)
        if run.kind not in CHAINS:
            silent_ends.task(run, self._task_ended)

    def _parent(self, start: Start) -> Run | None:
        """The live run above: the one that LangChain names, or the tool below it that we are in.

        LangChain gives a tool the config that it was itself called with (langchain-core 1.0 to 1.8). What the tool
        hands that on to would stand beside it.
        """
        named = self._runs.get(start.parent_id) if start.parent_id is not None else None
        inside = self._runs.get(start.enclosing) if start.enclosing is not None else None
        if inside is not None and inside.kind == "tool" and inside.parent is named:
            return inside
        return named

    def _open(self, run: Run, start: Start, detail: Call | Detail | None) -> None:
        """Open the span of a run that has been entered, with all that its start tells."""
        if isinstance(detail, Call):
            run.call = detail
        else:
            run.detail = detail
        above = run.parent
        run.conversation = conversation_id(start.metadata) or (above.conversation if above else None)
        if run.recording and run.policy.inputs:
            with contained("labels"):
                run.labels = user_labels(start.tags, start.metadata, self._settings.metadata_keys, run.policy)
        if isinstance(detail, Agent):
            run.agent = detail.name = marks.agent_name(start, run.agent)
        elif run.call is not None and above is not None:
            for agent in above.agents():
                agent.tools = agent.tools or run.call.request.tools
        self._spans.open(run)
        run.tree.touched = self._now()

    def _becomes_graph(self, run: Run) -> None:
        """A chain has turned out to be a graph, as a node of it starts."""
        with run.tree.lock, contained("graph"):
            run.kind = "agent"
            run.agent = run.name or marks.GRAPH
            run.detail = Agent(run.agent)
            self._spans.open(run)

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

        def later() -> None:
            self.end(run_id, outcome, error, evicted=evicted)

        if interpreter.is_collecting() and silent_ends.elsewhere(later):
            return
        with within_scopes(run.tree.scopes):
            if is_sending(queues=run.backend.queues or self._settings.metrics) and silent_ends.elsewhere(later):
                return
            self._end(run, outcome, error, evicted)

    def _end(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        with run.tree.lock:
            if self._runs.pop(run.id, None) is None:
                return
            try:
                below = run.below() if run.children else ()
                if outcome == "completed" and run.kind in CHAINS and _streams(below) and silent_ends.is_current(run):
                    # A sync chain whose consumer left says that it came to its end, while the model is still at it.
                    outcome = "abandoned"
                for each in below:
                    if self._runs.pop(each.id, None) is not None:
                        self._spans.close(each, _BELOW[outcome], None, evicted)
            finally:
                self._spans.close(run, outcome, error, evicted)
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
        if outcome == "failed":
            for each in (parent, *parent.children.values()):
                each.failures += 1  # of the run above, and of calls with fallbacks, which may stand beside
        if parent.implicit:
            if _SEVERITY.index(outcome) >= _SEVERITY.index(parent.outcome):
                parent.outcome, parent.error_type = outcome, run.error_type
            if not parent.children:
                self._roots.complete(parent)
                self._spans.close(parent, parent.outcome, None, evicted)
        elif outcome == "abandoned" and (parent.name or "").startswith("RunnableWithFallbacks"):
            # Left at its first chunk, it ends without a word (langchain-core 1.7 to 1.8).
            self.end(parent.id, "abandoned", evicted=evicted)

    def end_batch(self, run_id: UUID) -> None:
        """End what started together with a run that has just failed, where LangChain never will.

        The sync `generate` of several prompts stops at the first that fails and forgets the others.
        """
        run = self._runs.get(run_id)
        if run is not None and run.parent is not None and run.parent.implicit and silent_ends.is_current(run):
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
        self._roots.forget()

    def _start_top(self, run: Run, start: Start, record: Callable[[Policy], Call | Detail] | None) -> None:
        run.name, run.implicit, run.reports = start.name, False, start.parent_id is None
        run.attempt = marks.attempt(start.tags)
        if start.kind != "chain":
            run.kind = start.kind
        detail = self._record(run, record) if record is not None else None
        with run.tree.lock:
            self._runs[run.id] = run
            self._tops.append(run.id)
            self._open(run, start, detail)
        self._spans.activate(run, start.enclosing)
        silent_ends.task(run, self._task_ended)

    def _record(self, parent: Run, record: Callable[[Policy], Call | Detail]) -> Call | Detail | None:
        """The record of a run. Made outside of the lock: the user's `redact` and `token_counter` are called."""
        if parent.implicit and parent.span is None and parent.anchor is None:
            # A bare call with nothing above it: the pipeline gets a span that ends with the call.
            self._spans.open(parent)
        if not parent.recording and not self._settings.metrics:
            return None
        try:
            return record(parent.policy if parent.recording else NOTHING)  # the metrics hold no content
        except BaseException:
            # Ctrl-C in the middle of our work: LangChain will not end what it has not started.
            if parent.implicit and not parent.children:
                self._roots.complete(parent)
                self._spans.close(parent, "cancelled", None, None)
            raise

    def _task_ended(self, run_id: UUID, cancelled: bool) -> None:
        """The task that started a run is done, though the run is not.

        Inside chains each chunk of a stream is fetched by a task of its own, so for a stream that has begun, or a
        chain, a task that is done says nothing, unless it was cancelled. Nor does it for a text model: `agenerate`
        starts each of its runs in a task that does nothing else.
        """
        run = self._runs.get(run_id)
        if run is None:
            return
        call = run.call
        goes_on = run.kind in CHAINS or (
            call is not None and (call.streamed or call.request.operation == "text_completion")
        )
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
        for _ in range(min(2, len(self._tops))):
            try:
                run_id = self._tops.popleft()
            except IndexError:  # another thread was at it
                return
            run = self._runs.get(run_id)
            if run is None:
                continue
            longest = self._settings.max_idle_seconds
            if self._now() - run.tree.touched > longest and self._now() - run.top().active_at() > longest:
                self.end(run_id, "abandoned", evicted="idle")
            else:
                self._tops.append(run_id)


def _streams(runs: Iterable[Run]) -> bool:
    """Whether a model streams among these."""
    return any(run.call is not None and run.call.streamed for run in runs)


def _fallback(parent: Run) -> int | None:
    """How many of the calls before this one have failed, if it is one of `with_fallbacks`, or inside of one.

    In a chain LangChain hangs those calls beside the run of the fallbacks, not below it.
    """
    for run in (parent, *list(parent.children.values())):
        if (run.name or "").startswith("RunnableWithFallbacks"):
            return run.failures or None
    return parent.fallback
