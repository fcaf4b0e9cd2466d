"""The question that the doctor asks an application's own chain."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

pytest.importorskip("langgraph")
from langgraph.graph import START, StateGraph

from sentry_langchain_stream.doctor.own_chain import suitable_input
from sentry_langchain_stream.doctor.probe import QUESTION


class State(TypedDict):
    """The state of a graph, as most applications write it."""

    messages: list[Any]


class Topic(TypedDict):
    """A state without messages."""

    topic: str


@pytest.mark.parametrize(
    ("state", "expected"), [(State, {"messages": [("human", QUESTION)]}), (Topic, {"topic": QUESTION})]
)
def test_a_graph_gets_a_question_in_its_state(state: Any, expected: Any) -> None:
    """Before Python 3.12 pydantic makes no schema of a `typing.TypedDict`, so the fields of the state say what fits."""
    graph = StateGraph(state).add_node("answer", lambda state: state).add_edge(START, "answer").compile()
    assert suitable_input(graph) == suitable_input(graph.with_config(tags=["mine"])) == expected
