"""The trees of agents and graphs: as of chains, and with Sentry's LanggraphIntegration on and off."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt
from sentry_sdk.integrations.langgraph import LanggraphIntegration

from tests.trees import ways
from tests.trees.case import Case, each, play
from tests.trees.script import Tool, actor, calls
from tests.wire import WIRE_SHAPES

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
]

NAMED = "a graph with a name of its own is known by its first node only; Sentry's span around it is then left over"
APART = "the pipeline is not the active span, so Sentry's own span around a graph is a root of its own"
CROSSED = "Sentry's own spans around graphs that run at the same time are children of each other"

HI: Any = {"messages": [HumanMessage("Hi")]}
THREAD: Any = {"configurable": {"thread_id": "thread-1"}}


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


TOOL = """
gen_ai.invoke_agent  invoke_agent scout
  gen_ai.chat  chat small
  gen_ai.execute_tool  execute_tool look
  gen_ai.chat  chat small
"""


def graph(name: str, make: Any, tree: str, ai: str = "", **options: Any) -> Case:
    return Case(name, make, tree, ai, **{"asked": (HI,), "ways": ways.V3, **options})


CASES = (
    graph(
        "agent",
        agent,
        TOOL,
        """
        ai.pipeline.langchain  demo
          ai.chat_completions.create.langchain  demo
          ai.tool.langchain  execute_tool look
          ai.chat_completions.create.langchain  demo
        """,
    ),
    graph(
        "parallel tools",
        parallel_tools,
        """
        gen_ai.invoke_agent  invoke_agent scout
          gen_ai.chat  chat small
          gen_ai.execute_tool  execute_tool look &
          gen_ai.execute_tool  execute_tool weigh &
          gen_ai.chat  chat small
          gen_ai.execute_tool  execute_tool look
          gen_ai.chat  chat small
        """,
    ),
    graph(
        "a tool that fails",
        lambda: agent(does=fail),
        """
        gen_ai.invoke_agent  invoke_agent scout [failed]
          gen_ai.chat  chat small
          gen_ai.execute_tool  execute_tool look [failed]
        """,
        raises="no such thing",
    ),
    graph(
        "a tool that fails and says so",
        lambda: agent(does=fail, handle_tool_error=True),
        """
        gen_ai.invoke_agent  invoke_agent scout
          gen_ai.chat  chat small
          gen_ai.execute_tool  execute_tool look [failed]
          gen_ai.chat  chat small
        """,
    ),
    graph(
        "interrupt and resume",
        interrupted,
        """
        gen_ai.invoke_agent  invoke_agent scout
          gen_ai.chat  chat small
          gen_ai.execute_tool  execute_tool ask
        gen_ai.invoke_agent  invoke_agent scout
          gen_ai.execute_tool  execute_tool ask
          gen_ai.chat  chat small
        """,
        """
        ai.pipeline.langchain  demo
          ai.chat_completions.create.langchain  demo
          ai.tool.langchain  execute_tool ask
        ai.pipeline.langchain  demo
          ai.tool.langchain  execute_tool ask
          ai.chat_completions.create.langchain  demo
        """,
        asked=(HI, Command(resume="yes")),
        config=THREAD,
    ),
    graph(
        "handoff",
        handoff,
        """
        gen_ai.invoke_agent  invoke_agent office
          gen_ai.invoke_agent  invoke_agent scout
            gen_ai.chat  chat small
            gen_ai.execute_tool  execute_tool transfer
          gen_ai.invoke_agent  invoke_agent clerk
            gen_ai.chat  chat large
        """,
        """
        ai.pipeline.langchain  demo
          ai.agent.langchain  invoke_agent scout
            ai.chat_completions.create.langchain  demo
            ai.tool.langchain  execute_tool transfer
          ai.agent.langchain  invoke_agent clerk
            ai.chat_completions.create.langchain  demo
        """,
    ),
    *(
        graph(
            f"a graph that is a node, {outer or 'unnamed'} and {inner or 'unnamed'}",
            lambda outer=outer, inner=inner: subgraph(outer, inner),
            f"""
            gen_ai.invoke_agent  invoke_agent {outer or "LangGraph"}
              gen_ai.chat  chat large
              gen_ai.invoke_agent  invoke_agent {inner or "LangGraph"}
                gen_ai.chat  chat small
            """,
            wrong={way: NAMED for way in ways.V3 if inner and way is not ways.astream_events_v2},
        )
        for outer, inner in ((None, None), ("outer", "inner"))
    ),
    *(
        graph(
            f"a graph that a node calls, {outer or 'unnamed'} and {inner or 'unnamed'}",
            lambda outer=outer, inner=inner: subgraph_in_a_function(outer, inner),
            f"""
            gen_ai.invoke_agent  invoke_agent {outer or "LangGraph"}
              gen_ai.invoke_agent  invoke_agent {inner or "LangGraph"}
                gen_ai.chat  chat small
            """,
            wrong=dict.fromkeys(ways.V3, NAMED) if inner else {},
        )
        for outer, inner in ((None, None), ("outer", "inner"))
    ),
    graph(
        "an agent in a tool",
        agent_in_a_tool,
        """
        gen_ai.invoke_agent  invoke_agent chief
          gen_ai.chat  chat large
          gen_ai.execute_tool  execute_tool delegate
            gen_ai.invoke_agent  invoke_agent scout
              gen_ai.chat  chat small
              gen_ai.execute_tool  execute_tool look
              gen_ai.chat  chat small
          gen_ai.chat  chat large
        """,
    ),
    graph(
        "an agent in a chain",
        lambda: RunnableLambda(lambda question: question) | agent(),
        """
        function  demo
          gen_ai.invoke_agent  invoke_agent scout
            gen_ai.chat  chat small
            gen_ai.execute_tool  execute_tool look
            gen_ai.chat  chat small
        """,
        """
        ai.pipeline.langchain  demo
          ai.agent.langchain  invoke_agent scout
            ai.chat_completions.create.langchain  demo
            ai.tool.langchain  execute_tool look
            ai.chat_completions.create.langchain  demo
        """,
        ways=ways.ANY,
        wrong=dict.fromkeys(ways.WHOLE, APART),
    ),
    graph(
        "the functional api",
        functional,
        """
        gen_ai.invoke_agent  invoke_agent LangGraph
          gen_ai.chat  chat small
        """,
        asked=("Hi",),
    ),
    graph(
        "a deep agent",
        deep,
        """
        gen_ai.invoke_agent  invoke_agent chief
          gen_ai.chat  chat large
          gen_ai.execute_tool  execute_tool task
            gen_ai.invoke_agent  invoke_agent helper
              gen_ai.chat  chat small
              gen_ai.execute_tool  execute_tool look
              gen_ai.chat  chat small
          gen_ai.chat  chat large
        """,
    ),
    graph(
        "batch",
        agent,
        f"{TOOL.rstrip()}{TOOL}",
        asked=([HI, HI],),
        ways=ways.BATCH,
        wrong=dict.fromkeys(ways.BATCH, CROSSED),
    ),
)


@pytest.mark.parametrize("active", [False, True], ids=["alone", "in a span"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize(("case", "way"), each(CASES))
async def test_the_tree(case: Case, way: ways.Run, shape: str, active: bool) -> None:
    """A run makes this tree, whichever way it is run and its spans are sent, below the active span if there is one."""
    await play(case, way, shape, active)


@pytest.mark.parametrize("shape", ["transaction and spans", "stream"])
@pytest.mark.parametrize(("case", "way"), each(CASES, right=True))
async def test_the_tree_without_sentrys_own_spans(case: Case, way: ways.Run, shape: str) -> None:
    """The tree is the same where Sentry's LanggraphIntegration, which opens spans for some ways, is off."""
    await play(case, way, shape, without=LanggraphIntegration.identifier)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize(("case", "way"), each(case for case in CASES if case.ai))
async def test_the_tree_in_the_old_dialect(case: Case, way: ways.Run, shape: str) -> None:
    """In dialect `ai` what stands at the top is the pipeline, be it an agent or not."""
    await play(case, way, shape, dialect="ai")
