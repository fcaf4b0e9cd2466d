"""Starts runs: finds the parent, makes the record, opens the span, or takes the run over from another handler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from .._content.policy import NOTHING, Policy
from .._runtime.containment import is_from_signal, warn_once
from .._to_sentry import asking, sentrys_hooks
from .._to_sentry.client import current_client
from .._vocabulary import names
from . import attempts, enclosing, labelling, own_agent
from .call import Call
from .details import Agent, Detail, MakeRecord
from .eviction import Eviction
from .kinds import CHAINS
from .numbers import Number, number
from .roots import Roots
from .run import Keeper, Run
from .run_spans import RunSpans
from .silent_ends import Watching
from .start import Start


class Starts:
    """Starts the runs of one handler.

    Args:
        live: Its live runs.
        roots: Makes the parents of runs without a live parent.
        spans: Opens their spans.
        eviction: Enforces the limits on them.
        watching: Watches for ends that LangChain does not signal.
        is_read_on: Returns whether a stream that was left is read on, which calls this code: not the application does.
    """

    def __init__(
        self,
        live: Keeper,
        *,
        roots: Roots,
        spans: RunSpans,
        eviction: Eviction,
        watching: Watching,
        is_read_on: Callable[[], bool],
    ) -> None:
        self._settings = live.settings
        self._now = live.now
        self._live = live
        self._roots = roots
        self._open_span = spans.open
        self._eviction = eviction
        self._watch = watching.watch
        self._is_read_on = is_read_on

    def start(self, start: Start, record: MakeRecord | None = None) -> Run | None:
        """Start a run, unless it is already live, there is no Sentry client, or a function of the user's starts it.

        Such a function is `redact`, `token_counter`, or a hook of Sentry's that is called for a run.

        Args:
            start: The start of the run.
            record: Makes the record of the run's input.

        Returns:
            The run, if this handler follows it.
        """
        own = number(start.id)
        try:
            if (asking.ever and asking.is_asking()) or (sentrys_hooks.under_way and sentrys_hooks.is_inside()):
                return None
            return self._start(own, start, record)
        finally:
            enclosing.claims.pop(own, None)

    def _start(self, own: Number, start: Start, record: MakeRecord | None) -> Run | None:
        live = enclosing.get(own)
        if live is not None:
            self._take_over(live, start, record)
            return self._live.get(own)
        if self._live.count() >= self._settings.max_live_runs:
            self._eviction.make_room()
        parent = enclosing.parent_of(start) if start.parent_id is not None else None
        gone = enclosing.gone(number(start.parent_id)) if parent is None and start.parent_id is not None else None
        if gone is not None:
            if start.is_step and not gone.is_node:
                enclosing.give_up(own, gone)  # its end LangChain may not even signal
                return None
            if start.kind not in CHAINS or start.is_node:
                start.pipeline_name = start.pipeline_name or gone.pipeline
                start.conversation_id = start.conversation_id or gone.conversation
        if parent is None:
            self._eviction.sweep()
            parent = self._roots.parent(start, own, self._live)
            if parent is None:
                return None
            if start.kind in CHAINS or (parent.place.anchor is not None and start.batch_size == 1):
                # A chain without a parent is the pipeline itself, or an agent. A single call needs no pipeline around
                # it if there is an active span that can be its parent.
                self._start_root(parent, start, record)
                return parent
        elif start.is_node and not parent.implicit and (parent.kind in ("chain", "pipeline") or parent.question):
            parent.keeper.become_graph(parent, start.is_first)
        policy, pipeline = (parent.policy, parent.pipeline) if parent.keeper is self._live else self._terms(parent)
        if record is not None and parent.tree.client() is not (client := current_client()):
            # `sentry_sdk.init` was called again, perhaps to allow less.
            policy = policy.and_(self._roots.policy(client))
        around = parent.ancestors() if record is not None and not parent.implicit else ()
        detail = self._ask(start, record, policy, within=parent, parent=parent)
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
                place=parent.place.below(nests=self._settings.nesting),
                keeper=self._live,
                tree=parent.tree,
            )
            run.name, run.given_id, run.enclosing_id = start.name, start.given_id, start.enclosing_id
            if leavings := run.tree.leavings:
                run.ending.leavings_before = parent.ending.leavings_before if self._is_read_on() else leavings
            run.question = start.question
            run.parent = above
            run.reports = parent.implicit and start.parent_id is None
            run.is_node, run.is_middleware, run.has_fallbacks = start.is_node, start.is_middleware, start.has_fallbacks
            run.agent, run.attempt = parent.agent or start.agent_name, start.attempt or parent.attempt
            if parent.has_fallbacks or parent.fallbacks:
                run.fallback = attempts.begun(parent, start.enclosing_id)
            else:
                run.fallback = parent.fallback
            if detail is not None or start.task is not None:
                run.work = attempts.work_of(start, parent, detail)
                if start.task is not None and run.work == start.task:
                    enclosing.add_node(start.task, run)
            self._live.add(run)
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
        run.enclosing_id, run.given_id, run.question = start.enclosing_id, start.given_id, start.question
        if start.kind != "chain":
            run.kind = start.kind
        if start.kind not in CHAINS:
            run.agent = start.agent_name
        detail = self._ask(start, record, run.policy, within=run, parent=None)
        with run.tree.lock:
            self._live.add(run)
            self._eviction.add(run)
            self._open(run, start, detail)
        self._watch(run)

    def _terms(self, parent: Run) -> tuple[Policy, str]:
        """What may be recorded of a child of another handler's run, and the name of its pipeline."""
        client = current_client()
        self._roots.prepare(client, self._live)
        return self._roots.policy(client), self._settings.pipeline_name or parent.pipeline

    def _take_over(self, run: Run, start: Start, record: MakeRecord | None) -> None:
        """Record a run that another handler has just started. LangChain calls the handler nearest to the run last."""
        if run.keeper is self._live or self._live in run.seen_by:
            return  # this handler is in the callback list twice
        warn_once(
            "two handlers",
            "Two SentryStreamHandlers see the same run. The one nearest to it records it: the model's own before the "
            "call's, the call's before one of an enclosing run.",
        )
        policy, pipeline = self._terms(run)
        policy = run.policy.and_(policy)
        detail = self._ask(start, record, policy, within=run, parent=run.parent, taken_over=run)
        self._eviction.sweep()
        with run.tree.lock:
            before, run.seen_by = run.keeper, (*run.seen_by, run.keeper)
            if not before.hand_over(run):
                return
            alone = run.parent if run.parent is not None and run.parent.implicit and not run.tree.batch else None
            for each in (alone, run):
                if each is not None:
                    each.place = replace(each.place)  # chains without a span share one
                    each.keeper, each.policy, each.pipeline = self._live, policy, pipeline
                    each.place.nests = self._settings.nesting
            self._live.adopt(run)
            for each in (alone, run):
                if each is not None:
                    labelling.hand_over(each, self._settings)
            if run.call is not None:
                own_agent.take_back(run)
            if run.parent is None or run.parent.implicit:
                self._eviction.add(run)
            if alone is not None and alone.place.span is not None:
                self._open_span(alone)
            self._open(run, start, detail)
        self._watch(run)

    def _ask(
        self,
        start: Start,
        record: MakeRecord | None,
        policy: Policy,
        *,
        within: Run,
        parent: Run | None,
        taken_over: Run | None = None,
    ) -> Call | Detail | None:
        """Make the record of a run, and read what the application says of the run.

        Call it without the lock: it calls the user's `redact` and `token_counter`, which may wait for what another
        thread does in the same tree.

        Args:
            start: The start of the run.
            record: Makes the record of its input.
            policy: What may be recorded of it.
            within: The run whose place says whether anything is: the parent, or the run itself.
            parent: Its parent, if it has one.
            taken_over: The run, if another handler has recorded its start.
        """
        if record is not None and within.implicit and within.place.span is None and within.place.anchor is None:
            # A call without a parent run and without an active span: the pipeline gets a span that ends with the call.
            within.keeper.open(within)
        recording = within.place.recording
        try:
            if recording and (
                policy.inputs
                or start.configured
                or start.prompt is not None
                or self._settings.user_key is not None
                or taken_over is not None
            ):
                start.said = labelling.read(start, self._live, policy, parent, taken_over)
            if record is None or not (recording or self._settings.metrics or within.tree.watches):
                return None
            return record(policy if recording else NOTHING)  # the metrics hold no content
        except BaseException:
            # Ctrl-C meanwhile: LangChain does not end a run whose start has failed.
            if within.implicit and not within.below:
                within.keeper.complete(within)
                within.keeper.close(within, "cancelled", None, None)
            raise

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
            found = start.conversation_id or (parent.conversation if parent is not None else None)
            if found is not None and start.configured:
                found = labelling.conversation(found, start, run)
            run.conversation = run.tree.conversation or found
            if run.place.recording:
                labelling.label(run, start)
            if start.configured and parent is not None and parent.id == start.configured_by:
                labelling.complete(parent, start)
            if isinstance(detail, Agent):
                detail.is_created = start.created_as is not None
                around = [each.name for each in parent.agents()] if parent is not None else ()
                run.agent = detail.name = names.agent(
                    own=start.created_as, told=start.agent_name, around=around, run=start.name
                )
            elif run.call is not None and (run.call.request.tools or run.call.request.system):
                own_agent.add_request(run, run.call.request)
            if run.place.recording:
                self._open_span(run)
        except BaseException as error:
            if not issubclass(type(error), Exception) or is_from_signal(error):
                # Ctrl-C or a time limit: LangChain does not end a run whose start has failed.
                self._open_span(run)
                self._live.end_run(run, "cancelled")
            raise
        run.tree.touched = self._now()
