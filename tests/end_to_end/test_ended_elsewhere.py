"""Spans of the application that end in another thread or task than where they began, inside of a run."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.async_context import needs_async_context
from tests.kit.inside import parent_of
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, child_span


def begun(shape: str, name: str) -> Any:
    """A span of the application's, which is active from now on."""
    if shape == "stream":
        return sentry_sdk.traces.start_span(name)
    return sentry_sdk.start_span(op="test", name=name).__enter__()


def end(shape: str, span: Any) -> None:
    """End it, wherever this is."""
    span.end() if shape == "stream" else span.__exit__(None, None, None)


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_a_span_that_has_ended_in_a_thread_is_not_active_any_more(shape: str, sampled: bool) -> None:
    """What follows in the run is below the run, and its messages are linked to that."""

    def work(_: str) -> None:
        job = begun(shape, "job")
        thread = Thread(target=end, args=(shape, job))
        thread.start()
        thread.join(HANG)
        with child_span(shape, "after"):
            pass
        sentry_sdk.capture_message("done")

    rate = 1.0 if sampled else 0.0
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=rate) as captured:
        RunnableLambda(work).invoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert len(captured.events) == 1
    if not sampled:
        assert captured.spans == []
        return
    root = captured.find(name="bot")
    assert parent_of(captured, captured.find(name="after")) == root
    assert captured.events[0]["contexts"]["trace"]["span_id"] == root.span_id


@needs_async_context()
@pytest.mark.parametrize("shape", BOTH_MODELS)
async def test_spans_of_tasks_that_overlap_leave_none_active(shape: str) -> None:
    """Tasks of a run end their spans in another order than they have begun them."""

    async def task(name: str, turns: int) -> None:
        span = begun(shape, name)
        for _ in range(turns):
            await asyncio.sleep(0)
        end(shape, span)

    async def work(_: str) -> None:
        await asyncio.gather(task("one", 2), task("two", 4))
        with child_span(shape, "after"):
            pass

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await RunnableLambda(work).ainvoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert parent_of(captured, captured.find(name="after")) == captured.find(name="bot")
