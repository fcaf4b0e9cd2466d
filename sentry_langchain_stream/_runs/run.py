"""The record of a run: what it is, and what it has done.

Plain values only. A record never holds LangChain's chunks, an exception or a traceback: an exception keeps the
generator that raised it alive, and everything that the stream refers to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID
from weakref import ReferenceType

from .._content.policy import Policy
from .._content.prompts import FilledPrompt
from .._to_sentry.active_span import RunScope
from .call import Call
from .details import Agent, Detail, MakeRecord
from .ending import Ending
from .kinds import Later, Outcome, RunKind, nothing
from .numbers import Number
from .places import Place, Tree
from .settings import Settings
from .start import Start
from .task_watch import TaskWatch

Model = tuple[str | None, str | None]
"""A provider and the name of one of its models, as far as they are known."""

Others = Callable[[Any], "Settings | None"]


class Keeper(Protocol):
    """The live runs of one handler: `LiveRuns`, for the modules that it imports, which cannot import it.

    A run is kept by the handler nearest to it, which may not be its parent's.
    """

    @property
    def settings(self) -> Settings:
        """The user's settings."""

    @property
    def others(self) -> Others | None:
        """Returns further settings whose vetoes hold with a client, if there are any."""

    @property
    def now(self) -> Callable[[], float]:
        """The monotonic clock, in seconds."""

    @property
    def get(self) -> Callable[[Number], Run | None]:
        """Returns the live run of a number, or `None`."""

    @property
    def count(self) -> Callable[[], int]:
        """Returns how many runs are live."""

    def start(self, start: Start, record: MakeRecord | None = ...) -> Run | None:
        """Start a run, and return it if it is followed."""

    def add(self, run: Run) -> None:
        """Put a run that has started into the map."""

    def open(self, run: Run) -> None:
        """Open the span of a run, or rename it."""

    def take(self, run: Run) -> bool:
        """Take a run out of the map, which one caller alone can do."""

    def no_longer_plain(self, run: Run) -> None:
        """Have the chunks of a run's call read in full from now on."""

    def ask(self, call: Call, policy: Policy) -> None:
        """Ask the user's functions what has to be known of a call that ends, while the tree's lock is free."""

    def close(
        self,
        run: Run,
        outcome: Outcome,
        error: BaseException | None,
        evicted: str | None,
        later: Later | None = ...,
    ) -> None:
        """Close the span of a run that has ended."""

    def end(
        self, run_id: UUID, outcome: Outcome = ..., error: BaseException | None = ..., *, evicted: str | None = ...
    ) -> None:
        """End a run and its descendants."""

    def end_run(
        self, run: Run, outcome: Outcome = ..., error: BaseException | None = ..., evicted: str | None = ...
    ) -> None:
        """The same, with the run itself."""

    def complete(self, pipeline: Run) -> None:
        """Record that no further call below this implicit pipeline will start."""

    def become_graph(self, run: Run, is_first: bool | None) -> None:
        """Turn a chain into an agent: it is a graph. If a node has started in it, read what the graph was asked."""

    def add_root(self, run: Run) -> None:
        """Enforce the limits on a run that has no live parent."""

    def hand_over(self, run: Run) -> bool:
        """Give a run up to another handler, unless it has ended."""

    def adopt(self, run: Run) -> None:
        """Put a run into the map that another handler has handed over."""

    def end_all(self, evicted: str) -> None:
        """End every live run, and record why."""

    def forget(self) -> None:
        """Forget every live run without ending it: in a forked process, the parent process ends these runs."""


