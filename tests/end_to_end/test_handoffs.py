"""A handoff from one agent of a graph to another is one span beside the agent that hands off."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langgraph")
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Send

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.wire import DEFAULT_SHAPE, WAYS, WIRE_SHAPES, Way, content_allowed

QUESTION = {"messages": [("user", "Hi")]}


def hands_to(goto: Any, name: str | None = "alice") -> Any:
    """A graph whose one node hands over."""

    def decide(state: MessagesState) -> Command[Any]:
        return Command(graph=Command.PARENT, goto=goto)

    graph = StateGraph(MessagesState)
    graph.add_node("decide", decide)
    graph.add_edge(START, "decide")
    return graph.compile(name=name)


def answers(state: MessagesState) -> dict[str, Any]:
    """A plain function as a node."""
    return {"messages": [("ai", "done")]}


def team(alice: Any) -> Any:
    """A graph with an agent that hands over, and two plain functions that may continue."""
    graph = StateGraph(MessagesState)
    graph.add_node("alice", alice, destinations=("bob", "carol", END))
    graph.add_node("bob", answers)
    graph.add_node("carol", answers)
    graph.add_edge(START, "alice")
    return graph.compile(name="team")


def handoffs(captured: Captured) -> list[CapturedSpan]:
    """The spans of handoffs."""
    return [each for each in captured.spans if each.op == "gen_ai.handoff"]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_handoff_is_one_span_beside_the_agent(shape: str, way: Way) -> None:
    """It names both agents, belongs to the agent that hands off, and is a child of that agent's parent."""
    handler = SentryStreamHandler("bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(team(hands_to("bob")), QUESTION, {"callbacks": [handler]})
    (span,) = handoffs(captured)
    assert span.name == "handoff from alice to bob"
    assert span.parent_id == captured.find(name="invoke_agent alice").parent_id
    assert span.parent_id == captured.find(name="invoke_agent team").span_id
    expected = {
        "gen_ai.operation.name": "handoff",
        "gen_ai.agent.name": "alice",
        "gen_ai.pipeline.name": "bot",
        "langchain_stream.handoff_from": "alice",
        "langchain_stream.handoff_to": "bob",
        "langchain_stream.outcome": "completed",
    }
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_handoff_has_the_user_of_its_run(shape: str) -> None:
    """It is no run of LangChain's, so the metadata of the call do not reach it by themselves."""
    config: Any = {"callbacks": [SentryStreamHandler(user_key="user_id")], "metadata": {"user_id": "u1"}}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        team(hands_to("bob")).invoke(QUESTION, config)
    (span,) = handoffs(captured)
    assert span.attributes["user.id"] == "u1"


@pytest.mark.parametrize(
    ("goto", "names"),
    [
        (
            [Send("bob", QUESTION), Send("carol", QUESTION)],
            ["handoff from alice to bob", "handoff from alice to carol"],
        ),
        (["bob", "bob"], ["handoff from alice to bob"]),
        ((), []),
        (END, []),
    ],
)
def test_a_command_is_as_many_handoffs_as_it_names_agents(goto: Any, names: list[str]) -> None:
    """Each agent that continues is one handoff; the end of the graph and an update alone are none."""
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        team(hands_to(goto)).invoke(QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert [span.name for span in handoffs(captured)] == names


@pytest.mark.parametrize(
    ("client", "settings", "shown"),
    [
        ({}, {}, "[Filtered]"),
        (content_allowed(True), {"include_prompts": False}, "[Filtered]"),
        (content_allowed(True), {"redact": lambda text: text.replace("Meier", "***")}, "Dr. *** about my rash"),
        (content_allowed(True), {}, "Dr. Meier about my rash"),
    ],
)
def test_a_target_that_is_no_name_is_content(client: dict[str, Any], settings: dict[str, Any], shown: str) -> None:
    """A tool may take the model's word for where to go on, which need be no agent's name."""
    with capture_spans(**client) as captured:
        team(hands_to("Dr. Meier about my rash")).invoke(QUESTION, {"callbacks": [SentryStreamHandler(**settings)]})
    (span,) = handoffs(captured)
    assert span.name == f"handoff from alice to {shown}"
    assert span.attributes["langchain_stream.handoff_to"] == shown


@pytest.mark.parametrize("name", ["alice", None])
def test_a_graph_called_in_a_node_hands_over_too(name: str | None) -> None:
    """The agent may be called in a function that is the node, and need have no name of its own."""
    inner = hands_to("bob", name=name)

    def call(state: MessagesState) -> Any:
        return inner.invoke(state)

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        team(call).invoke(QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert [span.name for span in handoffs(captured)] == ["handoff from alice to bob"]


def test_going_on_within_a_graph_is_no_handoff() -> None:
    """A command without a parent graph only chooses the next node."""

    def route(state: MessagesState) -> Command[Any]:
        return Command(goto="bob")

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        team(route).invoke(QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert handoffs(captured) == []
