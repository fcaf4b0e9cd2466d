"""The record of a model call: what was asked, what arrived and when, and what was answered. Plain values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from .._content.gathered import Gathered
from .._content.reading import count
from .._runtime.containment import contained
from .._vocabulary.providers import Platform
from .usage import Usage


class Request(NamedTuple):
    """What was asked of a model."""

    operation: Literal["chat", "text_completion"] = "chat"
    model: str | None = None
    provider: str | None = None
    platform: Platform = "langchain"
    function: str | None = None
    """The run's name."""
    parameters: Mapping[str, Any] = MappingProxyType({})
    """Request parameters by the names of `parameters.PARAMETERS`."""
    messages: str | None = None
    """The input messages as JSON, if they may be recorded."""
    system: str | None = None
    """The system instructions, if they may be recorded."""
    tools: str | None = None
    """The tools that are offered, as JSON, if they may be recorded."""
    estimated_input: int | None = None
    """Tokens of the prompt, for when the provider reports none."""

    def asking(self, messages: str) -> Request:
        """The same request with these messages."""
        return self._replace(messages=messages)

    def estimating(self, tokens: int | None) -> Request:
        """The same request with this estimate of the prompt's tokens."""
        return self._replace(estimated_input=tokens)


class Response(NamedTuple):
    """What a model answered."""

    model: str | None = None
    id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    messages: str | None = None
    """The output messages as JSON, if they may be recorded."""

    def saying(self, messages: str) -> Response:
        """The same answer with these messages."""
        return self._replace(messages=messages)


_NO_ANSWER = Response()


class Cost(NamedTuple):
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
        text: Gathers the answer's text, or is `None` if that may not be kept.
    """

    request: Request
    started: float
    text: Gathered | None = None

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
    response: Response = _NO_ANSWER
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

    def read(self, text: str, token_counter: Callable[[str], int] | None) -> None:
        """Keep the text of a chunk, if it may be kept, and count its tokens, if there is something to count with."""
        if self.text is not None:
            self.text.add(text)
        if token_counter is not None and text:
            with contained("token_counter"):
                self.counted = (self.counted or 0) + (count(token_counter(text)) or 0)

    def follow_events(self) -> None:
        """Count v3 stream events from now on, and forget what token events had brought: it was the same chunk.

        Every v3 call has stream events, and they bring everything. Many models fire token events too, with less in
        them: one ahead of the first stream event, for they fire while they make the chunk that is then converted.
        """
        self.by_events = True
        self.chunks = 0
        self.longest_gap = 0.0
        self.counted = None
        if self.text is not None:
            self.text.clear()

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
