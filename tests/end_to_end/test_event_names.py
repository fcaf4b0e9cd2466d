"""How Sentry names the application's events during and after runs: as it does without us."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from contextvars import copy_context
from threading import Thread
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.wire import WIRE_SHAPES, active_span, child_span


def tool(does: Any, shape: str) -> BaseTool:
    """A tool that does this, sync or async."""

    def act() -> str:
        """Act."""
        does(shape)
        return "done"

    async def aact() -> str:
        """Act."""
        await asyncio.sleep(0)
        return act()

    return StructuredTool.from_function(act, coroutine=aact, name="act")


def in_a_span(shape: str) -> None:
    """Do something in an ordinary span, as a query of a database."""
    with child_span(shape, "select 1"):
        pass


def in_a_root(shape: str) -> None:
    """Do something in a root of the application's own."""
    with active_span(shape, "mine"):
        pass


def in_both(shape: str) -> None:
    """Do both, and the one in the other."""
    with child_span(shape, "outer"):
        in_a_root(shape)
    with active_span(shape, "mine"):
        in_a_span(shape)


def in_a_thread(shape: str) -> None:
    """Hand the active span to a thread, and do something there in an ordinary span."""
    handed_on = "streamed_span" if shape == "stream" else "span"
    span = getattr(sentry_sdk.get_current_scope(), handed_on)

    def work() -> None:
        setattr(sentry_sdk.get_current_scope(), handed_on, span)
        in_a_span(shape)

    thread = Thread(target=copy_context().run, args=(work,))
    thread.start()
    thread.join()


@pytest.mark.parametrize("does", [in_a_span, in_a_root, in_both, in_a_thread])
@pytest.mark.parametrize("how", ["chain", "tool", "ainvoke a tool"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda how: "ainvoke" in how)
async def test_later_events_are_not_named_after_a_root_run(shape: str, how: str, does: Any) -> None:
    """A job without a transaction has the name that the application has given it, whatever its runs have done."""
    with (
        capture_spans(**WIRE_SHAPES[shape], auto_enabling_integrations=False) as captured,
        sentry_sdk.isolation_scope(),
    ):
        sentry_sdk.get_current_scope().set_transaction_name("/ask", source="route")
        config: Any = {"callbacks": [SentryStreamHandler()]}
        if how == "chain":
            (RunnableLambda(lambda _: does(shape)) | RunnableLambda(str)).invoke("Hi", config)
        elif how == "tool":
            tool(does, shape).invoke({}, config)
        else:
            await tool(does, shape).ainvoke({}, config)
        sentry_sdk.capture_message("later")
    (later,) = captured.events
    assert (later["transaction"], later["transaction_info"]) == ("/ask", {"source": "route"})


@pytest.mark.parametrize("is_renamed", [False, True], ids=["", "renamed since"])
@pytest.mark.parametrize("around_it", [True, False], ids=["in a request", "alone"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_later_events_are_not_named_after_a_root_that_outlives_its_run(
    shape: str, around_it: bool, is_renamed: bool
) -> None:
    """What a node has begun in the background, in a root of its own, ends after the graph: events keep their name."""
    graph_is_over, begun = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        with active_span(shape, "in the background"):
            begun.set()
            await graph_is_over.wait()

    tasks = []

    async def node(state: MessagesState) -> dict[str, Any]:
        tasks.append(asyncio.create_task(work()))
        await begun.wait()
        return {"messages": []}

    graph: Any = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(name="office")
    with (
        capture_spans(**WIRE_SHAPES[shape], auto_enabling_integrations=False) as captured,
        sentry_sdk.isolation_scope() as scope,
        active_span(shape, "request") if around_it else nullcontext(),
    ):
        if not around_it:
            scope.set_transaction_name("request")
        await graph.ainvoke({"messages": [("user", "Hi")]}, {"callbacks": [SentryStreamHandler()]})
        if is_renamed:
            sentry_sdk.get_current_scope().set_transaction_name("renamed")
        graph_is_over.set()
        await asyncio.gather(*tasks)
        sentry_sdk.capture_message("later")
    (later,) = captured.events
    assert later["transaction"] == ("renamed" if is_renamed else "request")
