"""The question of a graph or an agent: what it was called with, and none if it goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import checkpoints
from sentry_langchain_stream.testing import capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.trees import ways
from tests.kit.trees.agents import HI, subgraph
from tests.kit.trees.script import actor, calls
from tests.kit.wire import content_allowed

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.mark.parametrize("way", [ways.invoke, ways.astream], ids=lambda way: way.__name__)
@pytest.mark.parametrize("allowed", [True, False])
@needs_async_context(lambda way: is_async(way))
async def test_a_graph_that_is_a_node_has_its_input(allowed: bool, way: ways.Run) -> None:
    """It is known to be a graph by its first node, which gets what the graph was asked."""
    with capture_spans(**content_allowed(allowed)) as captured:
        await way(subgraph("team", "inner"), HI, {"callbacks": [SentryStreamHandler()]})
    found = captured.find(name="invoke_agent inner").attributes.get("gen_ai.input.messages")
    if not allowed:
        assert found is None
        return
    asked = [part["content"] for message in json.loads(str(found)) for part in message["parts"]]
    assert asked[-1:] == ["Well."]


def ask(state: MessagesState) -> Any:
    """A node that waits for a human."""
    return {"messages": [("assistant", interrupt("Which?"))]}


def say(state: MessagesState) -> Any:
    """A node that answers at once."""
    return {"messages": [("assistant", "Well.")]}


def graph_of(*nodes: Any, name: str, **compiled: Any) -> Any:
    """A graph of these nodes, one after the other."""
    graph = StateGraph(MessagesState).add_sequence([(f"node {place}", node) for place, node in enumerate(nodes)])
    return graph.add_edge(START, "node 0").compile(name=name, **compiled)


def questions(app: Any, *asked: Any, of: str) -> list[str | None]:
    """What the span of a graph has as its question, for each of these calls in one thread."""
    config: Any = {"callbacks": [SentryStreamHandler()], "configurable": {"thread_id": "1"}}
    found = []
    for each in asked:
        with capture_spans(**content_allowed(True)) as captured:
            app.invoke(each, config)
        question = captured.find(name=f"invoke_agent {of}").attributes.get("gen_ai.input.messages")
        messages = json.loads(str(question)) if question is not None else None
        found.append(messages and [part["content"] for message in messages for part in message["parts"]][-1])
    return found


@pytest.mark.parametrize("nodes", [(ask,), (say, ask)], ids=["in its first node", "in its second node"])
@pytest.mark.parametrize("place", ["alone", "in a node"])
def test_a_graph_that_is_resumed_has_no_question(nodes: Any, place: str) -> None:
    """What it was asked is the earlier call's question, unless it begins anew: then a node gives it that again."""
    if place == "alone":
        app = graph_of(*nodes, name="inner", checkpointer=InMemorySaver())
    else:
        app = graph_of(graph_of(*nodes, name="inner"), name="team", checkpointer=InMemorySaver())
    begins_anew = place == "in a node" and len(nodes) == 1
    assert questions(app, HI, Command(resume="This."), of="inner") == ["Hi", "Hi" if begins_anew else None]


@pytest.mark.parametrize("inner", [graph_of(say, name="inner"), create_agent(actor("Done."), [], name="inner")])
@pytest.mark.parametrize("why", ["approval", "retry"])
def test_a_graph_that_begins_in_a_node_that_runs_again_has_its_question(inner: Any, why: str) -> None:
    """A node that waits for a human, or is tried again, asks a graph then for the first time."""
    attempts: list[int] = []

    def node(state: MessagesState) -> Any:
        attempts.append(1)
        if why == "approval":
            interrupt("May I?")
        elif len(attempts) == 1:
            raise ConnectionError
        return {"messages": inner.invoke({"messages": [("user", "The task.")]})["messages"][-1:]}

    policy = RetryPolicy(initial_interval=0.0, jitter=False, retry_on=ConnectionError)
    graph = StateGraph(MessagesState).add_node("ask", node, retry_policy=policy).add_edge(START, "ask")
    app: Any = graph.compile(name="team", checkpointer=InMemorySaver())
    asked = HI
    if why == "approval":
        app.invoke(HI, {"callbacks": [SentryStreamHandler()], "configurable": {"thread_id": "1"}})
        asked = Command(resume=True)
    assert questions(app, asked, of="inner") == ["The task."]


@pytest.mark.parametrize("place", ["alone", "in a node"])
def test_an_agent_that_is_resumed_has_no_question(place: str) -> None:
    """An agent is known by its start alone, and is not asked anything there either."""

    @tool(return_direct=True)
    def look(subject: str) -> str:
        """Ask a human."""
        return str(interrupt("Which?"))

    saver = InMemorySaver()
    scout = create_agent(
        actor(calls("look", subject="sky")), [look], name="scout", checkpointer=saver if place == "alone" else None
    )
    app = scout if place == "alone" else graph_of(scout, name="team", checkpointer=saver)
    assert questions(app, HI, Command(resume="This."), of="scout") == ["Hi", None]


def test_a_graph_that_starts_after_one_was_resumed_has_its_question() -> None:
    """Only what goes on has been asked before: the next graph is asked now."""
    app = graph_of(ask, graph_of(say, name="inner"), name="team", checkpointer=InMemorySaver())
    config: Any = {"callbacks": [SentryStreamHandler()], "configurable": {"thread_id": "1"}}
    app.invoke(HI, config)
    assert questions(app, Command(resume="This."), of="inner") == ["This."]


def test_a_graph_that_keeps_its_state_has_its_question_each_time() -> None:
    """The steps of a graph with a checkpointer of its own go on where those of the earlier call have ended."""
    inner = graph_of(say, name="inner", checkpointer=True)
    app = graph_of(inner, name="team", checkpointer=InMemorySaver())
    assert questions(app, HI, {"messages": [("user", "And now?")]}, of="inner") == ["Hi", "And now?"]


def test_a_graph_that_divides_its_work_has_its_own_question() -> None:
    """The first nodes of a graph may each be sent a part of the work."""

    def divide(state: MessagesState) -> list[Send]:
        return [Send("work", {"messages": [("user", part)]}) for part in ("part 1", "part 2")]

    inner = StateGraph(MessagesState).add_node("work", say).add_conditional_edges(START, divide, ["work"])
    below: Any = inner.compile(name="inner")

    def ask_it(state: MessagesState) -> Any:
        return below.invoke({"messages": [("user", "The whole")]})

    assert questions(graph_of(ask_it, name="team"), HI, of="inner") == ["The whole"]


def test_a_graph_in_a_node_has_its_input_where_checkpoints_are_recorded() -> None:
    """There it is known to be a graph by its first load, before its first node starts."""
    inner = StateGraph(MessagesState).add_node("first", lambda _: {"messages": [("assistant", "Well.")]})
    below = inner.add_edge(START, "first").compile(name="inner")
    graph = StateGraph(MessagesState).add_node("inner", below).add_edge(START, "inner")
    config: Any = {"callbacks": [SentryStreamHandler(checkpoints=True)], "configurable": {"thread_id": "1"}}
    try:
        with capture_spans(**content_allowed(True)) as captured:
            graph.compile(name="team", checkpointer=InMemorySaver()).invoke(HI, config)
    finally:
        checkpoints.uninstall()
    assert "gen_ai.input.messages" in captured.find(name="invoke_agent inner").attributes
