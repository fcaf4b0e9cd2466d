"""The live runs: each run's span is opened when the run starts, and closed exactly once when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

from .._content.policy import NOTHING, Policy
from .._runtime import interpreter
from .._runtime.containment import contain, contained, is_from_signal, warn_once
from .._to_sentry import active_span
from .._to_sentry.asking import is_asking
from .._to_sentry.client import are_current, current_client, is_sending, within_scopes
from .._vocabulary import names
from . import attempts, enclosing, labelling, silent_ends, tree_ends
from .call import Call
from .details import Agent, Detail, MakeRecord
from .eviction import Eviction
from .kinds import CHAINS, Outcome
from .numbers import Number, number
from .roots import Others, Roots
from .run import Run
from .run_spans import RunSpans
from .settings import Settings
from .start import Start


class LiveRuns:
    """The runs that have started and not ended, by the number of their id.

    A run's parent is the live run that LangChain names, never the current span: many streams share one event loop,
    and each is consumed at its own pace. Only a root becomes a child of the current span.

    LangChain does not signal every end. A run also ends with its parent, with the task that it ran in, after
    some time without an event, when there are too many live runs, and when the process exits.

    Thread-safe. Ending a run starts with taking it out of the map, which only one caller can do. Within a tree, a
    lock allows one start or end at a time.

    Args:
        settings: The user's settings.
        now: The monotonic clock, in seconds.
        watch_call: Watches the call that starts a run, if there is one.
        others: Returns further settings whose vetoes hold with a client, if there are any.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float],
        watch_call: silent_ends.WatchCall | None = None,
        others: Others | None = None,
    ) -> None:
        self.settings = settings
        self.now = now
        self._spans = RunSpans(settings, now)
        self.open = self._spans.open
        self.close = self._spans.close
        self._runs: dict[Number, Run] = {}
        self.get = self._runs.get
        """Returns the live run of a number, or `None`."""
        self._watch = silent_ends.Watching(self.get, self.end, watch_call).watch
        self.count = self._runs.__len__
        """Returns how many runs are live."""
        self.plain: dict[int, Call] = {}
        """The calls whose next chunk is counted if it has a text, and kept if that is allowed, and that is all: as is
        most often. By number."""
        self._roots = Roots(settings, now, others)
        self._eviction = Eviction(settings, now, self._runs, self.end)

    def __len__(self) -> int:
        return len(self._runs)

    # -- start ------------------------------------------------------------------------------------------------

    def start(self, start: Start, record: MakeRecord | None = None) -> Run | None:
        """Start a run, unless it is already live, there is no Sentry client, or a function of the user's starts it.

        Args:
            start: The start of the run.
            record: Makes the record of the run's input.

        Returns:
            The run, if this handler follows it.
        """
        own = number(start.id)
        try:
            return None if is_asking() else self._start(own, start, record)
        finally:
            enclosing.claims.pop(own, None)

    def _start(self, own: Number, start: Start, record: MakeRecord | None) -> Run | None:
        live = enclosing.get(own)
        if live is not None:
            self._take_over(live, start, record)
            return self.get(own)
        if len(self._runs) >= self.settings.max_live_runs:
            self._eviction.make_room()
        parent = enclosing.parent_of(start) if start.parent_id is not None else None
        if parent is None:
            self._eviction.sweep()
            parent = self._roots.parent(start, own, self)
            if parent is None:
                return None
            if start.kind in CHAINS or (parent.place.anchor is not None and start.batch_size == 1):
                # A chain without a parent is the pipeline itself, or an agent. A single call needs no pipeline around
                # it if there is an active span that can be its parent.
                self._start_root(parent, start, record)
                return parent
        elif parent.kind in ("chain", "pipeline") and not parent.implicit and start.is_node:
            parent.keeper.become_graph(parent)
        policy, pipeline = (parent.policy, parent.pipeline) if parent.keeper is self else self._terms(parent)
        around = parent.ancestors() if record is not None and not parent.implicit else ()
        detail = self._record(parent, policy, record) if record is not None else None
        with parent.tree.lock:
            # Another thread may have ended the parent meanwhile. The parent's span is still the right parent span.
            ended = not parent.implicit and enclosing.get(parent.number) is not parent
            above = next((each for each in around if enclosing.get(each.number) is each), None) if ended else parent
            run = Run(
                id=start.id,
                number=own,
                kind=start.kind,
                pipeline=pipeline,
                policy=policy,
                place=parent.place.below(nests=self.settings.nesting),
                keeper=self,
                tree=parent.tree,
            )
            run.name, run.given_id, run.enclosing_id = start.name, start.given_id, start.enclosing_id
            run.parent = above
            run.reports = parent.implicit and start.parent_id is None
            run.is_node, run.has_fallbacks = start.is_node, start.has_fallbacks
            run.agent, run.attempt = parent.agent, start.attempt or parent.attempt
            if parent.has_fallbacks or parent.fallbacks:
                run.fallback = attempts.fallback_of(parent, start.enclosing_id)
            else:
                run.fallback = parent.fallback
            if detail is not None or start.task is not None:
                run.work = attempts.work_of(start, parent, detail)
            self.add(run)
            if above is None or above.implicit:
                self._eviction.add(run)
            if above is not None:
                above.add_child(run)
                if run.has_fallbacks and not ended:
                    parent.fallbacks = {**parent.fallbacks, run.id: run}
            self._open(run, start, detail)
        self._watch(run)
        return run

    def _start_root(self, run: Run, start: Start, record: MakeRecord | None) -> None:
        run.name, run.implicit, run.reports = start.name, False, start.parent_id is None
        run.attempt, run.has_fallbacks = start.attempt, start.has_fallbacks
        run.enclosing_id, run.given_id = start.enclosing_id, start.given_id
        if start.kind != "chain":
            run.kind = start.kind
        detail = self._record(run, run.policy, record) if record is not None else None
        with run.tree.lock:
            self.add(run)
            self._eviction.add(run)
            self._open(run, start, detail)
        self._watch(run)

    def _terms(self, parent: Run) -> tuple[Policy, str]:
        """What may be recorded of a child of another handler's run, and the name of its pipeline."""
        client = current_client()
        self._roots.prepare(client, self)
        return self._roots.policy(client), self.settings.pipeline_name or parent.pipeline

    def _take_over(self, run: Run, start: Start, record: MakeRecord | None) -> None:
        """Record a run that another handler has just started. LangChain calls the handler nearest to the run last."""
        if run.keeper is self or self in run.seen_by:
            return  # this handler is in the callback list twice
        warn_once(
            "two handlers",
            "Two SentryStreamHandlers see the same run. The one nearest to it records it: the model's own before the "
            "call's, the call's before one of an enclosing run.",
        )
        policy, pipeline = self._terms(run)
        policy = run.policy.and_(policy)
        detail = self._record(run, policy, record) if record is not None else None
        self._eviction.sweep()
        with run.tree.lock:
            before, run.seen_by = run.keeper, (*run.seen_by, run.keeper)
            if not before.hand_over(run):
                return
            alone = run.parent if run.parent is not None and run.parent.implicit and not run.tree.batch else None
            for each in (alone, run):
                if each is not None:
                    each.place = replace(each.place)  # chains without a span share one
                    each.keeper, each.policy, each.pipeline = self, policy, pipeline
                    each.place.nests = self.settings.nesting
            self._runs[run.number] = run
            if run.parent is None or run.parent.implicit:
                self._eviction.add(run)
            if alone is not None and alone.place.span is not None:
                self._spans.open(alone)
            self._open(run, start, detail)
        self._watch(run)

    def hand_over(self, run: Run) -> bool:
        """Give a run up to another handler, unless it has ended."""
        self._spans.detach(run)
        if run.call is not None and run.call.streamed:
            self.no_longer_plain(run)
        return self._runs.pop(run.number, None) is not None

    def make_plain(self, run: Run, call: Call) -> None:
        """Make a call one of the plain ones."""
        self.plain[run.number] = call
        if self._runs.get(run.number) is not run:  # another thread has ended it
            self.plain.pop(run.number, None)

    def no_longer_plain(self, run: Run) -> None:
        """Have the call's chunks read in full from now on."""
        self.plain.pop(run.number, None)

    def _record(self, parent: Run, policy: Policy, record: MakeRecord) -> Call | Detail | None:
        """Make the record of a run. Call it without the lock: it calls the user's `redact` and `token_counter`."""
        if parent.implicit and parent.place.span is None and parent.place.anchor is None:
            # A call without a parent run and without an active span: the pipeline gets a span that ends with the call.
            parent.keeper.open(parent)
        if not (parent.place.recording or self.settings.metrics or parent.tree.watches):
            return None
        try:
            return record(policy if parent.place.recording else NOTHING)  # the metrics hold no content
        except BaseException:
            # Ctrl-C while the record is made: LangChain does not end a run whose start has failed.
            if parent.implicit and not parent.below:
                parent.keeper.complete(parent)
                parent.keeper.close(parent, "cancelled", None, None)
            raise

    def add(self, run: Run) -> None:
        """Put a run that has started into the map. Inside of it, its span is the active one."""
        self._runs[run.number] = run
        enclosing.add(run.number, run)
        # In a request that is not sampled there is no span of ours to be the active one.
        if self.settings.nesting and (run.place.recording or run.place.is_ours):
            try:
                run.scope = active_span.enter(id(run), is_root=run.parent is None or run.parent.implicit)
            except Exception as error:
                contain("nesting", error)

    def take(self, run: Run) -> bool:
        """Take a run out of the map, which one caller alone can do."""
        enclosing.discard(run)
        scope, run.scope = run.scope, None
        if scope is not None:
            try:
                active_span.leave(scope, id(run))
            except Exception as error:
                contain("nesting", error)
        if run.call is not None and run.call.streamed:
            self.no_longer_plain(run)
        return self._runs.pop(run.number, None) is not None

    def _open(self, run: Run, start: Start, detail: Call | Detail | None) -> None:
        """Set what is known from the start of a run, and open its span. The run is already in the map."""
        try:
            if isinstance(detail, Call):
                run.call = detail
            else:
                run.detail = detail
            parent = run.parent
            if parent is not None and run.work is not None:
                attempt, fallback = attempts.count(run, parent)
                run.attempt, run.fallback = run.attempt or attempt, run.fallback or fallback
            inherited = parent.conversation if parent else None
            run.conversation = run.tree.conversation or start.conversation_id or inherited
            if run.place.recording:
                labelling.label(run, start, self.settings)
            if start.configured and parent is not None and parent.id == start.configured_by:
                labelling.complete(parent, start, self.settings)
            if isinstance(detail, Agent):
                inherited = parent.agent if parent is not None else None
                run.agent = detail.name = names.agent(own=start.agent_name, parent=inherited, run=start.name)
            elif run.call is not None and parent is not None and run.call.request.tools is not None:
                for agent in parent.agents():
                    agent.tools = agent.tools or run.call.request.tools
            self._spans.open(run)
        except BaseException as error:
            if not issubclass(type(error), Exception) or is_from_signal(error):
                # Ctrl-C or a time limit while `redact` runs: LangChain does not end a run whose start has failed.
                self._spans.open(run)
                self.end_run(run, "cancelled")
            raise
        run.tree.touched = self.now()

    def complete(self, pipeline: Run) -> None:
        """Record that no further call below this implicit pipeline will start."""
        self._roots.complete(pipeline)

    def become_graph(self, run: Run) -> None:
        """Turn a chain into an agent: a node has started in it, so it is a graph."""
        with run.tree.lock, contained("graph"):
            run.kind, run.place = "agent", replace(run.place)  # chains without a span share one
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
        """End a run, and first every descendant that is still open. Late and repeated ends are ignored.

        Args:
            run_id: LangChain's run id.
            outcome: How the run ended.
            error: The exception that it failed with.
            evicted: Why this package ends it, if LangChain does not: `"idle"`, `"limit"` or `"exit"`.
        """
        run = self._runs.get(number(run_id))
        if run is not None:
            self.end_run(run, outcome, error, evicted)

    def end_run(
        self,
        run: Run,
        outcome: Outcome = "completed",
        error: BaseException | None = None,
        evicted: str | None = None,
    ) -> None:
        """The same, with the run itself."""
        if interpreter.is_collecting() and self._end_later(run, outcome, error, evicted):
            return
        if are_current(run.tree.scopes):
            self._end(run, outcome, error, evicted)
        else:
            with within_scopes(run.tree.scopes):
                self._end(run, outcome, error, evicted)

    def _end(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        queues = run.place.backend.queues or self.settings.metrics
        if not (is_sending(queues=queues) and self._end_later(run, outcome, error, evicted)):
            tree_ends.end(run, outcome, error, evicted)

    def _end_later(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> bool:
        """End a run in another thread, if one can be started: this one is in the midst of something."""
        return silent_ends.run_in_thread(partial(self.end, run.id, outcome, error, evicted=evicted))

    def add_root(self, run: Run) -> None:
        """Enforce the limits on a run that has no live parent."""
        self._eviction.add(run)

    def end_batch(self, run_id: UUID) -> None:
        """End the runs that started together with a run that has just failed, see `tree_ends.end_batch`."""
        run = self._runs.get(number(run_id))
        if run is not None:
            tree_ends.end_batch(run)

    def end_all(self, evicted: str) -> None:
        """End every live run."""
        for run in list(self._runs.values()):
            with contained("end of all runs"):
                self.end_run(run, "abandoned", evicted=evicted)

    def forget(self) -> None:
        """Forget every live run without ending it. In a forked process, the parent process ends these runs."""
        enclosing.forget(self._runs)
        self._runs.clear()
        self.plain.clear()
        self._eviction.forget()
        self._roots.forget()
