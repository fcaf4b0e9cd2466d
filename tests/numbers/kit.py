"""Asks a real provider's class, or a model that says what one was seen to say, and returns the span."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.replay import Answer, replaying
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES, content_allowed

USAGE = ("input_tokens", "output_tokens", "total_tokens")


def of(package: str, name: str) -> Callable[..., BaseChatModel]:
    """A class of a package that may not be installed."""
    chosen: Callable[..., BaseChatModel] = getattr(pytest.importorskip(package), name)
    return chosen


def chat(usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole answer in the format of OpenAI's chat completions, which most providers speak."""
    message = {"role": "assistant", "content": "Hello"}
    choices = [{"index": 0, "finish_reason": "stop", "message": message}]
    answer = {"id": "cmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    return {**answer, "choices": choices, "usage": usage, **more}


def chunk(text: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk in the format of OpenAI's chat completions."""
    choices = [] if text is None else [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    answer = {"id": "cmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    return {**answer, "choices": choices, **more}


class Says(BaseChatModel):
    """A model that says these messages: as a whole the first, and streamed each as a chunk."""

    messages: list[Any]
    model_name: str = "says"
    llm_output: dict[str, Any] | None = None
    before: Callable[[int], Any] | None = None
    """Called before each message, with its number."""

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.messages[0])], llm_output=self.llm_output)

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for number, message in enumerate(self.messages):
            if self.before is not None:
                self.before(number)
            yield ChatGenerationChunk(message=message)


def says(*messages: AIMessage | AIMessageChunk, **options: Any) -> Says:
    """A model that says these messages."""
    return Says(messages=list(messages), **options)


def ask(
    model: Any,
    way: str = "invoke",
    shape: str = DEFAULT_SHAPE,
    question: Any = "Hi",
    call: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    fails: tuple[type[Exception], ...] = (),
    **handler: Any,
) -> CapturedSpan:
    """Ask a model, and return its span.

    Args:
        model: The model, or whatever makes exactly one model call.
        way: `invoke`; `stream`; `left`, a stream that is left after its second chunk.
        shape: The wire shape.
        question: What it is asked.
        call: The options of the call.
        config: More of the config.
        fails: What the call may fail with.
        **handler: The handler's arguments.
    """
    watching = SentryStreamHandler(**handler)
    configured: Any = {**(config or {}), "callbacks": [watching]}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured, suppress(*fails):
        if way == "invoke":
            model.invoke(question, configured, **(call or {}))
        else:
            stream = model.stream(question, configured, **(call or {}))
            for number, _ in enumerate(stream):
                if way == "left" and number == 1:
                    break
            stream.close()
    assert watching.live_runs == 0
    return captured.find(op="gen_ai.chat")


def answered(make: Callable[[str], Any], *answers: Answer, **options: Any) -> CapturedSpan:
    """Ask a provider's class, made with the address of a server that gives these answers."""
    with replaying(*answers) as server:
        return ask(make(server.url), **options)


def tokens(span: CapturedSpan) -> tuple[Any, ...]:
    """Input, output and all tokens of a span."""
    return tuple(span.attributes.get(f"gen_ai.usage.{name}") for name in USAGE)


def details(span: CapturedSpan) -> tuple[Any, ...]:
    """Cached, cache-writing and reasoning tokens of a span."""
    names = ("cache_read.input_tokens", "cache_creation.input_tokens", "reasoning.output_tokens")
    return tuple(span.attributes.get(f"gen_ai.usage.{name}") for name in names)
