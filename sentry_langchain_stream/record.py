"""The record of a run: where it stands in the tree, and what was gathered of a model call.

Plain values only. A record never holds LangChain's chunks, an exception or a traceback: an exception
pins the generator that raised it, and with it everything that the stream holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any, Literal
from uuid import UUID

from .naming import Platform
from .privacy import Policy
from .usage import Usage

Kind = Literal["model", "chain", "tool", "retriever"]
"""What runs."""

Outcome = Literal["completed", "cancelled", "abandoned", "failed"]
"""How a run ended: by itself, by a cancelled task, because its consumer left, or with an error."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of a model."""

    operation: Literal["chat", "text_completion"] = "chat"
    model: str | None = None
    provider: str | None = None
    platform: Platform = "langchain"
    function: str | None = None
    """The run's name."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Request parameters by the names of `parameters.PARAMETERS`."""
    messages: str | None = None
    """The input messages as JSON, if they may be recorded."""
    system: str | None = None
    """The system instructions, if they may be recorded."""
    tools: str | None = None
    """The tools that are offered, as JSON, if they may be recorded."""
    estimated_input: int | None = None
    """Tokens of the prompt, for when the provider reports none."""


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered."""

    model: str | None = None
    id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    messages: str | None = None
    """The output messages as JSON, if they may be recorded."""

    def saying(self, messages: str) -> Response:
        """The same answer with these messages."""
        return replace(self, messages=messages)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a call cost, in USD. The details are parts of the input and of the output."""

    input: float
    output: float
    total: float
    cache_read: float | None = None
    cache_creation: float | None = None
    reasoning: float | None = None


@dataclass(slots=True, eq=False)
class Call:
    """One model call while it streams. Times are seconds on a monotonic clock.

    Args:
        request: What was asked.
        started: When.
        texts: A list to gather the answer's text in, or `None` if it may not be kept.
    """

    request: Request
    started: float
    texts: list[str] | None = None

    batch: int = 1
    """How many prompts the model was called with at once; each of them is a run."""
    payload: int = 0
    """The identity of what the start was called with; tells a start that fired twice from another one."""
    echoes: int = 0
    """How often more than once every event fires, because the handler is in the callback list repeatedly."""
    events: int = 0
    """Token and stream events, counted only while there are echoes."""
    streamed: bool = False
    by_events: bool = False
    """Whether v3 stream events are what is counted, see `follow_events`."""
    chunks: int = 0
    first_chunk_at: float = 0.0
    last_chunk_at: float = 0.0
    longest_gap: float = 0.0
    longest_gap_at: float = 0.0
    """When the longest gap began."""
    counted: int | None = None
    """Output tokens as counted, chunk by chunk by the user's `token_counter` or from a whole answer's text."""
    reported: Usage | None = None
    """The last usage that the provider reported."""
    repeats: bool = False
    """Whether it reports usage again and again, each time from the start of the stream."""
    cached: bool = False
    """Whether LangChain's own cache answered, and no model. Then no tokens are stated: none were billed."""
    cost: Cost | None = None
    response: Response = Response()
    finished: bool = False
    """Whether the call came to its end; of one that did not, the provider's numbers are not the last word."""
    ended: float = 0.0

    def add_chunk(self, now: float) -> None:
        """Count a chunk that has content. This runs once per token, so it does no more than it must."""
        if self.chunks:
            gap = now - self.last_chunk_at
            if gap > self.longest_gap:
                self.longest_gap = gap
                self.longest_gap_at = self.last_chunk_at
        else:
            self.first_chunk_at = self.longest_gap_at = now
        self.chunks += 1
        self.last_chunk_at = now

    def follow_events(self) -> None:
        """Count v3 stream events from now on, and forget what token events had brought: it was the same chunk.

        Every v3 call has stream events, and they bring everything. Many models fire token events too, with less in
        them: one ahead of the first stream event, for they fire while they make the chunk that is then converted.
        """
        self.by_events = True
        self.chunks = 0
        self.longest_gap = 0.0
        self.counted = None
        if self.texts is not None:
            self.texts.clear()

    def from_cache(self) -> None:
        """LangChain's cache has answered: no tokens were used, and what looked like a stream was a replay."""
        self.cached = True
        self.streamed = False
        self.chunks = 0
        self.counted = self.reported = None

    def usage(self) -> Usage | None:
        """The call's usage: the provider's, else an estimate, else (if nothing arrived) none.

        Some providers report the prompt's tokens first and the answer's last. Of a call that ended early the
        first count is kept, and the second estimated, unless the model had said why it stopped.
        """
        reported = self.reported
        if reported is not None and (self.finished or self.response.finish_reasons):
            return reported.mended(self.request.estimated_input)
        arrived = self.chunks if self.counted is None else self.counted
        if reported is None:
            something = self.chunks or self.counted is not None
            return Usage.estimated(self.request.estimated_input, arrived) if something else None
        prompt = reported.input or self.request.estimated_input
        return Usage.estimated(prompt, max(reported.output or 0, arrived))


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
        implicit: It is no run of LangChain, but what stands above a bare model call, and ends with it.
        reports: Whether its failure is the application's: nobody in LangChain stands above who may yet recover.
    """

    id: UUID
    kind: Kind
    pipeline: str
    backend: Any
    policy: Policy
    name: str | None = None
    parent: Run | None = None
    anchor: Any = None
    recording: bool = False
    implicit: bool = False
    reports: bool = False
    tree: Tree = field(default_factory=Tree)
    span: Any = None
    call: Call | None = None
    children: dict[UUID, Run] = field(default_factory=dict)
    unwatch: Callable[[], object] | None = None
    """Takes back the watch on the task that started the run."""
    task: Any = None
    """A weak reference to that task."""
    failed: dict[UUID, Any] = field(default_factory=dict)
    """Of the failures last seen in the run and below it: the run that failed first, and its span."""
    outcome: Outcome = "completed"
    error_type: str | None = None
    evicted: str | None = None
    """Why we ended the run rather than LangChain: `"idle"`, `"limit"` or `"exit"`."""

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

    def streams(self) -> bool:
        """Whether a model streams in the tree below this run."""
        return any(run.call is not None and run.call.streamed for run in self.below())
