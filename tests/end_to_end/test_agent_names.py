"""An agent has the name that was given to `create_agent`, wherever and under whatever run name it is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig, chain
from langchain_core.tools import tool
from langgraph.errors import InvalidUpdateError
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.trees import ways
from tests.kit.trees.agents import HI, marked
from tests.kit.trees.script import actor, calls
from tests.kit.wire import content_allowed

CALLED = {"run_name": "special"}


def worker() -> Any:
    """An agent with a name."""
    return create_agent(actor("Done."), [], name="worker")


def in_tool() -> Any:
    """An agent whose tool calls that agent under another name."""

    @tool
    def go(subject: str) -> str:
        """Have somebody else go."""
        return str(worker().invoke(HI, CALLED)["messages"][-1].content)

    return create_agent(actor(calls("go", subject="sky"), "Well."), [go], name="boss")


def in_itself() -> Any:
    """An agent whose tool calls an agent of the same name."""

    @tool
    def go(subject: str) -> str:
        """Have another one go."""
        return str(worker().invoke(HI, CALLED)["messages"][-1].content)

    return create_agent(actor(calls("go", subject="sky"), "Well."), [go], name="worker")


def as_node() -> Any:
    """A graph with that agent for a node, under another name."""
    node = worker().with_config(CALLED)
    return StateGraph(MessagesState).add_node("x", node).add_edge(START, "x").compile(name="office")


def office(name: str = "office") -> Any:
    """A graph that somebody has written, with a node that is called as that of an agent."""

    def tools(state: MessagesState) -> Any:
        return {"messages": [actor("Mine.").bind_tools([]).invoke([("system", "You weigh."), *state["messages"]])]}

    return StateGraph(MessagesState).add_node("tools", tools).add_edge(START, "tools").compile(name=name)


def binding(inner: Any, **more: Any) -> Any:
    """An agent whose tool calls something bound to the tool's own config, and to more."""

    @tool
    def go(subject: str, config: RunnableConfig) -> str:
        """Have somebody else go."""
        return str(inner.with_config({**config, **more}).invoke(HI)["messages"][-1].content)

    return create_agent(actor(calls("go", subject="sky"), "Well."), [go], name="boss")


def agents(captured: Captured) -> list[Any]:
    """The names of all agents in the order of their starts."""
    spans = sorted(captured.spans, key=lambda span: span.start)
    return [span.attributes["gen_ai.agent.name"] for span in spans if span.op == "gen_ai.invoke_agent"]


@marked
@pytest.mark.parametrize("way", [ways.invoke, ways.ainvoke, ways.astream], ids=lambda way: way.__name__)
@pytest.mark.parametrize(
    ("make", "expected"),
    [(worker, ["worker"]), (in_tool, ["boss", "worker"]), (in_itself, ["worker"] * 2), (as_node, ["office", "worker"])],
)
@needs_async_context(lambda way: is_async(way))
async def test_an_agent_called_under_another_name_has_its_own(
    make: Callable[[], Any], expected: list[str], way: ways.Run
) -> None:
    """A run name says for what an agent is called, and Sentry lists agents by their names."""
    called = make().with_config(CALLED) if make is worker else make()
    with capture_spans() as captured:
        await way(called, HI, {"callbacks": [SentryStreamHandler()]})
    assert agents(captured) == expected
    assert {span.attributes["gen_ai.agent.name"] for span in captured.spans if span.op == "gen_ai.chat"} == {
        *expected
    } - {"office"}


@pytest.mark.parametrize("more", [pytest.param({}, id=""), pytest.param(CALLED, id="run name", marks=marked)])
@pytest.mark.parametrize(("inner", "name"), [(worker, "worker"), (office, "office")])
def test_what_is_bound_to_the_config_of_a_tool_is_not_the_agent_around_it(
    inner: Any, name: str, more: dict[str, Any]
) -> None:
    """Such a config has all that the tool inherits from its agent, and so has then what is bound to it."""
    if inner is office:
        name = more.get("run_name", name)  # a graph that is no agent is called as its run
    with capture_spans(**content_allowed(True)) as captured:
        binding(inner(), **more).invoke(HI, {"callbacks": [SentryStreamHandler()]})
    assert agents(captured) == ["boss", name]
    told = captured.find(name=f"invoke_agent {name}").attributes.get("gen_ai.system_instructions", "")
    assert ("You weigh." in told) is (inner is office)


@marked
def test_an_agent_that_is_bound_so_and_fails_at_once_is_recorded() -> None:
    """Before any of its nodes has started, it is known as an agent."""

    @tool
    def go(subject: str, config: RunnableConfig) -> str:
        """Have somebody go who does not understand."""
        worker().with_config(config).invoke("no state of a graph")
        return subject

    with capture_spans() as captured:
        boss: Any = create_agent(actor(calls("go", subject="sky"), "Well."), [go], name="boss")
        with pytest.raises(InvalidUpdateError):
            boss.invoke(HI, {"callbacks": [SentryStreamHandler()]})
    assert agents(captured) == ["boss", "worker"]


@marked
@pytest.mark.parametrize("config", [{"metadata": {"lc_agent_name": "support"}}, {"run_name": "support"}])
def test_an_agent_without_a_name_may_be_given_one_at_the_call(config: Any) -> None:
    """By metadata as those of an agent with a name, or by the name of the run."""
    with capture_spans() as captured:
        agent: Any = create_agent(actor("Done."), [])
        agent.invoke(HI, {**config, "callbacks": [SentryStreamHandler()]})
    assert agents(captured) == ["support"]


def test_a_chain_with_the_name_of_its_agent_is_no_agent() -> None:
    """What runs in an agent inherits its marks."""

    @chain
    def research(subject: str) -> str:
        return str(actor("A line.").invoke(subject).content)

    @tool("research")
    def look_up(subject: str) -> str:
        """Look something up."""
        return research.invoke(subject)

    agent = create_agent(actor(calls("research", subject="sky"), "Done."), [look_up], name="research")
    with capture_spans() as captured:
        agent.invoke(HI, {"callbacks": [SentryStreamHandler()]})
    assert agents(captured) == ["research"]
    tool_call = captured.find(name="execute_tool research")
    assert [span.op for span in captured.children(tool_call)] == ["gen_ai.chat"]
