"""A streaming service whose clients leave; `test_disconnects.py` runs it in a process of its own.

It prints its port, and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from sse_starlette import EventSourceResponse

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.serve import listening
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit import HANG
from tests.kit.subjects import SUBJECTS
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed

PATIENCE = HANG / 4
"""Seconds after which a run is taken for one that never ends: sooner than its client gives up."""

RESPONSES: dict[str, Callable[[AsyncIterator[str]], Any]] = {
    "plain": lambda texts: StreamingResponse(_events(texts), media_type="text/event-stream"),
    "sse-starlette": EventSourceResponse,
}
"""The two ways to answer with server-sent events."""


async def _events(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    async for text in texts:
        yield f"data: {text}\n\n"


def held() -> ScriptedModel:
    """A model that says two pieces and is then silent for ever."""
    return ScriptedModel(before=lambda number: asyncio.Event().wait() if number == 2 else None)


def flowing() -> ScriptedModel:
    """A model that has more to say than anybody waits for."""
    return ScriptedModel(pieces=("more ",) * 20_000, before=lambda number: asyncio.sleep(0.001))


MODELS: dict[str, Callable[[], ScriptedModel]] = {"held": held, "flowing": flowing}
APPLICATIONS = {subject.name: subject for subject in SUBJECTS if subject.name in ("model", "chain")}


def service(captured: Captured) -> FastAPI:
    """The service, which also tells what Sentry was sent of it."""
    app = FastAPI()
    handler = SentryStreamHandler(pipeline_name="support-bot")
    asked: list[str] = []

    @app.get("/answer/{application}/{model}/{response}")
    async def answer(application: str, model: str, response: str) -> Any:
        subject = APPLICATIONS[application]
        asked.append(application)

        async def relay() -> AsyncIterator[str]:
            runnable = subject.make(MODELS[model]())
            async for chunk in runnable.astream(subject.question, config={"callbacks": [handler]}):
                yield chunk if isinstance(chunk, str) else chunk.text

        return RESPONSES[response](relay())

    @app.get("/report")
    async def report() -> dict[str, Any]:
        """What was sent since the last report, once all runs and their requests ended; it is then forgotten."""

        # A request ends after the run. A transaction brings both spans; as a stream, the run's span leaves alone.
        def has_everything() -> bool:
            requests = [model["request"] for model in _told(captured)["models"]]
            return not handler.live_runs and len(requests) >= len(asked) and None not in requests

        await _until(has_everything)
        told = _told(captured)
        captured.envelopes.clear()
        assert not captured.spans  # the spans that were read last are kept until they are read again
        asked.clear()
        return {**told, "live": handler.live_runs}

    @app.get("/memory")
    async def memory(below: int | None = None) -> int:
        """Bytes that are in use. With `below`, once they are fewer, or when patience is over."""
        # Some things take their time: asyncio's timers, also those that were cancelled, keep the context of a request.
        await _until(lambda: below is None or _in_use() < below)
        return _in_use()

    return app


async def _until(it_is_so: Callable[[], bool]) -> None:
    """Wait for it, or until patience is over."""
    begun = monotonic()
    while not it_is_so() and monotonic() - begun < PATIENCE:
        await asyncio.sleep(0.05)


def _in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _told(captured: Captured) -> dict[str, Any]:
    spans = captured.spans
    by_id = {span.span_id: span for span in spans}
    return {
        "models": [
            {
                "outcome": span.attributes.get("langchain_stream.outcome"),
                "chunks": span.attributes.get("langchain_stream.chunks"),
                "tokens": span.attributes.get("gen_ai.usage.output_tokens"),
                "source": span.attributes.get("langchain_stream.usage_source"),
                "said": span.attributes.get("gen_ai.output.messages"),
                "request": _request(span, by_id),
            }
            for span in spans
            if span.op == "gen_ai.chat"
        ],
        "issues": [event for event in captured.events if event.get("logger") != "asyncio"],
    }


def _request(span: CapturedSpan, by_id: dict[str, CapturedSpan]) -> str | None:
    """The id of the request's span that stands above a span."""
    above: CapturedSpan | None = span
    while above is not None and above.op != "http.server":
        above = by_id.get(above.parent_id or "")
    return above.span_id if above is not None else None


def main(shape: str) -> None:
    """Serve on a free port of 127.0.0.1."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        app = service(captured)
        with listening() as listener:
            tracemalloc.start()
            print(listener.getsockname()[1], flush=True)
            config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2)
            uvicorn.Server(config).run(sockets=[listener])