class CallWatch(Protocol):
    """Watches LangChain's call that started a run, as long as it is kept."""

    def __call__(self) -> object | None:
        """Return an object that lives as long as the call, or `None` when that is gone."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Run:
    """A run of LangChain.

    Args:
        id: LangChain's run id, or one of ours if another live run has that id.
        number: The number of this id.
        given_id: LangChain's run id, if `id` is one of ours.
        kind: The kind of the run.
        pipeline: The pipeline's name, the same for the whole tree.
        policy: What may be recorded.
        place: Its position in Sentry's trace.
        keeper: The live runs that it is one of.
        tree: What it shares with the other runs of its tree.
        seen_by: All that have seen its start, if they are several.
        ending: How it ended.
        parent: Its parent, if that is known.
        below: Its live children: none, one, or several by their `id()`. Most have one, and a dict takes 232 bytes.
        name: The run's name, if LangChain gave one.
        implicit: Whether it is not a run of LangChain but the pipeline around a call without a parent run. Such a
            pipeline ends with the last of its calls.
        reports: Whether its failure is reported as an issue: it has no parent in LangChain that could recover.
        is_node: Whether it is a node of a graph.
        is_middleware: Whether it is a node of the middleware of an agent, or called by it around the model.
        has_fallbacks: Whether it is a call with fallbacks.
        fallbacks: Its live children that are calls with fallbacks, by id.
        work: What it does, if it may be attempted again, see `attempts`.
        failed_attempts: What its children attempted in vain: the model of each attempt, by the work.
        agent: The name of the agent that it is or belongs to.
        attempt: For a retried call, the number of the attempt it belongs to. The first attempt is 1.
        fallback: For a call with fallbacks, the number of attempts that failed before the one it belongs to.
        conversation: The id of the conversation that it belongs to.
        labels: Tags and metadata, by attribute key.
        call: The record of the model call, if it is one.
        detail: The record of the tool call, retrieval or agent, if it is one.
        task: The asyncio task that it started in.
        thread: The thread that it started in, if its call is watched.
        task_watch: The callback on that task.
        call_watch: Watches LangChain's call that started it.
        scope: The scope that knows the active span, if the run holds one in place.
        enclosing_id: The id of the run that LangChain's context named where it started.
        prompt: The prompt that was filled in last below it, if it is a chain.
        question: Reads the input of a graph until a node starts: with what may be recorded, and whether that is the
            first node. LangGraph keeps that input meanwhile, too.
    """

    id: UUID
    number: Number
    kind: RunKind
    pipeline: str
    policy: Policy
    place: Place
    keeper: Keeper
    tree: Tree
    # What follows is set after the run is made: a call with thirty arguments takes as long as much else here.
    given_id: UUID | None = field(init=False, default=None)
    seen_by: tuple[Keeper, ...] = field(init=False, default=())
    ending: Ending = field(init=False, default_factory=Ending)
    parent: Run | None = field(init=False, default=None)
    below: Run | dict[int, Run] | None = field(init=False, default=None)
    name: str | None = field(init=False, default=None)
    implicit: bool = field(init=False, default=False)
    reports: bool = field(init=False, default=False)
    is_node: bool = field(init=False, default=False)
    is_middleware: bool = field(init=False, default=False)
    has_fallbacks: bool = field(init=False, default=False)
    fallbacks: Mapping[UUID, Run] = field(init=False, default_factory=nothing)
    work: object = field(init=False, default=None)
    failed_attempts: Mapping[object, tuple[Model, ...]] = field(init=False, default_factory=nothing)
    agent: str | None = field(init=False, default=None)
    attempt: int | None = field(init=False, default=None)
    fallback: int | None = field(init=False, default=None)
    conversation: str | None = field(init=False, default=None)
    labels: Mapping[str, str | list[str]] = field(init=False, default_factory=nothing)
    call: Call | None = field(init=False, default=None)
    detail: Detail | None = field(init=False, default=None)
    task: ReferenceType[asyncio.Task[Any]] | None = field(init=False, default=None)
    thread: int | None = field(init=False, default=None)
    task_watch: TaskWatch | None = field(init=False, default=None)
    call_watch: CallWatch | None = field(init=False, default=None)
    scope: RunScope | None = field(init=False, default=None)
    enclosing_id: UUID | None = field(init=False, default=None)
    prompt: FilledPrompt | None = field(init=False, default=None)
    question: Callable[[Policy, bool], str | None] | None = field(init=False, default=None)

    @property
    def children(self) -> Sequence[Run]:
        """The live children."""
        below = self.below
        if below is None:
            return ()
        return list(below.values()) if isinstance(below, dict) else (below,)

    def add_child(self, child: Run) -> None:
        """Make a run one of the children."""
        below = self.below
        if below is None:
            self.below = child
        elif isinstance(below, dict):
            below[id(child)] = child
        elif below is not child:
            self.below = {id(below): below, id(child): child}

    def remove_child(self, child: Run) -> None:
        """Take a run from the children, if it is one."""
        below = self.below
        if below is child:
            self.below = None
        elif isinstance(below, dict):
            below.pop(id(child), None)

    def agents(self) -> Iterator[Agent]:
        """Yield the agents that this run belongs to, the nearest first. If the run is an agent, it is the first one."""
        run: Run | None = self
        while run is not None:
            if isinstance(run.detail, Agent):
                yield run.detail
            run = run.parent

    def ancestors(self) -> list[Run]:
        """Return the runs around this one, the nearest first."""
        found: list[Run] = []
        run = self.parent
        while run is not None:
            found.append(run)
            run = run.parent
        return found

    def root(self) -> Run:
        """Return the topmost live ancestor of this run, or the run itself."""
        run = self
        while (parent := run.parent) is not None:
            run = parent
        return run

    def descendants(self) -> list[Run]:
        """Return every live descendant of this run, each after its own children."""
        found: list[Run] = []
        pending = [*self.children]
        while pending:
            run = pending.pop()
            found.append(run)
            pending += run.children
        found.reverse()
        return found

    def active_at(self) -> float:
        """Return when the last event or chunk arrived in the tree of which this run is the root."""
        calls = [run.call.last_chunk_at for run in (self, *self.descendants()) if run.call is not None]
        return max([self.tree.touched, *calls])
