"""Agents and graphs, with scripted models."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from tests.kit.trees.script import Tool, actor, calls

HI: Any = {"messages": [HumanMessage("Hi")]}
THREAD: Any = {"configurable": {"thread_id": "thread-1"}}


marked = pytest.mark.skipif(
    "ls_integration" not in ((create_agent(actor("Done."), []).config or {}).get("metadata") or {}),
    reason="langchain before 1.2.13 does not mark its agents",
)
"""What needs an agent that is known for one of `create_agent`."""


def fail(subject: str) -> str:
    raise ToolException("no such thing")


def agent(**options: Any) -> Any:
    """An agent that calls a tool, and then answers."""
    return create_agent(actor(calls("look", subject="it"), "Done."), [Tool(name="look", **options)], name="scout")


def parallel_tools() -> Any:
    model = actor(calls("look", "weigh", subject="it"), calls("look", subject="more"), "Done.")
    return create_agent(model, [Tool(name="look"), Tool(name="weigh")], name="scout")


def interrupted() -> Any:
    ask = Tool(name="ask", does=lambda subject: interrupt("Sure?"))
    model = actor(calls("ask", subject="it"), "Done.")
    return create_agent(model, [ask], name="scout", checkpointer=InMemorySaver())


def handoff() -> Any:
    """Two agents, each a node of a graph; the first hands over to the second by a tool."""

    @tool
    def transfer(subject: str) -> Any:
        """Let the clerk go on."""
        done = ToolMessage("Over to you.", tool_call_id="call-1")
        return Command(goto="clerk", graph=Command.PARENT, update={"messages": [done]})

    graph: Any = StateGraph(MessagesState)
    graph.add_node("scout", create_agent(actor(calls("transfer", subject="it")), [transfer], name="scout"))
    graph.add_node("clerk", create_agent(actor("Done.", name="large"), [], name="clerk"))
    graph.add_edge(START, "scout")
    return graph.compile(name="office")


def ask(model: Any) -> Any:
    """A node that asks a model."""

    def node(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [model.invoke(state["messages"], config)]}

    return node


def one_node(node: Any, name: str | None, called: str = "work") -> Any:
    graph: Any = StateGraph(MessagesState)
    graph.add_node(called, node)
    graph.add_edge(START, called)
    return graph.compile(name=name)


def subgraph(outer: str | None, inner: str | None) -> Any:
    """A graph with a node that asks a model, and one that is a graph of such."""
    graph: Any = StateGraph(MessagesState)
    graph.add_node("first", ask(actor("Well.", name="large")))
    graph.add_node("second", one_node(ask(actor("Done.")), inner))
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    return graph.compile(name=outer)


def subgraph_in_a_function(outer: str | None, inner: str | None) -> Any:
    """A graph with a node that calls another graph."""
    below = one_node(ask(actor("Done.")), inner)

    def node(state: Any, config: RunnableConfig) -> Any:
        return {"messages": below.invoke(state, config)["messages"][-1:]}

    return one_node(node, outer, "call")


def agent_in_a_tool() -> Any:
    below = agent()

    @tool
    def delegate(subject: str) -> str:
        """Let the scout look."""
        return str(below.invoke(HI)["messages"][-1].content)

    return create_agent(actor(calls("delegate", subject="it"), "So it is.", name="large"), [delegate], name="chief")


def functional() -> Any:
    model = actor("Done.")

    @task
    def work(question: str) -> str:
        return str(model.invoke(question).content)

    @entrypoint()
    def flow(question: str) -> str:
        return work(question).result()

    return flow


def deep() -> Any:
    from deepagents import create_deep_agent

    helper: Any = {
        "name": "helper",
        "description": "Helps.",
        "system_prompt": "Help.",
        "tools": [Tool(name="look")],
        "model": actor(calls("look", subject="it"), "Found."),
    }
    delegate = calls("task", description="Look it up.", subagent_type="helper")
    return create_deep_agent(model=actor(delegate, "Done.", name="large"), subagents=[helper], name="chief")
