"""Times and rates are those of the stream, on a clock that the test moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import Runnable
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import capture_spans
from tests.kit.helpers import Clock, handler_on
from tests.kit.network import TIMING, Network, Pieces
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way

STREAMING = [way for way in WAYS if way.streams]


@pytest.fixture(scope="module")
def openai() -> Iterator[ChatOpenAI]:
    """The real model class, asking a server that speaks OpenAI's wire format."""
    with serving(create_endpoint(Answer(pieces=("a", "b", "c"), completion_tokens=7))) as url:
        yield ChatOpenAI(model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), stream_usage=True)


async def read(way: Way, runnable: Runnable[Any, Any], config: Any, each: Callable[[Any], object]) -> None:
    """Stream, and do something with each chunk before the next is pulled."""
    if way.name == "astream":
        async for chunk in runnable.astream("Hi", config=config):
            each(chunk)
    else:
        for chunk in runnable.stream("Hi", config=config):
            each(chunk)


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_times_and_rates_of_a_stream(openai: ChatOpenAI, shape: str, way: Way) -> None:
    """Of a real stream every time and rate is stated, in seconds; the empty role chunk is not the first chunk."""
    clock = Clock()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(openai, "Hi", {"callbacks": [Network(clock), handler_on(clock)]})
    told = captured.find(op="gen_ai.chat").attributes
    assert {key: told[key] for key in TIMING} == pytest.approx(TIMING)


FIRST = {
    "text": AIMessageChunk(content="Hello"),
    "tool call": AIMessageChunk(content="", tool_call_chunks=[{"name": "look", "args": "", "id": "1", "index": 0}]),
    "arguments": AIMessageChunk(content="", tool_call_chunks=[{"name": None, "args": "{", "id": None, "index": 0}]),
    "reasoning block": AIMessageChunk(content=[{"type": "reasoning", "reasoning": "Well"}]),
    "reasoning beside the text": AIMessageChunk(content="", additional_kwargs={"reasoning_content": "Well"}),
}


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("first", FIRST)
async def test_the_first_chunk_is_the_first_with_content(first: str, way: Way) -> None:
    """The time to the first chunk ends with text, tool-call data or a reasoning block, not with an empty message."""
    clock = Clock()
    model = Pieces(
        pieces=("",) * 3,
        chunks=(AIMessageChunk(content=""), FIRST[first], AIMessageChunk(content="!")),
        before=clock.passing(1.0),
    )
    with capture_spans() as captured:
        await way.run(model, "Hi", {"callbacks": [handler_on(clock)]})
    told = captured.find(op="gen_ai.chat").attributes
    assert told["gen_ai.response.time_to_first_chunk"] == 2.0
    assert told["langchain_stream.chunks"] == 2


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("taken", [0.0, 0.05])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_slow_reader_does_not_delay_the_first_chunk(shape: str, taken: float, way: Way) -> None:
    """What a reader takes for each chunk shows in the gaps, because LangChain pulls, but not before the first."""
    clock = Clock()
    model = ScriptedModel(before=clock.passing(0.5))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await read(way, model, {"callbacks": [handler_on(clock)]}, lambda chunk: clock.advance(taken))
    told = captured.find(op="gen_ai.chat").attributes
    assert told["gen_ai.response.time_to_first_chunk"] == 0.5
    assert told["langchain_stream.longest_gap"] == pytest.approx(0.5 + taken)


@pytest.mark.parametrize("way", STREAMING, ids=str)
async def test_a_slow_reader_of_a_real_stream_does_not_delay_the_first_chunk(openai: ChatOpenAI, way: Way) -> None:
    """The same with a real model, of which the reader is handed an empty chunk first and does nothing with it."""
    clock = Clock()
    config = {"callbacks": [Network(clock), handler_on(clock)]}
    with capture_spans() as captured:
        await read(way, openai, config, lambda chunk: clock.advance(0.05 if chunk.content else 0.0))
    told = captured.find(op="gen_ai.chat").attributes
    assert told["gen_ai.response.time_to_first_chunk"] == pytest.approx(0.5)
    assert told["langchain_stream.longest_gap"] == pytest.approx(2.05)


@pytest.mark.parametrize("way", [way for way in WAYS if not way.streams], ids=str)
async def test_an_answer_that_is_not_streamed_has_a_rate_only(openai: ChatOpenAI, way: Way) -> None:
    """A whole answer states its tokens per second, and nothing about chunks."""
    clock = Clock()

    class Elapsing(BaseCallbackHandler):
        run_inline = True

        def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
            clock.advance(3.5)

    with capture_spans() as captured:
        await way.run(openai, "Hi", {"callbacks": [Elapsing(), handler_on(clock)]})
    told = captured.find(op="gen_ai.chat").attributes
    assert {key: value for key, value in told.items() if key in TIMING} == {"gen_ai.response.tokens_per_second": 2.0}


async def test_the_time_of_day_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock on the wall that is set back in the middle of a stream changes no duration."""
    earlier = time.time() - 3_600
    with capture_spans() as captured:
        async for _ in ScriptedModel().astream("Hi", config={"callbacks": [SentryStreamHandler()]}):
            monkeypatch.setattr(time, "time", lambda: earlier)
    told = captured.find(op="gen_ai.chat").attributes
    assert 0 <= told["gen_ai.response.time_to_first_chunk"] < 60
    assert 0 <= told["langchain_stream.longest_gap"] < 60
    assert told["langchain_stream.decode_rate"] > 0
