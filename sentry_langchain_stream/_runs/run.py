"""The record of a run: what it is, where its span is, and how it ended.

Plain values only. A record never holds LangChain's chunks, an exception or a traceback: an exception
pins the generator that raised it, and with it everything that the stream holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Literal
from uuid import UUID
from weakref import ReferenceType

from .._content.policy import Policy
from .._to_sentry.active_span import Activation
from .._to_sentry.client import Scopes
from .._to_sentry.span_models import AnySpan, SpanBackend
from .call import Call
from .usage import Usage

RunKind = Literal["model", "pipeline", "agent", "chain", "tool", "retriever"]
"""What runs. LangChain calls pipelines (the topmost run) and agents (graphs of LangGraph) chains too."""

CHAINS: frozenset[RunKind] = frozenset({"pipeline", "agent", "chain"})
"""What LangChain calls a chain."""

Outcome = Literal["completed", "cancelled", "abandoned", "failed"]
"""How a run ended: it completed, its task was cancelled, its consumer left, or it failed."""

Control = Literal["interrupt", "handoff"]
"""How a part of a graph passed control to its parent: it waits for a human, or another agent goes on."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Start:
    """A run that starts, with all that its signal says about it.

    Args:
        id: The run's id.
        parent_id: The id of its parent. We may never have seen that run.
        kind: What runs.
        name: The run's name.
        tags: Its tags, LangChain's own among them.
        metadata: Its metadata, likewise.
        batch_size: How many model runs start together in one call.
        shared: An object that those runs share.
        enclosing_id: The id of the run that LangChain's context names as the one that encloses this code.
        pipeline_name: The pipeline's name that the metadata give.
        agent_name: The agent's name that the metadata give, which may be inherited from the agent around it.
        conversation_id: The id of the conversation, made opaque.
        attempt: Which attempt of a call that is retried, from the second on.
        is_node: It is a node of a graph.
        has_fallbacks: It is a call with fallbacks.
    """

    id: UUID
    parent_id: UUID | None = None
    kind: RunKind
    name: str | None = None
    tags: tuple[Any, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 1
    shared: object = None
    enclosing_id: UUID | None = None
    pipeline_name: str | None = None
    agent_name: str | None = None
    conversation_id: str | None = None
    attempt: int | None = None
    is_node: bool = False
    has_fallbacks: bool = False


@dataclass(slots=True, eq=False)
class ToolCall:
    """One call of a tool. The contents are there if they may be recorded."""

    name: str
    description: str | None = None
    """The tool's own description."""
    id: str | None = None
    """The id that the model gave the call."""
    arguments: str | None = None
    result: str | None = None


@dataclass(slots=True, eq=False)
class Retrieval:
    """One call of a retriever. The contents are there if they may be recorded."""

    name: str
    query: str | None = None
    documents: int | None = None
    """How many were found."""
    found: str | None = None


@dataclass(slots=True, eq=False)
class Agent:
    """One run of an agent. The contents are there if they may be recorded."""

    name: str
    tools: str | None = None
    """The tools that its model was offered first, as JSON."""
    messages: str | None = None
    """What it was asked, as JSON."""
    answer: str | None = None
    usage: Usage | None = None
    """What its model calls used, as far as they have ended."""

    def add(self, usage: Usage) -> None:
        """Add the usage of a model call that has ended."""
        self.usage = usage if self.usage is None else Usage.together((self.usage, usage))


Detail = ToolCall | Retrieval | Agent


@dataclass(slots=True, eq=False, repr=False)
class Tree:
    """What the runs of one tree share.

    Args:
        scopes: The scopes that it started in. They say whose request it is, wherever it ends.
        touched: When a run of it last started or ended.
        batch: Identifies the call of several prompts that is its root, while there are prompts to come.
        lock: Held while a run of it starts or ends. Reentrant: garbage collection may end a run at any point.
    """

    scopes: Scopes | None = None
    touched: float = 0.0
    batch: tuple[int, int] | None = None
    lock: AbstractContextManager[bool] = field(default_factory=RLock)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Place:
    """Where a run is in Sentry.

    Args:
        backend: The span model that serves the tree.
        anchor: The span that its children hang on: its own, else its parent's, else the one that was active.
        recording: Whether anything of it is sent; it is not, if the trace is not sampled.
        span: Its own span, if it has one.
        inside: The span that the user's code inside of it hangs on.
        activation: Makes that span the active one for the code inside.
    """

    backend: SpanBackend[Any]
    anchor: AnySpan | None = None
    recording: bool = False
    span: AnySpan | None = None
    inside: AnySpan | None = None
    activation: Activation | None = None

    def deactivate(self) -> None:
        """Let the span be active again that was before the run."""
        activation, self.activation = self.activation, None
        if activation is not None:
            activation.end()


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Ending:
    """How a run ended, or what is known of that while it runs.

    Args:
        outcome: How it ended.
        control: How it passed control to its parent.
        error_type: The class of the exception that it failed with.
        evicted: Why we ended it rather than LangChain: `"idle"`, `"limit"` or `"exit"`.
        failures: Of a call with fallbacks, how many of its attempts have failed.
        failed: The failures last seen in it and its descendants: the run that failed first, and its span.
    """

    outcome: Outcome = "completed"
    control: Control | None = None
    error_type: str | None = None
    evicted: str | None = None
    failures: int = 0
    failed: dict[UUID, AnySpan | None] = field(default_factory=dict)

    _MOST_FAILED = 8

    def remember(self, failures: Mapping[UUID, AnySpan | None]) -> None:
        """Keep what failed among the descendants. Only the last few: the run may yet fail with one of them."""
        self.failed.update(failures)
        while len(self.failed) > self._MOST_FAILED:
            del self.failed[next(iter(self.failed))]


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Run:
    """A run of LangChain: what it is. `place` says where it is in Sentry, `ending` how it ended.

    Args:
        id: LangChain's run id.
        kind: What runs.
        pipeline: The pipeline's name, the same for a whole tree.
        policy: What may be recorded.
        place: Where it is in Sentry.
        ending: How it ended.
        tree: What it shares with the other runs of its tree.
        parent: Its parent, if we know one.
        children: Its children that are live.
        name: The run's name, if LangChain gave one.
        implicit: It is no run of LangChain but the pipeline around a bare call, and ends with it.
        reports: Whether its failure is the application's: no parent in LangChain can recover.
        is_node: It is a node of a graph.
        has_fallbacks: It is a call with fallbacks.
        fallbacks: Its live children that are calls with fallbacks.
        agent: Name of the agent that it is, or that it belongs to.
        attempt: Of a call that is retried, which attempt it belongs to; the first is 1.
        fallback: Of a call with fallbacks, how many attempts have failed before the one that it belongs to.
        conversation: The id of the conversation that it belongs to.
        labels: Tags and metadata, by attribute key.
        call: The model call that it is.
        detail: The tool call, retrieval or agent that it is.
        task: The asyncio task that it started in.
        unwatch: Takes back the watch on that task.
    """

    id: UUID
    kind: RunKind
    pipeline: str
    policy: Policy
    place: Place
    ending: Ending = field(default_factory=Ending)
    tree: Tree = field(default_factory=Tree)
    parent: Run | None = None
    children: dict[UUID, Run] = field(default_factory=dict)
    name: str | None = None
    implicit: bool = False
    reports: bool = False
    is_node: bool = False
    has_fallbacks: bool = False
    fallbacks: list[Run] = field(default_factory=list)
    agent: str | None = None
    attempt: int | None = None
    fallback: int | None = None
    conversation: str | None = None
    labels: Mapping[str, str | list[str]] = field(default_factory=dict)
    call: Call | None = None
    detail: Detail | None = None
    task: ReferenceType[asyncio.Task[Any]] | None = None
    unwatch: Callable[[], object] | None = None

    def agents(self) -> Iterator[Agent]:
        """The agents that this run belongs to, the nearest first, itself among them if it is one."""
        run: Run | None = self
        while run is not None:
            if isinstance(run.detail, Agent):
                yield run.detail
            run = run.parent

    def root(self) -> Run:
        """The topmost live ancestor of this run, or itself."""
        run = self
        while (parent := run.parent) is not None:
            run = parent
        return run

    def descendants(self) -> list[Run]:
        """Every live descendant of this run, children after their own children."""
        found: list[Run] = []
        ahead = list(self.children.values())
        while ahead:
            run = ahead.pop()
            found.append(run)
            ahead.extend(list(run.children.values()))
        found.reverse()
        return found

    def active_at(self) -> float:
        """When something last happened in the tree that this run is the root of."""
        calls = [run.call.last_chunk_at for run in (self, *self.descendants()) if run.call is not None]
        return max([self.tree.touched, *calls])
