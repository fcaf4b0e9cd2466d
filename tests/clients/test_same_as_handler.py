"""One answer, streamed through LangChain's class with a handler and through the raw client with `track_stream`.

Both spans have the same attributes, but for times and what LangChain's class does not hand on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.testing import Captured, capture_spans
from sentry_langchain_stream.tracking import AsyncTrackedStream
from tests.clients.apis import APIS
from tests.clients.apis.shared import QUESTION, SYSTEM, Api
from tests.kit.replay import replaying
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES, content_allowed

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

TIMES = (
    "first_chunk",
    "tokens_per_second",
    "decode_rate",
    "longest_gap",
    "final_silence",
    "thread.",
    "sentry.",
    "sdk.",
)
NAMES = ("pipeline", "run_name", "function")
"""A run of LangChain's has a name of its own."""

CASES = [pytest.param(api, kind, id=f"{api}-{kind}") for api in APIS for kind in api.kinds]


def told(captured: Captured) -> dict[str, Any]:
    """The attributes of our span without times and names. Sentry's integration of boto3 makes a span of its own."""
    [span] = [each for each in captured.find_all(op="gen_ai.chat") if "langchain_stream.outcome" in each.attributes]
    found = {key: value for key, value in span.attributes.items() if not any(each in key for each in TIMES + NAMES)}
    if "gen_ai.output.messages" in found:  # ChatOllama makes an id for each tool call
        found["gen_ai.output.messages"] = re.sub(r'"[0-9a-f-]{36}"', "null", found["gen_ai.output.messages"])
    return found


def without(attributes: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """All attributes but these."""
    return {key: value for key, value in attributes.items() if key not in keys}


def by_handler(api: Api, kind: str, left: bool, shape: str) -> dict[str, Any]:
    """The span of the answer that LangChain's class streams. A consumer who leaves does so at the second text."""
    with replaying(api.answer(kind)) as server, capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as spans:
        model = api.langchain(server.url)
        if kind == "tool":
            model = model.bind(tools=api.tools["tools"] if isinstance(api.tools, dict) else api.tools)
        stream = model.stream([("system", SYSTEM), ("user", QUESTION)], {"callbacks": [SentryStreamHandler()]})
        texts = 0
        for chunk in stream:
            texts += bool(chunk.text)
            if left and texts == 2:
                break
        stream.close()
    return told(spans)


async def by_track_stream(api: Api, kind: str, left: bool, shape: str, way: str) -> dict[str, Any]:
    """The span of the answer that the client library streams."""
    tools = {"tools": api.tools} if kind == "tool" else {}
    with replaying(api.answer(kind)) as server, capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as spans:
        if way == "sync":
            sync = track_stream(api.stream(server.url, tools), **api.same, **tools)
            with sync:
                for number, _ in enumerate(sync, 1):
                    if left and number == api.leave_after:
                        break
        else:
            if api.astream is None:
                pytest.skip("this library has no async client")
            stream: AsyncTrackedStream[Any] = track_stream(api.astream(server.url, tools), **api.same, **tools)
            async with stream:
                number = 0
                async for _ in stream:
                    number += 1
                    if left and number == api.leave_after:
                        break
    return told(spans)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize(("api", "kind"), CASES)
async def test_a_whole_stream(api: Api, kind: str, way: str) -> None:
    """A stream that is read to its end tells the same of request, answer, tokens and outcome either way."""
    tracked = await by_track_stream(api, kind, False, DEFAULT_SHAPE, way)
    handled = by_handler(api, kind, False, DEFAULT_SHAPE)
    assert without(tracked, api.better) == without(handled, (*api.better, *api.assumed))
    assert all(tracked.get(key) for key in api.better)


@pytest.mark.parametrize("way", ["sync", "async"])
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_a_stream_that_is_left(api: Api, way: str) -> None:
    """A stream that its consumer leaves at the second text tells the same of what had arrived either way."""
    tracked = await by_track_stream(api, "text", True, DEFAULT_SHAPE, way)
    handled = by_handler(api, "text", True, DEFAULT_SHAPE)
    better = (*api.better, *api.better_left)
    assert tracked["langchain_stream.outcome"] == "abandoned"
    assert without(tracked, better) == without(handled, better)
    assert any(tracked.get(key) for key in better) == bool(better)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("api", APIS, ids=str)
async def test_each_wire_shape(api: Api, shape: str) -> None:
    """In each of the SDK's wire shapes the provider's tokens and the answer arrive."""
    tracked = await by_track_stream(api, "text", False, shape, "sync")
    assert [tracked[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output", "total")] == [20, 9, 29]
    assert tracked["gen_ai.usage.cache_read.input_tokens" if api.id != "ollama" else "gen_ai.usage.input_tokens"]
    assert tracked["langchain_stream.usage_source"] == "provider"
    assert "A span shows durations." in tracked["gen_ai.output.messages"]
