"""The article's own case: a FastAPI route that relays a model's stream as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from sentry_sdk.integrations.fastapi import FastApiIntegration
from sentry_sdk.integrations.starlette import StarletteIntegration

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import SLACK, WAYS, WIRE_SHAPES, Way, current_span_id

# Older SDKs make a span of each middleware of their own accord.
PLAIN = [StarletteIntegration(middleware_spans=False), FastApiIntegration(middleware_spans=False)]
PIECES = ("Spans ", "stay ", "open.")


def service(url: str, handler: SentryStreamHandler, times: list[float], current: list[str | None]) -> FastAPI:
    """An application whose route notes when it yields, and which span is current then."""
    app = FastAPI()
    model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), stream_usage=True)

    @app.get("/answer")
    async def answer(question: str) -> StreamingResponse:
        async def relay() -> AsyncIterator[str]:
            current.append(current_span_id())
            async for chunk in model.astream(question, config={"callbacks": [handler]}):
                times.append(time.time())
                current.append(current_span_id())
                yield f"data: {chunk.text}\n\n"
            current.append(current_span_id())

        return StreamingResponse(relay(), media_type="text/event-stream")

    @app.get("/way/{name}")
    async def call(name: str, question: str) -> str:
        way = next(way for way in WAYS if way.name == name)
        await way.run(model, question, {"callbacks": [handler]})
        return "done"

    return app


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_span_is_open_across_all_yields_of_the_route(shape: str) -> None:
    """It starts before the first chunk and ends after the last, below the request, and is never the current one."""
    times: list[float] = []
    current: list[str | None] = []
    handler = SentryStreamHandler(pipeline_name="support-bot")
    endpoint = create_endpoint(Answer(pieces=PIECES, prompt_tokens=9, completion_tokens=3))
    with serving(endpoint) as url, capture_spans(**WIRE_SHAPES[shape], integrations=PLAIN) as captured:
        app = service(url, handler, times, current)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            response = await client.get("/answer", params={"question": "Why?"})
    assert response.text.replace("data: ", "").replace("\n\n", "") == "Spans stay open."
    request = captured.find(op="http.server")
    span = captured.find(op="gen_ai.chat")
    assert span.parent_id == request.span_id
    assert span.start < times[0] <= times[-1] <= span.end + SLACK
    assert span.end <= request.end + SLACK
    assert set(current) == {request.span_id}
    assert span.attributes["ai.total_tokens"] == 12
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_inside_a_request_every_way_of_calling_is_one_span_below_it(shape: str, way: Way) -> None:
    """Whatever way the route calls the model, the request has one model span directly below it."""
    handler: Any = SentryStreamHandler()
    endpoint = create_endpoint(Answer(pieces=PIECES, prompt_tokens=9, completion_tokens=3))
    with serving(endpoint) as url, capture_spans(**WIRE_SHAPES[shape], integrations=PLAIN) as captured:
        app = service(url, handler, [], [])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            response = await client.get(f"/way/{way}", params={"question": "Why?"})
    assert response.status_code == 200
    span = captured.find(op="gen_ai.chat")
    assert span.parent_id == captured.find(op="http.server").span_id
    assert span.attributes["ai.total_tokens"] == 12
    assert handler.live_runs == 0
