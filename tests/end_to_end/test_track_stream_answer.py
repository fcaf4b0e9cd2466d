"""What the application itself says to a tracked stream: `set_usage` and `set_response`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from sentry_langchain_stream import AsyncTrackedStream, track_stream
from sentry_langchain_stream.testing import capture_spans
from tests.kit.texts import atexts, texts
from tests.kit.wire import WIRE_SHAPES, content_allowed

OPENAI_CHAT = {
    "prompt_tokens": 20,
    "completion_tokens": 9,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 4},
}
OPENAI_RESPONSES = {
    "input_tokens": 20,
    "output_tokens": 9,
    "total_tokens": 29,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens_details": {"reasoning_tokens": 4},
}
ANTHROPIC = {"input_tokens": 12, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0, "output_tokens": 9}
GEMINI = {
    "prompt_token_count": 20,
    "candidates_token_count": 5,
    "thoughts_token_count": 4,
    "cached_content_token_count": 8,
    "total_token_count": 29,
}
GEMINI_REST = {
    "promptTokenCount": 20,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 4,
    "cachedContentTokenCount": 8,
    "totalTokenCount": 29,
}
BEDROCK = {"inputTokens": 12, "outputTokens": 9, "totalTokens": 29, "cacheReadInputTokens": 8}
OLLAMA = {"prompt_eval_count": 20, "eval_count": 9, "model": "m", "done": True}


def objects(value: Any) -> Any:
    """A mapping as the objects of a client library."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: objects(each) for name, each in value.items()})
    return value


REPORTS = {
    "OpenAI's chat": (OPENAI_CHAT, 8, 4),
    "OpenAI's Responses": (OPENAI_RESPONSES, 8, 4),
    "Anthropic": (ANTHROPIC, 8, None),
    "Gemini": (GEMINI, 8, 4),
    "Gemini's REST": (GEMINI_REST, 8, 4),
    "Bedrock": (BEDROCK, 8, None),
    "Ollama's last chunk": (OLLAMA, None, None),
    "an answer with a usage": ({"id": "x", "usage": OPENAI_CHAT}, 8, 4),
}


@pytest.fixture(params=[texts, atexts], ids=["sync", "async"])
def source(request: pytest.FixtureRequest) -> Any:
    """A function that makes a stream, sync and async."""
    return request.param


async def each(stream: Any) -> AsyncIterator[Any]:
    """The items of a sync or async stream."""
    if isinstance(stream, AsyncTrackedStream):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


