"""The trees of agents and graphs: as of chains, and with Sentry's LanggraphIntegration on and off."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.types import Command
from sentry_sdk.integrations.langgraph import LanggraphIntegration

from tests.kit.async_context import is_async, needs_async_context
from tests.kit.trees import ways
from tests.kit.trees.agents import (
    HI,
    THREAD,
    agent,
    agent_in_a_tool,
    deep,
    fail,
    functional,
    handoff,
    interrupted,
    parallel_tools,
    subgraph,
    subgraph_in_a_function,
)
from tests.kit.trees.case import Case, around, each, play
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

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
          gen_ai.handoff  handoff from scout to clerk
          gen_ai.invoke_agent  invoke_agent clerk
            gen_ai.chat  chat large
        """,
        """
        ai.pipeline.langchain  demo
          ai.agent.langchain  invoke_agent scout
            ai.chat_completions.create.langchain  demo
            ai.tool.langchain  execute_tool transfer
          function  handoff from scout to clerk
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
    ),
)


@pytest.mark.parametrize(("case", "way", "shape", "active"), around(CASES))
@needs_async_context(lambda way: is_async(way))
async def test_the_tree(case: Case, way: ways.Run, shape: str, active: bool) -> None:
    """A run makes this tree, whichever way it is run and its spans are sent, below the active span if there is one."""
    await play(case, way, shape, active)


@pytest.mark.parametrize(("case", "way"), each(CASES))
@needs_async_context(lambda way: is_async(way))
async def test_the_tree_without_sentrys_own_spans(case: Case, way: ways.Run) -> None:
    """The tree is the same where Sentry's LanggraphIntegration, which opens spans for some ways, is off."""
    await play(case, way, DEFAULT_SHAPE, without=LanggraphIntegration.identifier)


@pytest.mark.parametrize(("case", "way", "shape"), each((case for case in CASES if case.ai), list(WIRE_SHAPES)))
@needs_async_context(lambda way: is_async(way))
async def test_the_tree_in_the_old_dialect(case: Case, way: ways.Run, shape: str) -> None:
    """In dialect `ai` what stands at the top is the pipeline, be it an agent or not."""
    await play(case, way, shape, dialect="ai")
