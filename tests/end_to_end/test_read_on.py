"""A sync chain whose consumer leaves: LangChain reads the model's stream on, and its numbers are those of all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, current_span_id

USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


def ending_badly() -> None:
    """What a model does whose provider breaks the connection."""
    raise ConnectionError


def chain(**options: Any) -> Runnable[Any, str]:
    """What users write."""
    return ChatPromptTemplate.from_template("{question}") | ScriptedModel(usage=USAGE, **options) | StrOutputParser()


def here(stream: Iterator[str]) -> None:
    """Read a piece, and leave."""
    for _ in stream:
        break
    stream.close()  # type: ignore[attr-defined]


def in_other_threads(stream: Iterator[str]) -> None:
    """The same, as servers do it that have threads read a sync generator: another one closes it."""
    for step in (lambda: next(stream), stream.close):  # type: ignore[attr-defined]
        with ThreadPoolExecutor(1) as thread:
            thread.submit(copy_context().run, step).result()


def in_a_loop(stream: Iterator[str]) -> None:
    """The same, in an async function."""

    async def read() -> None:
        here(stream)

    asyncio.run(read())


LEAVE = [here, in_other_threads, in_a_loop]


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("falls_back", [False, True], ids=["", "with fallbacks"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_numbers_are_the_providers(shape: str, falls_back: bool, leave: Callable[[Iterator[str]], None]) -> None:
    """The call and its chain were left, and have all tokens that the provider reports after that."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as active:
        made = chain().with_fallbacks([chain()]) if falls_back else chain()
        with handler.watch() as runs:
            leave(made.stream({"question": "Hi"}, {"callbacks": [handler]}))
        assert current_span_id() == active
        assert handler.live_runs == 0
    call, root = captured.find(op="gen_ai.chat"), captured.find(name="bot")
    assert [span.attributes["langchain_stream.outcome"] for span in (call, root)] == ["abandoned", "abandoned"]
    assert call.attributes["langchain_stream.usage_source"] == "provider"
    assert call.attributes["langchain_stream.chunks"] == 3
    assert [call.attributes[f"gen_ai.usage.{each}_tokens"] for each in ("input", "output")] == [9, 3]
    assert (runs.model_calls, runs.total_tokens) == (1, 12)
    assert call.end <= root.end


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_fails_then_is_no_issue(shape: str) -> None:
    """The call has failed, and nobody waits for it: its chain was left."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        made = chain(before=lambda number: ending_badly() if number == 2 else None)
        here(made.stream({"question": "Hi"}, {"callbacks": [handler]}))
        assert handler.live_runs == 0
    call, root = captured.find(op="gen_ai.chat"), captured.find(name="bot")
    assert [span.attributes["langchain_stream.outcome"] for span in (call, root)] == ["failed", "abandoned"]
    assert captured.events == []


def test_a_chain_that_is_read_to_its_end_has_completed() -> None:
    """Only who leaves has left."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        list((chain() | RunnableLambda(str.upper)).stream({"question": "Hi"}, {"callbacks": [handler]}))
    for span in (captured.find(op="gen_ai.chat"), captured.find(name="bot")):
        assert span.attributes["langchain_stream.outcome"] == "completed"
