"""The record of a model call: the request, when chunks arrived, and the response. Plain values only."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil, isnan, nan
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from .._content.gathered import Gathered
from .._runtime.containment import contained
from .._vocabulary.providers import Platform
from .estimates import TOKEN, Prompt, counted, of_stream, weight
from .usage import Usage

Operation = Literal["chat", "text_completion", "evaluate", "embeddings", "rerank"]
"""What a model is called for."""


class Request(NamedTuple):
    """The request to a model."""

    operation: Operation = "chat"
    model: str | None = None
    provider: str | None = None
    platform: Platform = "langchain"
    function: str | None = None
    """The run's name."""
    parameters: Mapping[str, Any] = MappingProxyType({})
    """Request parameters by the names in `parameters.PARAMETERS`."""
    messages: str | None = None
    """The input messages as JSON, if they may be recorded."""
    system: str | None = None
    """The system instructions, if they may be recorded."""
    tools: str | None = None
    """The tools offered to the model, as JSON, if they may be recorded."""
    prompt: Prompt | None = None
    """The prompt, for an estimate of its tokens if the provider reports none."""
    tier: str | None = None
    """The service tier that is asked for. The price depends on it."""

    @property
    def estimated_input(self) -> int | None:
        """The estimated tokens of the prompt, or `None` if there is no estimate. Asking for it has them estimated."""
        return None if self.prompt is None else self.prompt.tokens()

    def with_model(self, model: str) -> Request:
        """Return the same request with this model."""
        return self._replace(model=model)

    def with_messages(self, messages: str) -> Request:
        """Return the same request with these messages."""
        return self._replace(messages=messages)


class Response(NamedTuple):
    """The response of a model."""

    model: str | None = None
    id: str | None = None
    finish_reasons: tuple[str, ...] = ()
    messages: str | None = None
    """The output messages as JSON, if they may be recorded."""
    tier: str | None = None
    """The service tier that answered."""

    def with_messages(self, messages: str) -> Response:
        """Return the same response with these messages."""
        return self._replace(messages=messages)

    def from_model(self, model: str | None) -> Response:
        """Return the same response from this model, if it is known: the one that the first chunks named."""
        return self if model is None else self._replace(model=model)


_NO_ANSWER = Response()


class Cost(NamedTuple):
    """The cost of a call in USD. The details are included in `input` and `output`; `requests` is beside the total."""

    input: float
    output: float
    total: float
    cache_read: float | None = None
    cache_creation: float | None = None
    reasoning: float | None = None
    requests: float | None = None
    """What the provider charges for the request itself, whatever its tokens: Perplexity's searches."""

    @property
    def whole(self) -> float:
        """What a bill has: the tokens, and the request itself."""
        return self.total + (self.requests or 0.0)


