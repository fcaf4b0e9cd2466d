"""The question that the doctor asks an application's own chain."""

from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest

pytest.importorskip("langgraph")
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph

from sentry_langchain_stream.doctor.own_chain import suitable_input, thread_of
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


def test_a_graph_with_memory_gets_a_thread_of_the_probes_own() -> None:
    """Without one it raises; one that the application has bound to it stays, and no other chain gets one."""
    built = StateGraph(Topic).add_node("answer", lambda state: state).add_edge(START, "answer")

    async def ask(asked: Any) -> None:
        async for _ in asked.astream({"topic": QUESTION}, thread_of(asked)):
            pass

    saver = InMemorySaver()
    graph = built.compile(checkpointer=saver)
    for asked in (graph, graph, graph.with_config({"configurable": {"thread_id": "mine"}})):
        asyncio.run(ask(asked))
    first, second, third = saver.storage
    assert first != second
    assert first.startswith("doctor-")
    assert third == "mine"
    assert thread_of(built.compile()) == thread_of(object()) == {}
