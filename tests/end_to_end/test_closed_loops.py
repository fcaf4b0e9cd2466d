"""Async streams that are left on an event loop which is closed before anybody closes the stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.absent import needs
from tests.kit.async_context import needs_async_context
from tests.kit.helpers import collect
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span

pytestmark = [needs("langgraph"), needs_async_context()]


def pump(stream: AsyncIterator[Any]) -> Iterator[Any]:
    """What sync code does with an async stream: it runs a loop for each item, and closes it when it has enough."""
    loop = asyncio.new_event_loop()
    try:
        while True:
            try:
                yield loop.run_until_complete(anext(stream))
            except StopAsyncIteration:
                return
    finally:
        loop.close()


async def answer(state: MessagesState) -> Any:
    """A node."""
    return {"messages": [await ScriptedModel().ainvoke(state["messages"])]}


def graph() -> Any:
    """A graph of two steps that stream."""
    made = StateGraph(MessagesState).add_node("one", answer).add_node("two", answer)
    return made.add_edge(START, "one").add_edge("one", "two").compile()


STREAMS: dict[str, Any] = {
    "model": (ScriptedModel, "Hi", {}),
    "chain": (lambda: RunnableLambda(str) | ScriptedModel(), "Hi", {}),
    "graph": (graph, {"messages": [("user", "Hi")]}, {"stream_mode": "updates"}),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("around", [True, False], ids=["in a request", "alone"])
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_stream_that_is_left_on_a_closed_loop_ends(
    shape: str, kind: str, around: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is collected, its run has ended as left, its span is below its parent, and nothing is live."""
    # Python tells of what LangChain then tries on the loop. Pytest would keep that, and the stream with it.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    make, question, options = STREAMS[kind]
    handler: Any = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        scope: Any = active_span(shape) if around else sentry_sdk.new_scope()

        def leave() -> None:
            for _ in pump(make().astream(question, {"callbacks": [handler]}, **options)):
                break
            collect()

        # Some loop of pytest's is set in this thread. LangChain would leave to it, for later, what it then tries.
        with scope, ThreadPoolExecutor(1) as thread:
            thread.submit(copy_context().run, leave).result()
    assert handler.live_runs == 0
    spans = {span.span_id: span for span in captured.spans}
    calls = captured.find_all(op="gen_ai.chat")
    assert calls
    for span in spans.values():
        assert span.parent_id is None or span.parent_id in spans, captured.tree()
    root = next(span for span in spans.values() if span.parent_id is None or spans[span.parent_id].op in ("test", None))
    assert root.attributes.get("langchain_stream.outcome", "abandoned") == "abandoned"


async def test_a_stream_in_a_cycle_was_left() -> None:
    """What a loop that runs closes only because garbage is collected was left by its consumer, and not cancelled."""
    handler: Any = SentryStreamHandler()
    with capture_spans() as captured:

        async def use() -> None:
            holder = SimpleNamespace()
            holder.itself = holder
            asked = {"messages": [("user", "Hi")]}
            holder.stream = graph().astream(asked, {"callbacks": [handler]}, stream_mode="updates")
            await anext(holder.stream)

        await use()
        collect()
        for _ in range(20):  # turns of the loop
            await asyncio.sleep(0)
        collect()
    assert handler.live_runs == 0
    assert captured.find(op="gen_ai.invoke_agent").attributes["langchain_stream.outcome"] == "abandoned"


async def test_a_step_of_a_graph_that_is_called_alone_is_not_ended_early() -> None:
    """LangGraph's own kind of chain keeps no callback manager while it runs; it is one run that completes."""
    chain: Any = pytest.importorskip("langgraph._internal._runnable").RunnableSeq

    async def slow(value: Any) -> Any:
        collect()
        await asyncio.sleep(0)
        return value

    handler: Any = SentryStreamHandler()
    with capture_spans() as captured:
        await chain(RunnableLambda(slow), ScriptedModel()).ainvoke("Hi", {"callbacks": [handler]})
    root, call = captured.find(op="function"), captured.find(op="gen_ai.chat")
    assert (call.parent_id, root.attributes["langchain_stream.outcome"]) == (root.span_id, "completed")


@pytest.mark.parametrize("kind", ["chain", "graph", "generator"])
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_a_call_that_is_left_on_a_closed_loop_was_cancelled(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has read a stream, though a graph and a generator read their own one to answer a call."""
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    waits = asyncio.Event()

    async def wait(_: Any) -> None:
        waits.set()
        await asyncio.get_running_loop().create_future()

    async def generate(_: Any) -> Any:
        yield "one "
        await wait(None)

    made: Any = RunnableGenerator(generate) if kind == "generator" else RunnableLambda(wait) | str
    if kind == "graph":
        node: Any = wait
        made = StateGraph(MessagesState).add_node("one", node).add_edge(START, "one").compile()
    handler: Any = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        loop = asyncio.new_event_loop()
        task = loop.create_task(made.ainvoke({"messages": []}, {"callbacks": [handler]}))
        loop.run_until_complete(waits.wait())
        loop.close()
        del task
        collect()
    assert handler.live_runs == 0
    (root,) = [span for span in captured.spans if span.parent_id is None]
    assert root.attributes["langchain_stream.outcome"] == "cancelled"
