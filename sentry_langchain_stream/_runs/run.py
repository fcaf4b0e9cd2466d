"""The record of a run: what it is, where it stands in the tree, and what is known of it.

Plain values only. A record never holds LangChain's chunks, an exception or a traceback: an exception
pins the generator that raised it, and with it everything that the stream holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import RLock
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from .._content.policy import Policy
from .call import Call
from .usage import Usage

RunKind = Literal["model", "pipeline", "agent", "chain", "tool", "retriever"]
"""What runs. To LangChain pipelines (what stands at the top) and agents (graphs of LangGraph) are chains too."""

CHAINS: frozenset[RunKind] = frozenset({"pipeline", "agent", "chain"})
"""What LangChain calls a chain."""

Outcome = Literal["completed", "cancelled", "abandoned", "failed"]
"""How a run ended: by itself, by a cancelled task, because its consumer left, or with an error."""

Control = Literal["interrupt", "handoff"]
"""How a part of a graph handed control upwards: it waits for a human, or another agent goes on."""


class Start(NamedTuple):
    """A run that starts, as LangChain tells it.

    Args:
        id: The run's id.
        parent_id: The id of the run above it. We may never have seen that one.
        kind: What runs.
        name: The run's name.
        tags: Its tags, LangChain's own among them.
        metadata: Its metadata, likewise.
        batch: How many model runs start together in one call.
        shared: An object that those share.
        enclosing: The id of the run that LangChain's context names as the one we are in.
    """

    id: UUID
    parent_id: UUID | None
    kind: RunKind
    name: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = MappingProxyType({})
    batch: int = 1
    shared: object = None
    enclosing: UUID | None = None


@dataclass(slots=True, eq=False)
class ToolCall:
    """One call of a tool. The contents are there if they may be recorded."""

    name: str
    description: str | None = None
    """What the tool says of itself."""
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
    """What the models below it used, as far as they have ended."""

    def add(self, usage: Usage) -> None:
        """A model below has ended."""
        self.usage = usage if self.usage is None else Usage.together((self.usage, usage))


Detail = ToolCall | Retrieval | Agent


@dataclass(slots=True, eq=False)
class Tree:
    """What the runs of one tree share.

    Args:
        scopes: The scopes that it started in. Whose request it is, is told by them, wherever it ends.
        touched: When a run of it last started or ended.
        batch: Identifies the call of several prompts that it stands above, while there are prompts to come.
        lock: Held while a run of it starts or ends. Reentrant: garbage collection may end a run at any point.
    """

    scopes: Any = None
    touched: float = 0.0
    batch: tuple[int, int] | None = None
    lock: AbstractContextManager[Any] = field(default_factory=RLock)


@dataclass(slots=True, eq=False)
class Run:
    """A run of LangChain.

    Args:
        id: LangChain's run id.
        kind: What runs.
        pipeline: The pipeline's name, the same for a whole tree.
        backend: Sentry's span model that serves the tree.
        policy: What may be recorded.
        name: The run's name, if LangChain gave one.
        parent: The run above it, if we know one.
        anchor: The span that spans below it hang on: its own, else its parent's, else the one that was active.
        recording: Whether anything of it is going to be sent; it is not, if the trace is not sampled.
        implicit: It is no run of LangChain, but what stands above a bare call, and ends with it.
        reports: Whether its failure is the application's: nobody in LangChain stands above who may yet recover.
        agent: Name of the agent that it is, or that it belongs to.
        attempt: Of a call that is retried, which attempt it belongs to; the first is 1.
        fallback: Of a call with fallbacks, how many have failed before the one that it belongs to.
        conversation: The id of the conversation that it belongs to.
        labels: Tags and metadata, by attribute key.
    """

    id: UUID
    kind: RunKind
    pipeline: str
    backend: Any
    policy: Policy
    name: str | None = None
    parent: Run | None = None
    anchor: Any = None
    recording: bool = False
    implicit: bool = False
    reports: bool = False
    agent: str | None = None
    attempt: int | None = None
    fallback: int | None = None
    conversation: str | None = None
    labels: Mapping[str, str | list[str]] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree)
    span: Any = None
    inside: Any = None
    """The span that what the user's code does inside of it hangs on."""
    node: bool = False
    """Whether it is a node of a graph."""
    activation: Any = None
    """Makes a span the active one for what runs inside."""
    call: Call | None = None
    detail: Detail | None = None
    children: dict[UUID, Run] = field(default_factory=dict)
    unwatch: Callable[[], object] | None = None
    """Takes back the watch on the task that started the run."""
    task: Any = None
    """A weak reference to that task."""
    failed: dict[UUID, Any] = field(default_factory=dict)
    """Of the failures last seen in the run and below it: the run that failed first, and its span."""
    failures: int = 0
    """How many of the runs directly below it, or beside it, have failed while it was at work."""
    outcome: Outcome = "completed"
    control: Control | None = None
    error_type: str | None = None
    evicted: str | None = None
    """Why we ended the run rather than LangChain: `"idle"`, `"limit"` or `"exit"`."""

    def deactivate(self) -> None:
        """Let what was active before the run be active again."""
        activation, self.activation = self.activation, None
        if activation is not None:
            activation.end()

    def agents(self) -> Iterator[Agent]:
        """The agents that this run belongs to, the nearest first, itself among them if it is one."""
        run: Run | None = self
        while run is not None:
            if isinstance(run.detail, Agent):
                yield run.detail
            run = run.parent

    def remember(self, failures: Mapping[UUID, Any]) -> None:
        """Keep what failed below. Only the last few: one of them may yet be what this run fails with."""
        self.failed.update(failures)
        while len(self.failed) > 8:
            del self.failed[next(iter(self.failed))]

    def top(self) -> Run:
        """The topmost live run above this one, or itself."""
        run = self
        while (parent := run.parent) is not None:
            run = parent
        return run

    def below(self) -> list[Run]:
        """Every live run below this one, those further down first."""
        found: list[Run] = []
        ahead = list(self.children.values())
        while ahead:
            run = ahead.pop()
            found.append(run)
            ahead.extend(list(run.children.values()))
        found.reverse()
        return found

    def active_at(self) -> float:
        """When something last happened in the tree that this run is the top of."""
        calls = [run.call.last_chunk_at for run in (self, *self.below()) if run.call is not None]
        return max([self.tree.touched, *calls])
