"""The live runs: each run's span is opened when the run starts, and closed exactly once when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

from .._runtime import aside, interpreter
from .._runtime.containment import contain, contained
from .._to_sentry import active_span
from .._to_sentry.client import are_current, is_queue_locked, is_sending, within_scopes
from .._vocabulary import names
from . import enclosing, silent_ends, tree_ends
from .call import Call
from .details import Agent
from .eviction import Eviction
from .kinds import Outcome
from .numbers import Number, number
from .roots import Roots
from .run import Others, Run
from .run_spans import RunSpans
from .settings import Settings
from .starts import Starts

_A_MOMENT = 0.1
"""Seconds. Mostly the queue is free again before."""


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
        is_read_on: Returns whether a stream that was left is read on, which calls this code: not the application does.
    """

    def __init__(
        self,
        settings: Settings,
        now: Callable[[], float],
        watch_call: silent_ends.WatchCall | None = None,
        others: Others | None = None,
        is_read_on: Callable[[], bool] = bool,
    ) -> None:
        self.settings = settings
        self.others = others
        self.now = now
        self._spans = RunSpans(settings, now)
        self.open = self._spans.open
        self.close = self._spans.close
        self.ask = self._spans.ask
        self._runs: dict[Number, Run] = {}
        self.get = self._runs.get
        """Returns the live run of a number, or `None`."""
        self.count = self._runs.__len__
        """Returns how many runs are live."""
        self.pop = self._runs.pop
        """Takes the run of a number out of the map and returns it, if it is there: what `take` does last."""
        self.plain: dict[int, Call] = {}
        """The calls whose next chunk is counted if it has a text, and kept if that is allowed, and that is all: as is
        most often. By number."""
        self._roots = Roots(settings, now, others)
        self.policy = self._roots.policy
        """Returns what may be recorded with a client."""
        self._eviction = Eviction(self, self._runs)
        watching = silent_ends.Watching(self.get, self.end, watch_call)
        self.start = Starts(
            self,
            roots=self._roots,
            spans=self._spans,
            eviction=self._eviction,
            watching=watching,
            is_read_on=is_read_on,
        ).start

    def __len__(self) -> int:
        return len(self._runs)

    def adopt(self, run: Run) -> None:
        """Put a run into the map that another handler has handed over."""
        self._runs[run.number] = run

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
        return self.pop(run.number, None) is not None

    def complete(self, pipeline: Run) -> None:
        """Record that no further call below this implicit pipeline will start."""
        self._roots.complete(pipeline)

    def become_graph(self, run: Run, is_first: bool | None) -> None:
        """Turn a chain into an agent: it is a graph. If a node has started in it, read what the graph was asked.

        Args:
            run: The run of the graph.
            is_first: Whether the node that starts is the graph's first one. `None` if no node starts.
        """
        messages: str | None = None
        if is_first is not None and run.question is not None:
            question, run.question = run.question, None
            # Without the lock: it calls the user's `redact`.
            messages = question(run.policy, is_first) if run.place.recording else None
        with run.tree.lock, contained("graph"):
            if not isinstance(run.detail, Agent):  # several nodes may be the first ones, each in a thread of its own
                run.kind, run.place = "agent", replace(run.place)  # chains without a span share one
                run.agent = names.agent(run=run.name)
                run.detail = Agent(run.agent)
                self._spans.open(run)
            if messages is not None:
                run.detail.messages = messages

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
        if interpreter.collecting and interpreter.is_collecting() and self._end_later(run, outcome, error, evicted):
            return
        place = run.place
        sends = place.recording or place.is_ours or self.settings.metrics
        if outcome == "completed" and not (sends or run.below or run.call is not None):
            # Nothing is sent of it, and the user's `token_counter` not called, so it does not matter from where.
            tree_ends.end(run, outcome, error, evicted)
            return
        if are_current(run.tree.scopes):
            self._end(run, outcome, error, evicted)
        else:
            with within_scopes(run.tree.scopes):
                self._end(run, outcome, error, evicted)

    def _end(self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        queues = run.place.backend.queues or self.settings.metrics
        # Whoever has the lock of a queue may be collecting garbage, and that may be waiting for this thread.
        is_held = queues and interpreter.collecting and is_queue_locked()
        is_later = (is_held or is_sending(queues=queues)) and self._end_later(
            run, outcome, error, evicted, wait=_A_MOMENT if is_held and not interpreter.is_in_collection() else None
        )
        if is_later:
            return
        if run.below or run.policy.redact is not None or self.settings.token_counter is not None:
            tree_ends.ask_and_end(run, outcome, error, evicted)
        else:
            tree_ends.end(run, outcome, error, evicted)

    def _end_later(
        self, run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None, wait: float | None = None
    ) -> bool:
        """End a run in another thread, if one can be started: this one is in the midst of something.

        Args:
            run: The run.
            outcome: How it ended.
            error: The exception that it failed with.
            evicted: Why this package ends it, if LangChain does not.
            wait: The seconds in which that mostly is done, for which the caller waits.
        """
        if not silent_ends.do_aside(partial(self._end_there, run, outcome, error, evicted), run.tree.client()):
            return False
        if wait is not None:
            aside.finish(wait)
        return True

    @staticmethod
    def _end_there(run: Run, outcome: Outcome, error: BaseException | None, evicted: str | None) -> None:
        with within_scopes(run.tree.scopes):
            tree_ends.ask_and_end(run, outcome, error, evicted)

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
