"""Zeros in a provider's report: some servers write 0 where they do not count."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.replay import Answer, replaying
from tests.kit.trees.ways import settled
from tests.kit.wire import needs_v3
from tests.numbers.kit import answered, chat, chunk, tokens
from tests.numbers.test_answers import choice, openai
from tests.numbers.test_asked_prices import claude, events

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:The model:DeprecationWarning")

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"what": "the sky"}'}}


def used(prompt: int, completion: int, **more: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


def stream(*pieces: dict[str, Any], usage: dict[str, Any]) -> list[Any]:
    """A stream of OpenAI's chat completions, with the usage in its last chunk."""
    end = chunk(None, choices=[choice(0, None, "stop")])
    return [*pieces, end, chunk(None, choices=[], usage=usage), "[DONE]"]


def whole(usage: dict[str, Any], **message: Any) -> dict[str, Any]:
    """A whole answer of OpenAI's chat completions, with this message."""
    answer = chat(usage)
    answer["choices"][0]["message"] = {"role": "assistant", "content": None, **message}
    return answer


def calling(call: dict[str, Any]) -> dict[str, Any]:
    """A chunk with a tool call."""
    delta = {"tool_calls": [{"index": 0, **call}]}
    return chunk(None, choices=[{"index": 0, "delta": delta, "finish_reason": None}])


ANSWERED: dict[str, Answer] = {
    "a stream": stream(chunk("Hello "), chunk("you"), usage=used(11, 0)),
    "a stream without an output": stream(chunk("Hello "), chunk("you"), usage={"prompt_tokens": 11}),
    "a stream of a tool call": stream(calling(CALL), usage=used(11, 0)),
    "a whole answer": whole(used(11, 0), content="Hello you"),
    "a whole tool call": whole(used(11, 0), tool_calls=[CALL]),
}


@pytest.mark.parametrize("answer", ANSWERED.values(), ids=ANSWERED)
def test_an_answer_of_no_tokens_is_estimated(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Where an answer has arrived, a report of 0 for it is not taken, and the provider's number of the prompt is."""
    with caplog.at_level(logging.WARNING):
        span = answered(openai(stream_usage=True), answer, way="invoke" if isinstance(answer, dict) else "stream")
    assert span.attributes["gen_ai.usage.input_tokens"] == 11
    assert span.attributes["gen_ai.usage.output_tokens"] > 0
    assert tokens(span)[2] == sum(tokens(span)[:2])
    assert span.attributes["langchain_stream.usage_source"] == "estimate"
    assert "stream_usage" not in caplog.text  # the server was asked, and has reported


@needs_v3
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_an_answer_of_no_tokens_is_estimated_in_v3() -> None:
    """The same where stream events bring the answer."""
    handler = SentryStreamHandler()
    with replaying(ANSWERED["a stream"]) as server, capture_spans() as captured:
        model = openai(stream_usage=True)(server.url)
        async for _ in await model.astream_events("Hi", {"callbacks": [handler]}, version="v3"):
            pass
        await settled(handler)
    span = captured.find(op="gen_ai.chat")
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((11, 2, 13), "estimate")


def test_an_answer_of_no_tokens_is_estimated_for_anthropic_too() -> None:
    """The same with the report at the end of a stream of ChatAnthropic."""
    span = answered(claude, events({"input_tokens": 1_000, "output_tokens": 0}), way="stream")
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((1_000, 1, 1_001), "estimate")


NOT_ESTIMATED: dict[str, tuple[Answer, tuple[int, ...]]] = {
    "a stream of nothing": (stream(usage=used(11, 0)), (11, 0, 11)),
    "a whole answer of nothing": (whole(used(11, 0), content=""), (11, 0, 11)),
    "a stream with an answer in the total": (stream(chunk("Hello"), usage=used(11, 0, total_tokens=15)), (11, 0, 15)),
    "an answer with an answer in the total": (whole(used(11, 0, total_tokens=15), content="Hello"), (11, 0, 15)),
}


@pytest.mark.parametrize(("answer", "expected"), NOT_ESTIMATED.values(), ids=NOT_ESTIMATED)
def test_a_report_that_may_be_right_is_the_providers(answer: Any, expected: tuple[int, ...]) -> None:
    """An empty answer has 0 tokens, and a total that has more than the prompt counts an answer."""
    span = answered(openai(stream_usage=True), answer, way="invoke" if isinstance(answer, dict) else "stream")
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == (expected, "provider")


def by_langchain(answer: list[Any]) -> CapturedSpan:
    return answered(openai(stream_usage=True), answer, way="stream")


def by_track_stream(answer: list[Any]) -> CapturedSpan:
    with capture_spans() as captured:
        list(track_stream(iter(answer[:-1]), model="gpt-4o-mini"))
    return captured.find(op="gen_ai.chat")


@pytest.mark.parametrize("read", [by_langchain, by_track_stream])
def test_zeros_at_the_end_take_no_report_back(read: Callable[[list[Any]], CapturedSpan]) -> None:
    """A server that reports all so far with each chunk, and ends with zeros, has used what it said before."""
    pieces = [chunk(text, usage=used(11, number)) for number, text in enumerate(("one ", "two ", "three"), 1)]
    span = read(stream(*pieces, usage=used(0, 0)))
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((11, 3, 14), "provider")
