"""Calls that are given up without a word from LangChain end soon, and leave nothing behind in a task that lives on."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sentry_sdk
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.retrievers import BaseRetriever

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs import enclosing
from sentry_langchain_stream._to_sentry.active_span import RunScope
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, child_span, current_span_id, fake_model

TIMES = 600
FEW = 50


class Waiting(BaseRetriever):
    """A retriever that never finds anything."""

    async def _aget_relevant_documents(self, query: str, **kwargs: Any) -> Any:
        await asyncio.Event().wait()

    def _get_relevant_documents(self, query: str, **kwargs: Any) -> Any:
        raise KeyboardInterrupt


class Raising(BaseCallbackHandler):
    """Somebody's handler that stops a model in its start."""

    raise_error = True

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no")


def forever(_: int) -> Any:
    """What a model waits for in vain."""
    return asyncio.Event().wait()


async def model_timeout(config: Any) -> None:
    async with asyncio.timeout(0):
        await ScriptedModel(before=forever).ainvoke("Hi", config)


async def model_wait_for(config: Any) -> None:
    await asyncio.wait_for(ScriptedModel(before=forever).ainvoke("Hi", config), 0.0001)


async def retriever_timeout(config: Any) -> None:
    async with asyncio.timeout(0):
        await Waiting().ainvoke("Hi", config)


async def retriever_interrupted(config: Any) -> None:
    Waiting().invoke("Hi", config)


async def another_handler_raises(config: Any) -> None:
    fake_model().invoke("Hi", {"callbacks": [*config["callbacks"], Raising()]})


async def stream_abandoned(config: Any) -> None:
    for _ in ScriptedModel().stream("Hi", config):
        break


async def failure(config: Any) -> None:
    def fail(_: int) -> None:
        raise ValueError("no")

    ScriptedModel(before=fail).invoke("Hi", config)


WAYS: tuple[Callable[[Any], Awaitable[None]], ...] = (
    *((model_timeout, retriever_timeout) if sys.version_info >= (3, 11) else ()),
    model_wait_for,
    retriever_interrupted,
    another_handler_raises,
    stream_abandoned,
    failure,
)


async def give_up(way: Callable[[Any], Awaitable[None]], config: Any) -> None:
    """Do it, and go on as an application does that expects it."""
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError, KeyboardInterrupt, RuntimeError, ValueError):
        await way(config)


async def settle(handler: SentryStreamHandler) -> None:
    """Some turns of the loop, in which a call that is over is noticed."""
    for _ in range(20):
        if not handler.live_runs:
            return
        await asyncio.sleep(0)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_call_that_was_given_up_ends_soon(shape: str, way: Callable[[Any], Awaitable[None]]) -> None:
    """Its span is sent though the task lives on, and what comes next is not inside of it."""
    handler: Any = SentryStreamHandler(capture_errors=False)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as application:
        await give_up(way, {"callbacks": [handler]})
        with child_span(shape, "next"):
            pass
        await settle(handler)
        assert handler.live_runs == 0
        assert current_span_id() == application
    assert captured.find(name="next").parent_id == application
    (outcome,) = {
        span.attributes["langchain_stream.outcome"]
        for span in captured.spans
        if span.op == "gen_ai.chat" or span.name.startswith("retrieve")
    }
    assert outcome in ("cancelled", "abandoned", "failed")


class Overriding(SentryStreamHandler):
    """A handler with methods of its own around those of ours."""

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> Any:
        return super().on_chat_model_start(*args, **kwargs)

    def on_retriever_start(self, *args: Any, **kwargs: Any) -> Any:
        return super().on_retriever_start(*args, **kwargs)


async def test_calls_of_all_kinds_end_soon_in_any_order() -> None:
    """Whatever was given up before, in whichever way and with whichever handler: what is given up next is noticed."""
    handlers: list[Any] = [SentryStreamHandler(capture_errors=False), Overriding(capture_errors=False)]
    given_up = 0
    with capture_spans() as captured, active_span("transaction", "application"):
        for way in (*WAYS, *reversed(WAYS)):
            for handler in (*handlers, *reversed(handlers)):
                await give_up(way, {"callbacks": [handler]})
                await settle(handler)
                assert handler.live_runs == 0, way.__name__
                given_up += 1
    outcomes = [span.attributes.get("langchain_stream.outcome") for span in captured.spans]
    assert len([each for each in outcomes if each in ("cancelled", "abandoned", "failed")]) == given_up


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_hundreds_that_were_given_up_leave_nothing(way: Callable[[Any], Awaitable[None]]) -> None:
    """In one task: no deeper scopes, no deeper stack, no live runs and no more objects of ours than after a few."""
    handler: Any = SentryStreamHandler(capture_errors=False)
    counts: list[int] = []
    before = {*enclosing._runs, *enclosing.started_elsewhere}
    with capture_spans(traces_sample_rate=0.0):
        for number in range(TIMES):
            await give_up(way, {"callbacks": [handler]})
            if number in (FEW, TIMES - 1):
                await settle(handler)
                gc.collect()
                counts.append(
                    sum(str(type(each).__module__).startswith("sentry_langchain_stream") for each in gc.get_objects())
                )
        await settle(handler)
        assert handler.live_runs == 0
        scope = sentry_sdk.get_current_scope()
        assert not isinstance(getattr(scope, "covered", None), RunScope)
        with sentry_sdk.new_scope(), sentry_sdk.start_span(name="application"):
            depth = len(inspect.stack(0))
        assert depth < 200
    few, many = counts
    assert many <= few + 20
    assert {*enclosing._runs, *enclosing.started_elsewhere} <= before