@dataclass(slots=True, eq=False)
class Call:
    """One model call while it streams. Times are seconds on a monotonic clock.

    Args:
        request: The request.
        started: When it was sent.
        text: Collects the text of the answer; `None` if that text may not be kept.
    """

    request: Request
    started: float
    text: Gathered | None = None

    batch: int = 1
    """How many prompts the model was called with. Each prompt is a run."""
    payload: int = 0
    """The `id()` of the prompt in the start event. It shows whether a second start event repeats the first one."""
    echoes: int = 0
    """How many extra times each event fires, because the handler is in the callback list more than once."""
    events: int = 0
    """The number of token and stream events, counted only if `echoes` is not 0."""
    streamed: bool = False
    by_events: bool = False
    """Whether v3 stream events are counted rather than token events, see `follow_events`."""
    chunks: int = 0
    first_chunk_at: float = 0.0
    last_chunk_at: float = 0.0
    longest_gap: float = 0.0
    longest_gap_at: float = 0.0
    """When the longest gap began."""
    wordless: int = 0
    """How many of the chunks have no text."""
    short: int = 0
    """The characters of the texts that are about a token, see `TOKEN`."""
    keep: Callable[[str], object] | None = None
    """Keeps such a text, if it may be kept: a method of a list, for speed. What it keeps is within `room`."""
    room: int = 0
    """At how many `short` characters `make_room` is to be called."""
    weight: float = 0.0
    """The estimated tokens of the other texts, not rounded."""
    counted: float | None = None
    """Output tokens, counted by the user's `token_counter` chunk by chunk, or from the text of a whole answer. NaN
    if the counter has failed for a chunk."""
    reported: Usage | None = None
    """What the provider has reported so far."""
    repeats: bool = False
    """Whether the provider reports usage repeatedly, each time counted from the start of the stream."""
    named: str | None = None
    """The model that the first chunk with a name in it named."""
    assumes_model: bool = True
    """Whether a whole answer that names no model is taken for one of the model that was asked."""
    cached: bool = False
    """Whether LangChain's cache answered rather than the model. The span then has no tokens: none were billed."""
    cost: Cost | None = None
    response: Response = _NO_ANSWER
    finished: bool = False
    """Whether the call completed, its consumer gone or not. Else the usage that was reported may be incomplete."""
    ended: float = 0.0
    settled: Usage | None = None
    """What `usage` returns from the call's end on, worked out once."""
    within: tuple[Usage, ...] = ()
    """The usage of the latest calls that the model has made in its own method."""
    within_ids: tuple[str, ...] = ()
    """The ids by which their answers are known: those of their runs, and the provider's if there is one."""
    hands_on: bool = False
    """Whether the answer is that of one of these calls, as its id says."""
    repeats_others: bool = False
    """Whether the settled usage is that of these calls again, or estimated beside theirs."""
    partial: str | None = None
    """What has arrived of an answer that is cut short, as JSON."""
    complete: Callable[[Call], None] | None = None
    """Adds, once and when the call has ended, what is known of its answer elsewhere: by a tracked stream."""

    @property
    def answered_by(self) -> str | None:
        """The model that answered, as far as the answer or its first chunks have named it."""
        return self.response.model or self.named

    def add_chunk(self, now: float, text: str = "") -> None:
        """Count a chunk that has content, and weigh its text.

        `Hooks.on_llm_new_token` has the same written out for all but the first chunk.
        """
        if self.chunks:
            gap = now - self.last_chunk_at
            if gap > self.longest_gap:
                self.longest_gap = gap
                self.longest_gap_at = self.last_chunk_at
        else:
            self.first_chunk_at = self.longest_gap_at = now
        self.chunks += 1
        if not text:
            self.wordless += 1
        elif len(text) <= TOKEN and text.isascii():
            self.short += len(text)
        else:
            self.weight += weight(text)
        self.last_chunk_at = now

    def take_what_was_said(self) -> None:
        """Complete the record from elsewhere, if that has not been done."""
        complete, self.complete = self.complete, None
        if complete is not None:
            with contained("answer"):
                complete(self)

    def make_room(self) -> None:
        """Limit what has been kept."""
        if self.text is not None:
            self.room = self.short + self.text.limit()

    def read(self, text: str, token_counter: Callable[[str], float] | None) -> None:
        """Keep the text of a chunk if that is allowed, and count its tokens if there is a `token_counter`."""
        if self.text is not None:
            self.text.add(text)
            self.keep = self.text.pieces.append
        if token_counter is not None and text:
            with contained("token_counter"):
                before, self.counted = self.counted or 0, nan  # and that it remains if the counter fails
                self.counted = before + counted(token_counter, text)

    def add_report(self, usage: Usage) -> None:
        """Take the usage in a chunk: one that adds up with the ones before, or one that repeats them."""
        if self.repeats and not usage.input and usage.is_nothing:
            return  # zeros at the end of a stream take nothing back
        self.repeats = self.repeats or usage.repeats(self.reported)
        self.reported = usage if self.repeats else usage.after(self.reported)

    def follow_events(self) -> None:
        """Count v3 stream events from now on, and discard what was counted from token events.

        Every v3 call has stream events, and they are complete. Many models fire token events too, with less in them.
        Such a model fires the token event while it makes a chunk, and the stream event is made from that chunk
        afterwards. So one token event comes before the first stream event, and both are the same chunk.
        """
        self.by_events = True
        self.chunks = self.wordless = self.short = 0
        self.weight = 0.0
        self.longest_gap = 0.0
        self.counted = None
        if self.text is not None:
            self.text.clear()

    def from_cache(self) -> None:
        """Record that LangChain's cache answered: no tokens were used, and any stream was a replay."""
        self.cached = True
        self.streamed = False
        self.chunks = 0
        self.counted = self.reported = None

    def arrived(self) -> int:
        """Return the output tokens that have arrived: what the user's `token_counter` counted, else an estimate."""
        tokens = self.counted
        return self.estimated_output() if tokens is None or isnan(tokens) else ceil(tokens)

    def estimated_output(self) -> int:
        """Estimate the output tokens from the chunks that have arrived, those of streamed reasoning included."""
        return of_stream(self.chunks, self.chunks - self.wordless, self.weight + self.short / 4)

    def count_prompt(self) -> None:
        """Have the tokens of the prompt estimated now, if `usage` may need them. That is done once."""
        has_arrived = self.chunks > 0 or self.counted is not None
        needs_them = has_arrived if self.reported is None else not self.reported.input
        if needs_them and self.request.prompt is not None:
            self.request.prompt.tokens()

    def usage(self) -> Usage | None:
        """Return the usage that the provider reported, else an estimate, else (if nothing arrived) `None`.

        Some providers report the prompt's tokens first and the answer's tokens last. If such a call ends early, the
        reported input is kept and the output is estimated, unless the model had already sent a finish reason. The same
        holds for a report without an answer, where one has arrived: some servers write 0 where they do not count.
        """
        if self.settled is not None:
            return self.settled
        reported = self.reported
        has_arrived = self.chunks > 0 or self.counted is not None
        is_final = self.finished or bool(self.response.finish_reasons)
        if has_arrived and reported is not None and not reported.output and reported.has_no_answer:
            is_final = False
            reported = reported if reported.input else None
        if reported is not None and is_final:
            is_whole = reported.input or not reported.output
            return reported if is_whole else reported.with_estimated_input(self.request.estimated_input)
        arrived = self.arrived()
        if reported is None:
            return Usage.estimated(self.request.estimated_input, arrived) if has_arrived else None
        return reported.cut_short(None if reported.input else self.request.estimated_input, arrived)
