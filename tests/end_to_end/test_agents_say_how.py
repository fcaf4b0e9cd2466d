"""How agents and tools ended, where LangChain's event does not say it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from langchain.agents import create_agent, factory
from langchain.agents.middleware import wrap_tool_call
from langchain.tools import ToolRuntime
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from langgraph import errors
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from sentry_sdk.integrations.langgraph import LanggraphIntegration

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.trees.agents import HI
from tests.kit.trees.script import actor, calls
from tests.kit.wire import WIRE_SHAPES

CONTROL = "langchain_stream.control"


def run(app: Any, shape: str, expected: type[Exception] | None = None) -> Captured:
    """Run an application once, perhaps to an exception."""
    config: Any = {"callbacks": [SentryStreamHandler()], "configurable": {"thread_id": "1"}}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if expected is None:
            app.invoke(HI, config)
        else:
            with pytest.raises(expected):
                app.invoke(HI, config)
    return captured


@tool
def look(subject: str, runtime: ToolRuntime) -> Any:
    """Look something up, in vain."""
    failed = ToolMessage("Nothing there.", status="error", tool_call_id=runtime.tool_call_id)
    return Command(update={"messages": [failed]})


@tool
def remind(subject: str) -> Any:
    """Say that another call has failed, but not this one."""
    failed = ToolMessage("Nothing there.", status="error", tool_call_id="another")
    return [failed, ToolMessage("Done.", tool_call_id="own")]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_tool_that_returns_its_failure_in_a_command_has_failed(shape: str) -> None:
    """As one that returns it as a message: the agent goes on, so there is no issue."""
    captured = run(create_agent(actor(calls("look", subject="sky"), "Well."), [look]), shape)
    attributes = captured.find(op="gen_ai.execute_tool").attributes
    assert (attributes["langchain_stream.outcome"], attributes["error.type"]) == ("failed", "tool_error")
    assert captured.events == []


def test_a_tool_that_returns_the_failure_of_another_has_not_failed() -> None:
    """Among several messages, the one that answers the tool's own call counts."""
    call = {"name": "remind", "args": {"subject": "sky"}, "id": "own", "type": "tool_call"}
    with capture_spans() as captured:
        remind.invoke(call, {"callbacks": [SentryStreamHandler()]})
    assert captured.find(op="gen_ai.execute_tool").attributes["langchain_stream.outcome"] == "completed"


@tool
def ask(subject: str) -> str:
    """Ask a human."""
    return str(interrupt("Sure?"))


@tool
def fail(subject: str) -> str:
    """Fail."""
    raise ValueError(subject)


@wrap_tool_call
def decides_itself(request: Any, handler: Any) -> Any:
    """Answers in place of the human."""
    try:
        return handler(request)
    except GraphInterrupt:
        return ToolMessage("Yes.", tool_call_id=request.tool_call["id"])


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_agent_that_goes_on_does_not_wait_for_a_human(shape: str) -> None:
    """A middleware catches the interrupt of a tool: the tool was interrupted, and the agent was not."""
    model = actor(calls("ask", subject="it"), "Done.")
    app = create_agent(model, [ask], middleware=[decides_itself], checkpointer=InMemorySaver())
    captured = run(app, shape)
    assert captured.find(op="gen_ai.execute_tool").attributes[CONTROL] == "interrupt"
    assert CONTROL not in captured.find(op="gen_ai.invoke_agent").attributes


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_agent_that_fails_meanwhile_does_not_wait_for_a_human(shape: str) -> None:
    """One node of a graph waits for a human, and another one fails: so does the graph."""

    def asks(state: MessagesState) -> Any:
        interrupt("Sure?")

    def fails(state: MessagesState) -> Any:
        raise ValueError

    graph: Any = StateGraph(MessagesState).add_node("asks", asks).add_node("fails", fails)
    graph.add_edge(START, "asks").add_edge(START, "fails")
    captured = run(graph.compile(checkpointer=InMemorySaver()), shape, expected=ValueError)
    attributes = captured.find(op="gen_ai.invoke_agent").attributes
    assert attributes["langchain_stream.outcome"] == "failed"
    assert CONTROL not in attributes


@pytest.mark.skipif(not hasattr(errors, "GraphDrained"), reason="came with LangGraph 1.2")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_graph_that_was_asked_to_stop_says_so(shape: str) -> None:
    """A graph that stops between two steps, because the process is about to exit, is not one that was finished."""
    from langgraph.runtime import RunControl

    control = RunControl()

    def first(state: MessagesState) -> Any:
        control.request_drain("shutdown")

    graph: Any = StateGraph(MessagesState).add_node("first", first).add_node("second", lambda state: None)
    app = graph.add_edge(START, "first").add_edge("first", "second").compile()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, pytest.raises(errors.GraphDrained):
        app.invoke(HI, {"callbacks": [SentryStreamHandler()]}, control=control)
    attributes = captured.find(op="gen_ai.invoke_agent").attributes
    assert (attributes["langchain_stream.outcome"], attributes[CONTROL]) == ("completed", "drained")
    assert captured.events == []


@pytest.mark.skipif("lc_agent_name" not in inspect.getsource(factory), reason="this langchain says nothing of agents")
def test_a_model_says_whose_it_is_in_an_agent_of_sentrys() -> None:
    """With the handler in the model alone, Sentry's integration follows the agent: the model's span has its name."""
    model = actor("Done.")
    model.callbacks = [SentryStreamHandler()]
    with capture_spans(integrations=[LanggraphIntegration()]) as captured:
        create_agent(model, [], name="scout").invoke(HI)
    attributes = captured.find(op="gen_ai.chat").attributes
    assert (attributes["gen_ai.agent.name"], attributes["gen_ai.pipeline.name"]) == ("scout", "scout")
