"""A sequence that is a node of a graph, with a step that has something bound to it, in a graph that is called in a run.

LangGraph sets LangChain's context for the first step only, and what is bound takes its parent from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
import sentry_sdk
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}

BOUND: dict[str, Callable[[Runnable[Any, Any]], Runnable[Any, Any]]] = {
    "options": lambda step: step.bind(stop=["!"]),
    "tags": lambda step: step.with_config(tags=["mine"]),
    "nothing": lambda step: step,
}


class State(TypedDict):
    """What a graph is asked."""

    question: str


def graph(node: Any, name: str) -> Any:
    """A graph of one node."""
    built = StateGraph(State)
    built.add_node("node", node)
    built.add_edge(START, "node")
    return built.compile(name=name)


def spanned(question: str) -> str:
    """A step of the application's own, with a span."""
    with sentry_sdk.start_span(op="mine", name="mine"):
        return question


def spanned_streamed(question: str) -> str:
    """The same with streamed spans."""
    with sentry_sdk.traces.start_span("mine"):
        return question


def in_a_node(inner: Any) -> Runnable[Any, Any]:
    """The graph is a node of another one."""
    outer: Runnable[Any, Any] = graph(inner, "outer")
    return outer


def in_a_chain(inner: Any) -> Runnable[Any, Any]:
    """It is a step of a chain."""
    chain: Runnable[Any, Any] = RunnableLambda(lambda state: state) | inner | RunnableLambda(lambda state: state)
    return chain


def in_a_tool(inner: Any) -> Runnable[Any, Any]:
    """A tool calls it, which a node calls."""

    @tool
    def ask(question: str) -> str:
        """Ask somebody."""
        answer: str = inner.invoke({"question": question})["question"]
        return answer

    def node(state: State) -> State:
        return {"question": ask.invoke({"question": state["question"]})}

    outer: Runnable[Any, Any] = graph(node, "outer")
    return outer


@needs_async_context(lambda way: way == "ainvoke")
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("around", [in_a_node, in_a_chain, in_a_tool])
@pytest.mark.parametrize("bound", BOUND)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_it_is_in_the_graph_that_runs_it(shape: str, bound: str, around: Any, way: str) -> None:
    """A model, and a span of a function's, are below the agent, which has the model's tokens and gives it its name."""
    own = RunnableLambda(spanned_streamed if "lifecycle" in str(WIRE_SHAPES[shape]) else spanned)
    node = (
        RunnableLambda(lambda state: state["question"])
        | (own if bound == "options" else BOUND[bound](own))
        | BOUND[bound](ScriptedModel(usage=USAGE))
        | RunnableLambda(lambda answer: {"question": answer.text})
    )
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        asked = getattr(around(graph(node, "inner")), way)({"question": "Hi"}, {"callbacks": [handler]})
        if way == "ainvoke":
            await asked
    agent: CapturedSpan = captured.find(name="invoke_agent inner")
    call = captured.find(op="gen_ai.chat")
    assert (call.parent_id, call.attributes["gen_ai.agent.name"]) == (agent.span_id, "inner")
    assert captured.find(name="mine").parent_id == agent.span_id
    assert agent.attributes["gen_ai.usage.total_tokens"] == 12
    assert handler.live_runs == 0
