"""Streams an answer through the real handler and the application's own client, without sending anything."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import sentry_sdk
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langsmith import tracing_context
from sentry_sdk.envelope import Envelope

from .._runtime.containment import logger
from ..handler import SentryStreamHandler
from ..testing.envelopes import CapturedSpan, read_spans
from ..testing.keeper import Keeper
from .findings import error_text
from .providers import USAGE, answer

PIPELINE = "sentry-langchain-stream doctor"
MODEL = "doctor-probe"
QUESTION = "Do you arrive?"
INPUT_TOKENS, OUTPUT_TOKENS = USAGE["input_tokens"], USAGE["output_tokens"]


@dataclass(frozen=True, slots=True)
class Probe:
    """The result of a probe."""

    spans: tuple[CapturedSpan, ...] = ()
    """The spans of its trace, as they would have been sent."""
    envelopes: tuple[Envelope, ...] = ()
    """The envelopes that contain these spans."""
    lost: tuple[str, ...] = ()
    """What the SDK reports as dropped: category and reason."""
    warned: tuple[str, ...] = ()
    """The messages that the handler logged."""
    sample_rate: object = None
    """The rate at which the application samples a trace like this one. It may be any value."""
    sampler_error: str | None = None
    """The exception that the application's `traces_sampler` raised."""
    failure: str | None = None
    """The exception that the stream raised."""

    @property
    def trace_id(self) -> str | None:
        """The id of the trace to look for."""
        return self.spans[0].trace_id if self.spans else None


def run(client: Any) -> Probe:
    """Stream an answer of a fake model with this client, which must be active and have tracing on."""
    found = observe(client, _stream)
    sent = [(envelope, list(_spans(envelope))) for envelope in found.envelopes]
    trace = next((span.trace_id for _, spans in sent for span in spans if _is_ours(span)), None)
    ours = [(envelope, spans) for envelope, spans in sent if any(span.trace_id == trace for span in spans)]
    return replace(
        found,
        spans=tuple(span for _, spans in ours for span in spans),
        envelopes=tuple(envelope for envelope, _ in ours),
    )


def observe(client: Any, call: Callable[[], None]) -> Probe:
    """Call a function, and return everything that this client would have sent meanwhile.

    The client's options, hooks, integrations and scopes are the application's. Only the transport and the sampling are
    replaced during the call. Its traces are always sampled, and the rate that the application would use is recorded.
    """
    warned: list[str] = []
    failure = None
    with _kept(client) as kept, _always_sampled(client) as sampled, _noting(warned):
        try:
            with _undisturbed():
                call()
        except Exception as error:  # a callback that the application registered for all runs may raise
            failure = error_text(error)
        client.flush(timeout=2.0)
    envelopes = tuple(map(Envelope.deserialize, kept.envelopes))
    return Probe(
        spans=tuple(span for envelope in envelopes for span in _spans(envelope)),
        envelopes=envelopes,
        lost=tuple(dict.fromkeys(kept.lost)),
        warned=tuple(dict.fromkeys(warned)),
        sample_rate=sampled.rate,
        sampler_error=sampled.error,
        failure=failure,
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    # LangSmith's tracer, which the environment can turn on, would send the probe to LangSmith.
    with tracing_context(enabled=False), sentry_sdk.isolation_scope() as isolation:
        isolation.set_new_propagation_context()
        scope = sentry_sdk.get_current_scope()
        scope.span = None  # the application's initialisation may leave a span active
        yield


def _stream() -> None:
    handler = SentryStreamHandler(PIPELINE)
    chain = RunnableLambda(str) | ChatProbe(cache=False)  # the application's cache may be on a server
    config: RunnableConfig = {"callbacks": [handler]}
    for _ in chain.stream(QUESTION, config):
        pass


class ChatProbe(BaseChatModel):
    """A model that streams its answer without delay, and reports usage."""

    model_name: str = MODEL

    @property
    def _llm_type(self) -> str:
        return "doctor"

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return answer(MODEL, usage=True)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))


def _spans(envelope: Envelope) -> Iterator[CapturedSpan]:
    """Yield the spans in an envelope that was read back from its bytes."""
    for item in envelope.items:
        if item.type in ("transaction", "span"):
            yield from read_spans(str(item.type), json.loads(item.payload.get_bytes()))


def _is_ours(span: CapturedSpan) -> bool:
    """Whether a span belongs to the probe. A hook may have changed its name or its attributes."""
    return PIPELINE in (span.name, span.attributes.get("gen_ai.pipeline.name")) or MODEL in span.name


@contextmanager
def _kept(client: Any) -> Iterator[Keeper]:
    """Keep what this client would send to Sentry and to Spotlight."""
    keep = Keeper()
    before = client.transport, getattr(client, "spotlight", None)
    client.transport, client.spotlight = keep, None
    try:
        yield keep
    finally:
        client.transport, client.spotlight = before


@dataclass(slots=True)
class _Sampling:
    """The result of the application's sampling for the root of the probe."""

    rate: object
    error: str | None = None


@contextmanager
def _always_sampled(client: Any) -> Iterator[_Sampling]:
    options = client.options
    sampler = options.get("traces_sampler")
    sampling = _Sampling(rate=None if callable(sampler) else options.get("traces_sample_rate"))

    def always(context: dict[str, Any]) -> float:
        if callable(sampler) and context["transaction_context"]["name"] == PIPELINE:
            try:
                sampling.rate = sampler(context)
            except Exception as error:
                sampling.error = error_text(error)
        return 1.0

    options["traces_sampler"] = always
    try:
        yield sampling
    finally:
        options["traces_sampler"] = sampler


@contextmanager
def _noting(messages: list[str]) -> Iterator[None]:
    """Record what the handler logs in the block."""

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    note = Note(logging.WARNING)
    logger.addHandler(note)
    try:
        yield
    finally:
        logger.removeHandler(note)
