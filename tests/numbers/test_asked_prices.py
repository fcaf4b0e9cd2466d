"""Prices that depend on what was asked for: langchain-anthropic does not hand on what the reports of a stream name."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from sentry_langchain_stream import SentryStreamIntegration, track_stream
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.absent import needs
from tests.kit.replay import replaying
from tests.numbers.kit import ask, of

pytestmark = [
    needs("genai_prices"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:The model:DeprecationWarning"),
]

USED = {"input_tokens": 1_000, "output_tokens": 500}
WRITTEN = {**USED, "cache_creation_input_tokens": 100_000, "cache_read_input_tokens": 0}


def events(usage: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """A stream of Anthropic's, with this report at its end."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    sent: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": {**usage, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    return [(each["type"], each) for each in sent]


def claude(url: str, **options: Any) -> Any:
    model = of("langchain_anthropic", "ChatAnthropic")
    known = {*model.model_fields, *(field.alias for field in model.model_fields.values())}  # type: ignore[attr-defined]
    if not options.keys() <= known:
        pytest.skip(f"this version of langchain-anthropic has no {options}")
    return model(model="claude-sonnet-4-5", base_url=url, api_key="none", **options)


def streamed(make: Callable[[str], Any], usage: dict[str, Any], question: Any = "Hi", **call: Any) -> CapturedSpan:
    """The span of a stream, with its cost."""
    with replaying(events(usage)) as server:
        return ask(make(server.url), "stream", question=question, call=call, cost=True)


def marked(**ttl: str) -> dict[str, Any]:
    return {"type": "ephemeral", **ttl}


@tool
def look(what: str) -> str:
    """Looks something up."""
    return what


def in_a_call(url: str, mark: dict[str, Any]) -> Any:
    return claude(url).bind(cache_control=mark)


def in_the_model(url: str, mark: dict[str, Any]) -> Any:
    return claude(url, model_kwargs={"cache_control": mark})


def in_a_tool(url: str, mark: dict[str, Any]) -> Any:
    offered = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}
    return claude(url).bind_tools([{**offered, "name": "first"}, {**offered, "cache_control": mark}])


def by_the_middleware(url: str, mark: dict[str, Any]) -> Any:
    # With older versions its import fails, because langchain has less than it needs.
    module = pytest.importorskip("langchain_anthropic.middleware", exc_type=ImportError)
    middleware = module.AnthropicPromptCachingMiddleware
    create_agent = pytest.importorskip("langchain.agents").create_agent
    return create_agent(claude(url, streaming=True), [look], middleware=[middleware(ttl=mark.get("ttl", "5m"))])


@pytest.mark.parametrize("place", [in_a_call, in_the_model, in_a_tool, by_the_middleware])
@pytest.mark.parametrize("mark", [marked(ttl="1h"), marked(ttl="5m"), marked()], ids=str)
def test_a_cache_that_is_asked_for_an_hour_has_no_cost(
    place: Callable[[str, dict[str, Any]], Any], mark: dict[str, Any]
) -> None:
    """Wherever a request asks for an hour, what is written to the cache is not priced as for five minutes."""
    question = {"messages": [("user", "Hi")]} if place is by_the_middleware else "Hi"
    span = streamed(lambda url: place(url, mark), WRITTEN, question)
    assert span.attributes["gen_ai.usage.cache_creation.input_tokens"] == 100_000
    assert ("gen_ai.cost.total_tokens" in span.attributes) is (mark.get("ttl") != "1h")


@pytest.mark.parametrize("place", ["the block", "its extras"])
def test_a_block_that_asks_for_an_hour_has_no_cost(place: str) -> None:
    """A block of Anthropic's has the mark itself, and one of LangChain's in its extras."""
    mark = {"cache_control": marked(ttl="1h")}
    file = {"type": "file", "base64": "aGk=", "mime_type": "application/pdf"}
    block = {**file, **(mark if place == "the block" else {"extras": mark})}
    span = streamed(claude, WRITTEN, [HumanMessage([{"type": "text", "text": "Hi"}, block])])
    assert span.attributes["gen_ai.usage.cache_creation.input_tokens"] == 100_000
    assert "gen_ai.cost.total_tokens" not in span.attributes


@pytest.mark.parametrize(
    ("made", "called", "has_cost"),
    [
        ({"inference_geo": "us"}, {}, False),
        ({"inference_geo": "global"}, {}, True),
        ({}, {"inference_geo": "us"}, False),
        ({"model_kwargs": {"speed": "fast"}}, {}, False),
        ({"model_kwargs": {"speed": "fast"}}, {"speed": "standard"}, True),
        ({}, {"speed": "fast"}, False),
        ({}, {"extra_body": {"speed": "fast"}}, False),
        ({"model_kwargs": {"service_tier": "standard_only"}}, {}, True),
        ({}, {}, True),
    ],
    ids=str,
)
def test_what_has_no_price_and_was_asked_for_has_no_cost(
    made: dict[str, Any], called: dict[str, Any], has_cost: bool
) -> None:
    """Anthropic's fast mode, and inference in one country, cost more than the list says, also in a stream."""
    create = pytest.importorskip("anthropic").resources.messages.Messages.create
    if "speed" in {**called, **made.get("model_kwargs", {})} and "speed" not in signature(create).parameters:
        pytest.skip("this version of anthropic has no speed")
    span = streamed(lambda url: claude(url, **made), USED, **called)
    assert ("gen_ai.cost.total_tokens" in span.attributes) is has_cost


def offering(mark: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "look", "input_schema": {"type": "object"}, "cache_control": mark}]


@pytest.mark.parametrize(
    ("given", "has_cost"),
    [
        ({"parameters": {"inference_geo": "us"}}, False),
        ({"parameters": {"speed": "fast"}}, False),
        ({"parameters": {"cache_control": marked(ttl="1h")}}, False),
        ({"parameters": {"tools": offering(marked(ttl="1h"))}}, False),
        ({"tools": offering(marked(ttl="1h"))}, False),
        ({"tools": offering(marked(ttl="5m")), "parameters": {"speed": "standard"}}, True),
        ({}, True),
    ],
    ids=str,
)
def test_a_tracked_stream_has_no_cost_either(given: dict[str, Any], has_cost: bool) -> None:
    """What was asked for decides where the events of Anthropic's own client do not say it."""
    with capture_spans(integrations=[SentryStreamIntegration(cost=True)]) as captured:
        items = iter([event for _, event in events(WRITTEN)])
        list(track_stream(items, model="claude-sonnet-4-5", provider="anthropic", messages="Hi", **given))
    attributes = captured.find(op="gen_ai.chat").attributes
    assert attributes["gen_ai.usage.cache_creation.input_tokens"] == 100_000
    assert ("gen_ai.cost.total_tokens" in attributes) is has_cost
