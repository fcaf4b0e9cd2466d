"""The live runs: opens a span when a run starts, and closes it when the run ends, once and always."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from .._content.labels import user_labels
from .._content.policy import NOTHING, Policy
from .._runtime import interpreter
from .._runtime.containment import contained
from .._to_sentry.client import is_sending, within_scopes
from .._vocabulary import names
from . import silent_ends
from .call import Call
from .eviction import Eviction
from .roots import Roots
from .run import CHAINS, Agent, Detail, Ending, Outcome, Place, Run, Start
from .run_spans import FindCaller, RunSpans
from .settings import Settings

MakeRecord = Callable[[Policy], Call | Detail]
"""Makes the record of what a run is asked, under the run's policy."""

# How a run ends that is still open when its parent ends so.
_INHERITED: dict[Outcome, Outcome] = {
    "completed": "abandoned",
    "cancelled": "cancelled",
    "abandoned": "abandoned",
    "failed": "cancelled",
}

_SEVERITY: tuple[Outcome, ...] = ("completed", "abandoned", "cancelled", "failed")


class LiveRuns:
    """The runs that have started and not ended, by run id.

    A run's parent is the live run that LangChain names, never the span that happens to be current: many
    streams share one event loop, and each is pulled at its own time. Only a root looks at the current span.

    LangChain does not signal every end. A run also ends with its parent, with the task that it ran in, after
    some time without an event, when there are too many live runs, and when the process exits.

    Safe for threads: a run ends by being taken out of the map, which one caller alone can do, and starts and ends
    within one tree take turns.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
        find_caller: Finds the call that starts a run, if one is on the stack.
    """

    def __init__(self, settings: Settings, now: Callable[[], float], find_caller: FindCaller = lambda: None) -> None:
        self._settings = settings
        self._now = now
        self._spans = RunSpans(settings, now, find_caller)
        self._runs: dict[UUID, Run] = {}
        self.get = self._runs.get
        """The live run of an id, or `None`. The dict's own method, because it is called once per token."""
        self._roots = Roots(settings, now)
        self._eviction = Eviction(settings, now, self._runs, self.end)

    def __len__(self) -> int:
        return len(self._runs)

    # -- start ------------------------------------------------------------------------------------------------

    def start(self, start: Start, record: MakeRecord | None = None) -> None:
        """Start a run, unless it is live already or there is no Sentry client.

        Args:
            start: The start of the run.
            record: Makes the record of what it is asked.
        """
        if start.id in self._runs:
            return
        self._eviction.make_room()
        parent = self._parent(start)
        if parent is None:
            self._eviction.sweep()
            parent = self._roots.parent(start, self)
            if parent is None:
                return
            if start.kind in CHAINS or (parent.place.anchor is not None and start.batch_size == 1):
                # A chain without a parent is the pipeline itself, or an agent. A lone call needs no pipeline around it
                # if there is a span that it can be a child of.
                self._start_root(parent, start, record)
                return
        elif parent.kind in ("chain", "pipeline") and not parent.implicit and start.is_node:
            self._become_graph(parent)
        detail = self._record(parent, record) if record is not None else None
        with parent.tree.lock:
            # Another thread may have ended the parent meanwhile. Its span is still the right one to hang on.
            ended = not parent.implicit and parent.id not in self._runs
            run = Run(
                id=start.id,
                kind=start.kind,
                pipeline=parent.pipeline,
                policy=parent.policy,
                place=Place(backend=parent.place.backend, anchor=parent.place.anchor, recording=parent.place.recording),
                tree=parent.tree,
                parent=None if ended else parent,
                name=start.name,
                reports=parent.implicit and start.parent_id is None,
                is_node=start.is_node,
                has_fallbacks=start.has_fallbacks,
                agent=parent.agent,
                attempt=start.attempt or parent.attempt,
                fallback=_fallback(parent),
            )
            self._runs[run.id] = run
            if parent.implicit or ended:
                self._eviction.add(run)
            if not ended:
                parent.children[run.id] = run
                if run.has_fallbacks:
                    parent.fallbacks.append(run)
            self._open(run, start, detail)
        if start.batch_size == 1:
            # Of several prompts that start together, each would take itself for the one that is running.
            self._spans.activate(run, start.enclosing_id)
        if run.kind not in CHAINS:
            silent_ends.task(run, self._task_ended)

    def _parent(self, start: Start) -> Run | None:
        """The live parent: the run that LangChain names, or the tool among its children that encloses this code.

        LangChain gives a tool the config that it was itself called with (langchain-core 1.0 to 1.8). What the tool
        passes that on to would become its sibling.
        """
        named = self._runs.get(start.parent_id) if start.parent_id is not None else None
        inside = self._runs.get(start.enclosing_id) if start.enclosing_id is not None else None
        if inside is not None and inside.kind == "tool" and inside.parent is named:
            return inside
        return named

    def _start_root(self, run: Run, start: Start, record: MakeRecord | None) -> None:
        run.name, run.implicit, run.reports = start.name, False, start.parent_id is None
        run.attempt, run.has_fallbacks = start.attempt, start.has_fallbacks
        if start.kind != "chain":
            run.kind = start.kind
        detail = self._record(run, record) if record is not None else None
        with run.tree.lock:
            self._runs[run.id] = run
            self._eviction.add(run)
            self._open(run, start, detail)
        self._spans.activate(run, start.enclosing_id)
        silent_ends.task(run, self._task_ended)

    def _record(self, parent: Run, record: MakeRecord) -> Call | Detail | None:
        """The record of a run. Made outside of the lock: the user's `redact` and `token_counter` are called."""
        if parent.implicit and parent.place.span is None and parent.place.anchor is None:
            # A bare call without an active span: the pipeline gets a span that ends with the call.
            self._spans.open(parent)
        if not parent.place.recording and not self._settings.metrics:
            return None
        try:
            return record(parent.policy if parent.place.recording else NOTHING)  # the metrics hold no content
        except BaseException:
            # Ctrl-C in the middle of our work: LangChain will not end what it has not started.
            if parent.implicit and not parent.children:
                self._roots.complete(parent)
                self._spans.close(parent, "cancelled", None, None)
            raise

    def _open(self, run: Run, start: Start, detail: Call | Detail | None) -> None:
        """Open the span of a run that is in the map now, with all that is known from its start."""
        if isinstance(detail, Call):
            run.call = detail
        else:
            run.detail = detail
        parent = run.parent
        run.conversation = start.conversation_id or (parent.conversation if parent else None)
        if run.place.recording and run.policy.inputs:
            with contained("labels"):
                run.labels = user_labels(start.tags, start.metadata, self._settings.metadata_keys, run.policy)
        if isinstance(detail, Agent):
            run.agent = detail.name = names.agent(own=start.agent_name, parent=run.agent, run=start.name)
        elif run.call is not None and parent is not None:
            for agent in parent.agents():
                agent.tools = agent.tools or run.call.request.tools
        self._spans.open(run)
        run.tree.touched = self._now()

    def _become_graph(self, run: Run) -> None:
        """A chain has turned out to be a graph, because a node of it starts."""
        with run.tree.lock, contained("graph"):
            run.kind = "agent"
            run.agent = names.agent(own=None, parent=None, run=run.name)
            run.detail = Agent(run.agent)
            self._spans.open(run)

    # -- end --------------------------------------------------------------------------------------------------

    def end(
        self,
        run_id: UUID,
        outcome: Outcome = "completed",
        error: BaseException | None = None,
        *,
        evicted: str | None = None,
    ) -> None:
        """End a run, and before it every descendant that is still open. Late and repeated ends are ignored.

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
            queues = run.place.backend.queues or self._settings.metrics
            if is_sending(queues=queues) and silent_ends.elsewhere(later):
                return
            self._end(run, outcome, error, evicted)

    def _end(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        with run.tree.lock:
            if self._runs.pop(run.id, None) is None:
                return
            try:
                open_ones = run.descendants() if run.children else ()
                if outcome == "completed" and _was_left(run, open_ones):
                    outcome = "abandoned"
                for each in open_ones:
                    if self._runs.pop(each.id, None) is not None:
                        self._spans.close(each, _INHERITED[outcome], None, evicted)
            finally:
                self._spans.close(run, outcome, error, evicted)
                self._leave(run, outcome, evicted)

    def _leave(self, run: Run, outcome: Outcome, evicted: str | None) -> None:
        """Take a run that has ended out of its tree, and end what ends with it."""
        parent, run.parent = run.parent, None
        run.children.clear()
        run.fallbacks.clear()
        run.tree.touched = self._now()
        if parent is None:
            return
        parent.children.pop(run.id, None)
        parent.ending.remember(run.ending.failed)
        if run.has_fallbacks and run in parent.fallbacks:
            parent.fallbacks.remove(run)
        if outcome == "failed":
            for each in (parent, *parent.fallbacks):  # calls with fallbacks, whose attempts may be their siblings
                each.ending.failures += 1
        if parent.implicit:
            self._leave_pipeline(parent, run.ending, evicted)
        elif outcome == "abandoned" and parent.has_fallbacks:
            # Left at its first chunk, it gets no end (langchain-core 1.7 to 1.8).
            self.end(parent.id, "abandoned", evicted=evicted)

    def _leave_pipeline(self, pipeline: Run, ending: Ending, evicted: str | None) -> None:
        """The pipeline around bare calls takes over the worst outcome, and ends with the last of them."""
        if _SEVERITY.index(ending.outcome) >= _SEVERITY.index(pipeline.ending.outcome):
            pipeline.ending.outcome, pipeline.ending.error_type = ending.outcome, ending.error_type
        if not pipeline.children:
            self._roots.complete(pipeline)
            self._spans.close(pipeline, pipeline.ending.outcome, None, evicted)

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
        """Forget every live run without ending it: in a forked process they are the parent process's to end."""
        self._runs.clear()
        self._eviction.forget()
        self._roots.forget()

    def _task_ended(self, run_id: UUID, cancelled: bool) -> None:
        """The task that started a run has ended, though the run has not.

        Inside chains each chunk of a stream is fetched by a task of its own. So for a chain, or a stream that has
        begun, the end of a task means nothing, unless it was cancelled. The same is true of a text model:
        `agenerate` starts each of its runs in a task that does nothing else.
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


def _was_left(run: Run, open_ones: Iterable[Run]) -> bool:
    """Whether the consumer left a run that reports that it completed.

    A sync chain whose consumer left does so, while its model still streams (langchain-core 1.0 to 1.8).
    """
    is_streaming = any(each.call is not None and each.call.streamed for each in open_ones)
    return is_streaming and run.kind in CHAINS and silent_ends.is_current(run)


def _fallback(parent: Run) -> int | None:
    """How many attempts before this one have failed, if it is one of `with_fallbacks`, or inside of one.

    In a chain LangChain makes those attempts siblings of the run of the fallbacks, not its children.
    """
    for run in (parent, *parent.fallbacks):
        if run.has_fallbacks:
            return run.ending.failures or None
    return parent.fallback
