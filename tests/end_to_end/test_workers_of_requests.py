"""A task that works for all requests, and was started by one of them: it has the scope of that one for ever."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sentry_sdk
from sentry_sdk.integrations.starlette import StarletteIntegration
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import joining
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, fake_model

ABOVE = "b" * 16
SERVER: dict[str, Any] = {"auto_enabling_integrations": False, "integrations": [StarletteIntegration()]}
"""Options with which Sentry adds no header to the client's requests."""


@pytest.fixture
def trace() -> str:
    """A trace of its own for each test, as what has ended is remembered by its trace."""
    return uuid4().hex


@asynccontextmanager
async def service() -> AsyncIterator[httpx.AsyncClient]:
    """A client of a service that answers from a queue. Its worker is started by the first request."""
    handler = SentryStreamHandler(pipeline_name="bot")
    queue: asyncio.Queue[asyncio.Future[str]] = asyncio.Queue()
    workers: list[asyncio.Task[None]] = []

    async def work() -> None:
        while True:
            answered = await queue.get()
            answered.set_result((await fake_model("one").ainvoke("Hi", {"callbacks": [handler]})).text)

    async def ask(_: Request) -> PlainTextResponse:
        if not workers:
            workers.append(asyncio.create_task(work()))
        answered = asyncio.get_running_loop().create_future()
        await queue.put(answered)
        return PlainTextResponse(await answered)

    transport = httpx.ASGITransport(app=Starlette(routes=[Route("/ask", ask)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield client
    for worker in workers:
        worker.cancel()


@pytest.mark.parametrize("sampled", ["1", "0"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_worker_is_a_part_of_the_request_that_started_it_for_some_minutes(
    shape: str, sampled: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does later has a trace of its own, and is sent, also where that request was not sampled."""
    with capture_spans(**WIRE_SHAPES[shape], **SERVER) as captured:
        async with service() as client:
            first = {"sentry-trace": f"{trace}-{ABOVE}-{sampled}"}
            for minutes, headers in [(0, first), (1, {}), (10, {}), (11, {})]:
                monkeypatch.setattr(joining, "monotonic", lambda now=minutes: monotonic() + 60 * now)
                await client.get("/ask", headers=headers)
    traces = [span.trace_id for span in captured.find_all(op="gen_ai.chat")]
    assert traces.count(trace) == (2 if sampled == "1" else 0)
    later = [span for span in captured.find_all(name="bot") if span.trace_id != trace]
    assert [span.parent_id for span in later] == [None, None]
    assert len({span.trace_id for span in later}) == 2


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_request_is_not_over_because_another_one_of_its_trace_is(
    shape: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's requests may all continue one span: what belongs to the latest of them joins it."""
    with capture_spans(**WIRE_SHAPES[shape], **SERVER) as captured:
        for minutes in (0, 10):
            monkeypatch.setattr(joining, "monotonic", lambda now=minutes: monotonic() + 60 * now)
            async with service() as client:
                for _ in range(2):
                    await client.get("/ask", headers={"sentry-trace": f"{trace}-{ABOVE}-1"})
    assert {span.trace_id for span in captured.find_all(op="gen_ai.chat")} == {trace}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_trace_without_a_request_is_joined_however_long(
    shape: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that continues a trace, and makes no span of its own, has it for as long as it takes."""
    handler: Any = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape], **SERVER) as captured, sentry_sdk.isolation_scope():
        sentry_sdk.continue_trace({"sentry-trace": f"{trace}-{ABOVE}-1"})
        for minutes in (0, 10, 20):
            monkeypatch.setattr(joining, "monotonic", lambda now=minutes: monotonic() + 60 * now)
            await fake_model("one").ainvoke("Hi", {"callbacks": [handler]})
    assert [(span.trace_id, span.parent_id) for span in captured.find_all(name="bot")] == [(trace, ABOVE)] * 3


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_span_in_a_job_is_not_the_end_of_its_trace(
    shape: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that continues a trace, and opens a span for a part of its work, has the trace after that, too."""
    incoming = {"sentry-trace": f"{trace}-{ABOVE}-1"}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, sentry_sdk.isolation_scope():
        if shape == "stream":
            sentry_sdk.traces.continue_trace(incoming)
            with sentry_sdk.traces.start_span(name="load"):
                pass
        else:
            with sentry_sdk.start_transaction(sentry_sdk.continue_trace(incoming), name="load"):
                pass
        monkeypatch.setattr(joining, "monotonic", lambda: monotonic() + 600)
        await fake_model("one").ainvoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert captured.find(name="bot").trace_id == trace


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_worker_of_a_busy_service_is_not_in_one_trace_for_ever(
    shape: str, trace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the end of its request was forgotten among many, it is a part of that for some minutes more, once."""
    monkeypatch.setattr(joining, "_MOST", 2)
    monkeypatch.setattr(joining, "_over", OrderedDict())
    with capture_spans(**WIRE_SHAPES[shape], **SERVER) as captured:
        async with service() as client, service() as other:
            await client.get("/ask", headers={"sentry-trace": f"{trace}-{ABOVE}-1"})
            for minutes in (10, 20, 30):
                monkeypatch.setattr(joining, "monotonic", lambda now=minutes: monotonic() + 60 * now)
                for _ in range(3):
                    await other.get("/ask", headers={"sentry-trace": f"{uuid4().hex}-{ABOVE}-1"})
                await client.get("/ask")
    calls = captured.find_all(op="gen_ai.chat")
    assert [len(calls), [call.trace_id for call in calls].count(trace)] == [13, 2]