def usage_of(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Input, output, total, cached and reasoning tokens, and where they come from."""
    names = ("input_tokens", "output_tokens", "total_tokens", "cache_read.input_tokens", "reasoning.output_tokens")
    numbers = [attributes.get(f"gen_ai.usage.{name}") for name in names]
    return (*numbers, attributes["langchain_stream.usage_source"])


@pytest.mark.parametrize("as_objects", [False, True], ids=["mapping", "objects"])
@pytest.mark.parametrize("report", REPORTS)
async def test_a_providers_usage_is_taken_as_it_is(source: Any, report: str, as_objects: bool) -> None:
    """`set_usage` understands what each provider reports, as a mapping and as objects."""
    raw, cached, reasoning = REPORTS[report]
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        async for _ in each(stream):
            stream.set_usage(objects(raw) if as_objects else raw)
            stream.set_usage(None)  # most chunks have no usage
    told = captured.find(op="gen_ai.chat").attributes
    assert usage_of(told) == (20, 9, 29, cached, reasoning, "provider")


@pytest.mark.parametrize(
    ("numbers", "sent", "named"),
    [
        (
            {"input_tokens": 20, "output_tokens": 9, "cached_tokens": 30},
            (50, 9, 59, 30, None, "provider"),
            "input_tokens",
        ),
        (
            {"input_tokens": 20, "output_tokens": 9, "reasoning_tokens": 10},
            (20, 19, 39, None, 10, "provider"),
            "output_",
        ),
        ({"input_tokens": 20, "output_tokens": 9, "cached_tokens": 20, "reasoning_tokens": 9}, None, None),
    ],
)
def test_details_beside_their_whole_are_added_and_logged(
    caplog: pytest.LogCaptureFixture, numbers: dict[str, int], sent: Any, named: str | None
) -> None:
    """More cached tokens than input can only have been counted beside it, and whoever passes them is told."""
    with capture_spans() as captured:
        stream = track_stream(texts(), model="m")
        for _ in stream:
            stream.set_usage(**numbers)
    told = usage_of(captured.find(op="gen_ai.chat").attributes)
    assert told == (sent or (20, 9, 29, 20, 9, "provider"))
    assert [named in each.getMessage() for each in caplog.records if named] == ([True] if named else [])


async def test_details_alone_are_kept(source: Any) -> None:
    """Of an input or output that is left out, and so estimated, the parts that are known are recorded."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        async for _ in each(stream):
            stream.set_usage(cached_tokens=70, reasoning_tokens=40)
    assert usage_of(captured.find(op="gen_ai.chat").attributes) == (70, 40, 110, 70, 40, "estimate")


NESTED = {
    "Bedrock's": {"metadata": {"usage": {"inputTokens": 30, "outputTokens": 40, "totalTokens": 70}}},
    "Anthropic's": {"type": "message_start", "message": {"usage": {"input_tokens": 30, "output_tokens": 40}}},
    "OpenAI's": {"type": "response.completed", "response": {"usage": {"input_tokens": 30, "output_tokens": 40}}},
}


@pytest.mark.parametrize("as_objects", [False, True], ids=["mapping", "objects"])
@pytest.mark.parametrize("event", NESTED)
async def test_the_event_that_has_the_usage_is_enough(source: Any, event: str, as_objects: bool) -> None:
    """The events of a stream have it below other keys, where it is found."""
    raw = NESTED[event]
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        async for _ in each(stream):
            stream.set_usage(objects(raw) if as_objects else raw)
    assert usage_of(captured.find(op="gen_ai.chat").attributes) == (30, 40, 70, None, None, "provider")


async def test_numbers_with_their_details(source: Any) -> None:
    """Numbers may be given with those of cache and reasoning; a detail is never more than its total."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        async for _ in each(stream):
            stream.set_usage(input_tokens=20, output_tokens=9, cached_tokens=8, reasoning_tokens=4)
        stream = track_stream(source(), model="m")
        async for _ in each(stream):
            stream.set_usage(input_tokens=20, output_tokens=9, cached_tokens=30, cache_creation_tokens=3)
    first, second = (span.attributes for span in captured.find_all(op="gen_ai.chat"))
    assert usage_of(first) == (20, 9, 29, 8, 4, "provider")
    assert second["gen_ai.usage.cache_read.input_tokens"] <= second["gen_ai.usage.input_tokens"]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((7,), {}, TypeError, "^usage must"),
        (("x",), {}, TypeError, "^usage must"),
        ((OPENAI_CHAT,), {"input_tokens": 7}, TypeError, "not both"),
        ((), {"cached_tokens": -1}, ValueError, "^cached_tokens must"),
        ((), {"input_tokens": 2**60}, ValueError, "^input_tokens must"),
        ((), {"reasoning_tokens": "1"}, TypeError, "^reasoning_tokens must"),
    ],
)
def test_a_bad_usage_is_named(arguments: Any, options: Any, error: type[Exception], match: str) -> None:
    """What cannot be a usage is refused at once."""
    with pytest.raises(error, match=match):
        track_stream([], model="m").set_usage(*arguments, **options)


def test_a_usage_without_numbers_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An object in which no tokens are found changes nothing, and is logged."""
    with capture_spans() as captured:
        stream = track_stream(texts(), model="m")
        for _ in stream:
            stream.set_usage({"cost": 1})
    assert "no number of tokens" in caplog.text
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.usage_source"] == "estimate"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_response(source: Any, shape: str) -> None:
    """`set_response` records model, id and finish reason; what a later call leaves out stays."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = track_stream(source(), model="m")
        async for _ in each(stream):
            stream.set_response(model="m-2026", id="r1")
            stream.set_response(finish_reason="stop")
    told = captured.find(op="gen_ai.chat").attributes
    names = ("gen_ai.response.model", "gen_ai.response.id", "gen_ai.response.finish_reasons")
    assert [told[name] for name in names] == ["m-2026", "r1", "stop"]


def test_a_finish_reason_makes_the_usage_final() -> None:
    """A consumer who leaves after the answer was complete leaves no guess behind."""
    with capture_spans() as captured, track_stream(texts(), model="m") as stream:
        next(stream)
        stream.set_usage(OPENAI_CHAT)
        stream.set_response(finish_reason="stop")
    assert usage_of(captured.find(op="gen_ai.chat").attributes) == (20, 9, 29, 8, 4, "provider")


@pytest.mark.parametrize("name", ["model", "id", "finish_reason"])
def test_a_bad_response_is_named(name: str) -> None:
    """What is no text is refused at once."""
    with pytest.raises(TypeError, match=f"^{name} must"):
        track_stream([], model="m").set_response(**{name: 7})  # type: ignore[arg-type]


def called(name: str, index: int, id: str | None, arguments: str) -> dict[str, Any]:
    """A chunk of OpenAI's protocol with a piece of a tool call."""
    call = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    choice = {"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}
    return {"object": "chat.completion.chunk", "id": "r1", "model": "m", "choices": [choice]}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("ending", ["cancelled", "idle", "exit"])
async def test_what_was_said_counts_however_the_run_ends(ending: str, shape: str) -> None:
    """Where the run ends while the consumer is at work, the answer and what the application has said are recorded."""
    waiting = asyncio.Event()

    async def read() -> None:
        async for _ in stream:
            stream.set_usage(OPENAI_CHAT)
            stream.set_response(model="m-2026", finish_reason="stop")
            waiting.set()
            await asyncio.Event().wait()

    async def source() -> AsyncIterator[Any]:
        yield called("weather", 0, "c1", '{"city": "Rome"}')

    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        stream = track_stream(source(), model="m")
        task = asyncio.create_task(read())
        await waiting.wait()
        if ending != "cancelled":
            stream._runs.end_all(ending)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = captured.find(op="gen_ai.chat").attributes
    assert usage_of(told) == (20, 9, 29, 8, 4, "provider")
    names = ("gen_ai.response.model", "gen_ai.response.id", "gen_ai.response.finish_reasons")
    assert [told[name] for name in names] == ["m-2026", "r1", "stop"]
    assert "Rome" in told["gen_ai.output.messages"]
