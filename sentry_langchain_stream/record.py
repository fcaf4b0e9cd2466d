"""The record of a run: where it stands in the tree, and what was gathered of a model call.

Plain values only. A record never holds LangChain's chunks, an exception or a traceback: an exception
pins the generator that raised it, and with it everything that the stream holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from .naming import Platform
from .privacy import Policy
from .usage import Usage

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
    """Request parameters by the names of `extract.PARAMETERS`."""
    messages: str | None = None
    """The input messages as JSON, if they may be recorded."""
    system: str | None = None
    """The system instructions, if they may be recorded."""
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

    streamed: bool = False
    chunks: int = 0
    first_chunk_at: float = 0.0
    last_chunk_at: float = 0.0
    longest_gap: float = 0.0
    longest_gap_at: float = 0.0
    """When the longest gap began."""
    counted: int = 0
    """Output tokens, by the user's `token_counter`."""
    reported: Usage | None = None
    """The last usage that the provider reported."""
    response: Response = Response()
    finished: bool = True
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
            self.first_chunk_at = now
        self.chunks += 1
        self.last_chunk_at = now

    def usage(self) -> Usage | None:
        """The call's usage: the provider's, else an estimate, else (if nothing arrived) none.

        Some providers report the prompt's tokens first and the answer's last. Of a call that ended early the
        first count is kept, and the second estimated, unless the model had said why it stopped.
        """
        reported = self.reported
        if reported is not None and (self.finished or self.response.finish_reasons):
            return reported
        arrived = self.counted or self.chunks
        if reported is None:
            return Usage.estimated(self.request.estimated_input, arrived) if arrived else None
        return Usage.estimated(reported.input, max(reported.output or 0, arrived))


@dataclass(slots=True, eq=False)
class Run:
    """A run of LangChain.

    Args:
        id: LangChain's run id.
        pipeline: The pipeline's name, the same for a whole tree.
        backend: Sentry's span model that serves the tree.
        policy: What may be recorded.
        parent: The run above it, if we know one.
        anchor: The span that spans below it hang on: its own, else its parent's, else the one that was active.
        recording: Whether anything of it is going to be sent; it is not, if the trace is not sampled.
        implicit: It is no run of LangChain, but the pipeline span above a bare model call, and ends with it.
    """

    id: UUID
    pipeline: str
    backend: Any
    policy: Policy
    parent: Run | None = None
    anchor: Any = None
    recording: bool = False
    implicit: bool = False
    span: Any = None
    call: Call | None = None
    children: dict[UUID, Run] = field(default_factory=dict)
    failed_spans: dict[int, Any] = field(default_factory=dict)
    """Of a root: the span that first failed with an exception, by the exception's identity."""
    outcome: Outcome = "completed"
    error_type: str | None = None

    def root(self) -> Run:
        """The topmost run above this one that is still live."""
        run = self
        while run.parent is not None:
            run = run.parent
        return run
