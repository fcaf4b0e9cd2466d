"""What the end-to-end tests share: the three wire shapes, the ways to call a model, and who stands above."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NoReturn

import pytest
import sentry_sdk
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import Field
from sentry_sdk.consts import DEFAULT_OPTIONS, VERSION


class _Shapes(dict[str, dict[str, Any]]):
    def __missing__(self, shape: str) -> NoReturn:
        pytest.skip(f"sentry-sdk {VERSION} has no wire shape {shape!r}")


_SHAPES: dict[str, dict[str, Any]] = {
    "transaction": {"stream_gen_ai_spans": False},
    "transaction and spans": {"stream_gen_ai_spans": True},
    "stream": {"trace_lifecycle": "stream"},
}

WIRE_SHAPES: dict[str, dict[str, Any]] = _Shapes(
    {shape: options for shape, options in _SHAPES.items() if options.keys() <= DEFAULT_OPTIONS.keys()}
    or {"transaction": {}}
)
"""The options that make the SDK send each of its wire shapes: three since 2.66, two since 2.60, before that one.

A test that asks for one that the SDK does not have is skipped.
"""

DEFAULT_SHAPE = "transaction and spans" if "transaction and spans" in WIRE_SHAPES else "transaction"
"""The wire shape that this SDK sends by default."""

BOTH_MODELS = tuple(shape for shape in WIRE_SHAPES if shape in (DEFAULT_SHAPE, "stream"))
"""A wire shape for each of the span models that this SDK has: transactions, and streamed spans."""


HAS_V3 = hasattr(BaseChatModel, "stream_events")

needs_v3 = pytest.mark.skipif(not HAS_V3, reason="needs v3 events, which came with langchain-core 1.4")

SLACK = 0.01
"""Seconds by which the end of one span may seem to precede another's: the SDK adds a monotonic time that has gone by
to a wall-clock start, for each span anew."""


def content_allowed(allowed: bool) -> dict[str, Any]:
    """The client options that allow AI content to be recorded, or not."""
    if "data_collection" not in DEFAULT_OPTIONS:
        return {"send_default_pii": allowed}
    return {"data_collection": {"gen_ai": {"inputs": allowed, "outputs": allowed}}}


@dataclass(frozen=True)
class Way:
    """A way to call a runnable."""

    name: str
    streams: bool
    run: Callable[[Runnable[Any, Any], Any, Any], Any]

    def __str__(self) -> str:
        return self.name


async def _astream(runnable: Runnable[Any, Any], question: Any, config: Any) -> None:
    async for _ in runnable.astream(question, config=config):
        pass


async def _stream(runnable: Runnable[Any, Any], question: Any, config: Any) -> None:
    for _ in runnable.stream(question, config=config):
        pass


async def _ainvoke(runnable: Runnable[Any, Any], question: Any, config: Any) -> None:
    await runnable.ainvoke(question, config=config)


async def _invoke(runnable: Runnable[Any, Any], question: Any, config: Any) -> None:
    runnable.invoke(question, config=config)


WAYS = (
    Way("astream", True, _astream),
    Way("stream", True, _stream),
    Way("ainvoke", False, _ainvoke),
    Way("invoke", False, _invoke),
)


@contextmanager
def active_span(shape: str, name: str = "handle") -> Iterator[str]:
    """An active span of the application's own; yields its id."""
    if shape == "stream":
        with sentry_sdk.traces.start_span(name=name) as span:
            yield span.span_id
    else:
        with sentry_sdk.start_transaction(op="test", name=name) as transaction:
            yield transaction.span_id


@contextmanager
def child_span(shape: str, name: str) -> Iterator[None]:
    """A span of the application's own below the active one."""
    with sentry_sdk.traces.start_span(name=name) if shape == "stream" else sentry_sdk.start_span(op="test", name=name):
        yield


def current_span_id() -> str | None:
    """The id of the span that is current, in whichever mode."""
    span = sentry_sdk.get_current_span()
    if span is None and "stream" in WIRE_SHAPES:
        return getattr(sentry_sdk.traces.get_current_span(), "span_id", None)
    return span.span_id if span is not None else None


def fake_model(answer: str = "one two three") -> GenericFakeChatModel:
    """A model that answers the same for ever, split at white space when it streams."""
    return GenericFakeChatModel(messages=cycle([AIMessage(answer)]))


class ScriptedModel(BaseChatModel):
    """A model that answers piece by piece as told, and can be held or made to fail before any piece."""

    model_name: str = "scripted"
    pieces: tuple[str, ...] = ("one ", "two ", "three")
    usage: dict[str, Any] | None = None
    """Usage metadata, sent with the last, empty chunk as OpenAI does, or with the whole message."""
    response_metadata: dict[str, Any] = Field(default_factory=dict)
    of_each: dict[str, Any] = Field(default_factory=dict)
    """Response metadata of each chunk but the last."""
    before: Callable[[int], Any] | None = None
    """Called before each piece, with its number; may raise. What it returns is awaited on the async ways."""

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for number in range(len(self.pieces) + 1):
            if self.before is not None and number < len(self.pieces):
                self.before(number)
            yield self._chunk(number)

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for number in range(len(self.pieces) + 1):
            if self.before is not None and number < len(self.pieces):
                waited = self.before(number)
                if waited is not None:
                    await waited
            yield self._chunk(number)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self.before is not None:
            self.before(0)
        return self._whole()

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        if self.before is not None:
            waited = self.before(0)
            if waited is not None:
                await waited
        return self._whole()

    def _whole(self) -> ChatResult:
        usage: Any = self.usage
        message = AIMessage("".join(self.pieces), usage_metadata=usage, response_metadata=self.response_metadata)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _chunk(self, number: int) -> ChatGenerationChunk:
        if number < len(self.pieces):
            piece = AIMessageChunk(content=self.pieces[number], response_metadata={**self.of_each})
            return ChatGenerationChunk(message=piece)
        usage: Any = self.usage
        last = AIMessageChunk(content="", usage_metadata=usage, response_metadata=self.response_metadata)
        return ChatGenerationChunk(message=last)
