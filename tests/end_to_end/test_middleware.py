"""An agent has the instructions and the tools of its own model, not those of what its middleware asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.trees import ways
from tests.kit.trees.agents import HI, marked
from tests.kit.trees.script import Tool, actor, calls
from tests.kit.wire import content_allowed

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

JUDGED: Any = [("system", "You are a judge."), ("user", "Hi")]
JUDGE = actor("Fine.", name="judge").bind_tools([Tool(name="judge")])
JUDGES = {
    "a model": JUDGE,
    "a chain": RunnableLambda(list) | JUDGE,
    "with fallbacks": JUDGE.with_fallbacks([JUDGE]),
}
"""Models that middleware may ask besides the agent's own."""


def asking(judge: Any) -> Any:
    """Middleware that asks another model before, beside and after the call of the agent's own."""
    middleware = pytest.importorskip("langchain.agents.middleware")

    class Asking(middleware.AgentMiddleware):  # type: ignore[misc, name-defined, unused-ignore]
        """Asks a judge."""

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            judge.invoke(JUDGED)
            answer = handler(request)
            judge.invoke(JUDGED)
            return answer

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            await judge.ainvoke(JUDGED)
            answer = await handler(request)
            await judge.ainvoke(JUDGED)
            return answer

    return Asking()


def instructed(captured: Captured, name: str) -> tuple[Any, list[str]]:
    """The instructions of an agent, and the names of its tools."""
    attributes = captured.find(name=f"invoke_agent {name}").attributes
    offered = json.loads(str(attributes.get("gen_ai.tool.definitions", "[]")))
    return attributes.get("gen_ai.system_instructions"), [
        each.get("name") or each["function"]["name"] for each in offered
    ]


@pytest.mark.parametrize("way", [ways.invoke, ways.ainvoke, ways.astream], ids=lambda way: way.__name__)
@pytest.mark.parametrize("judge", JUDGES)
@needs_async_context(lambda way: is_async(way))
async def test_what_middleware_asks_around_the_model_is_not_the_agents(judge: str, way: ways.Run) -> None:
    """Middleware around the agent's model runs in the same node, whose own call alone is the agent's."""
    asks = asking(JUDGES[judge])
    scout = create_agent(
        actor("Done."), [Tool(name="look")], system_prompt="You are a scout.", middleware=[asks], name="scout"
    )
    plain = create_agent(actor("Done."), [], middleware=[asks], name="scout")
    found = []
    for each in (scout, plain):
        with capture_spans(**content_allowed(True)) as captured:
            await way(each, HI, {"callbacks": [SentryStreamHandler()]})
        assert sum(span.name == "chat judge" for span in captured.spans) == 2
        found.append(instructed(captured, "scout"))
    assert found == [("You are a scout.", ["look"]), (None, [])]


@marked
@pytest.mark.parametrize("judge", JUDGES)
@needs_async_context(lambda judge: True)
async def test_what_middleware_asks_at_the_same_time_is_not_the_agents(judge: str) -> None:
    """A judge in a task of its own is not to be found on the stack of the node."""
    middleware = pytest.importorskip("langchain.agents.middleware")

    class Asking(middleware.AgentMiddleware):  # type: ignore[misc, name-defined, unused-ignore]
        """Asks a judge meanwhile."""

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            answer, _ = await asyncio.gather(handler(request), JUDGES[judge].ainvoke(JUDGED))
            return answer

    scout = create_agent(
        actor("Done."), [Tool(name="look")], system_prompt="You are a scout.", middleware=[Asking()], name="scout"
    )
    with capture_spans(**content_allowed(True)) as captured:
        await scout.ainvoke(HI, {"callbacks": [SentryStreamHandler()]})
    assert instructed(captured, "scout") == ("You are a scout.", ["look"])


@pytest.mark.parametrize("way", [ways.invoke, ways.ainvoke], ids=lambda way: way.__name__)
@needs_async_context(lambda way: is_async(way))
async def test_an_agent_with_fallbacks_has_its_own_instructions(way: ways.Run) -> None:
    """LangChain calls each of the models in a task, where it is the call with fallbacks that is the agent's."""
    model: Any = actor(ValueError("busy")).with_fallbacks([actor("Done.", name="large")])
    scout = create_agent(
        model, [Tool(name="look")], system_prompt="You are a scout.", middleware=[asking(JUDGE)], name="scout"
    )
    with capture_spans(**content_allowed(True)) as captured:
        await way(scout, HI, {"callbacks": [SentryStreamHandler()]})
    assert instructed(captured, "scout") == ("You are a scout.", ["look"])


@pytest.mark.parametrize("way", [ways.invoke, ways.ainvoke], ids=lambda way: way.__name__)
@needs_async_context(lambda way: is_async(way))
async def test_what_a_tool_selector_is_asked_is_not_the_agents(way: ways.Run) -> None:
    """LangChain's own middleware asks the agent's model itself, and with other instructions."""
    middleware = pytest.importorskip("langchain.agents.middleware")
    choice = actor(calls("ToolSelectionResponse", tools=["look"]), name="selector")
    scout = create_agent(
        actor("Done."),
        [Tool(name="look"), Tool(name="hear")],
        middleware=[middleware.LLMToolSelectorMiddleware(model=choice)],
        name="scout",
    )
    with capture_spans(**content_allowed(True)) as captured:
        await way(scout, HI, {"callbacks": [SentryStreamHandler()]})
    assert "select" in str(captured.find(name="chat selector").attributes["gen_ai.system_instructions"])
    assert instructed(captured, "scout") == (None, ["look"])


def answer(state: MessagesState) -> Any:
    """A node that asks a model."""
    return {"messages": [JUDGE.invoke(JUDGED)]}


async def answers(state: MessagesState) -> Any:
    """A node that asks a model twice, in tasks of their own."""
    return {"messages": await asyncio.gather(JUDGE.ainvoke(JUDGED), JUDGE.ainvoke(JUDGED))}


def written(node: Any) -> Any:
    """A graph with one node, which is called as that of an agent."""
    return StateGraph(MessagesState).add_node("model", node).add_edge(START, "model").compile(name="written")


def in_middleware() -> Any:
    """An agent with middleware that calls such a graph."""
    graph = written(answer)
    return create_agent(actor("Done."), [], middleware=[asking(RunnableLambda(lambda _: graph.invoke(HI)))])


@pytest.mark.parametrize(
    ("make", "way"),
    [(lambda: written(answer), ways.invoke), (lambda: written(answers), ways.ainvoke), (in_middleware, ways.invoke)],
    ids=["alone", "in tasks", "in middleware"],
)
@needs_async_context(lambda way: is_async(way))
async def test_a_graph_has_what_its_own_node_of_that_name_asks(make: Callable[[], Any], way: ways.Run) -> None:
    """In a graph that somebody has written, such a node asks for the graph."""
    with capture_spans(**content_allowed(True)) as captured:
        await way(make(), HI, {"callbacks": [SentryStreamHandler()]})
    found = [span for span in captured.spans if span.name == "invoke_agent written"]
    assert {span.attributes["gen_ai.system_instructions"] for span in found} == {"You are a judge."}


class Guarded(AgentMiddleware):
    """Asks a model about each call of a tool."""

    def wrap_tool_call(self, request: Any, handler: Any) -> Any:
        actor("fine", name="judge").bind_tools([]).invoke([("system", "You judge."), ("user", "May it?")])
        return handler(request)


class Tasked(AgentMiddleware):
    """Asks a model in a `@task`."""

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        @task
        def judge() -> str:
            return str(actor("fine", name="judge").invoke([("system", "You judge."), ("user", "May it?")]).content)

        answered = handler(request)
        judge().result()
        return answered


@marked
@pytest.mark.parametrize("config", [{}, {"run_name": "nightly"}], ids=["by its name", "by a run's name"])
@pytest.mark.parametrize("middleware", [Guarded(), Tasked()], ids=lambda each: type(each).__name__)
def test_what_middleware_asks_around_tools_and_in_tasks_is_not_the_agents(middleware: Any, config: Any) -> None:
    """The agent has its own instructions, also if the last that is asked is a judge."""

    @tool(return_direct=True)
    def look(subject: str) -> str:
        """Look at something."""
        return subject

    agent = create_agent(
        actor(calls("look", subject="sky")), [look], system_prompt="You help.", name="boss", middleware=[middleware]
    )
    with capture_spans(**content_allowed(True)) as captured:
        agent.with_config(config).invoke(HI, {"callbacks": [SentryStreamHandler()]})
    found = captured.find(name="invoke_agent boss").attributes["gen_ai.system_instructions"]
    assert "You help." in found
    assert "You judge." not in found


@pytest.mark.parametrize("name", ["boss", None], ids=["named", "without a name"])
@needs_async_context(lambda name: True)
async def test_a_graph_of_ones_own_in_an_agent_has_its_instructions(name: str | None) -> None:
    """A node called `model` is no agent's, though the graph is called by a tool of one."""

    async def model(state: MessagesState) -> Any:
        asked = [("system", "You look."), ("user", "What?")]
        first, _ = await asyncio.gather(actor("A.").ainvoke(asked), actor("B.").ainvoke(asked))
        return {"messages": [first]}

    inner = StateGraph(MessagesState).add_node("model", model).add_edge(START, "model").compile(name="inner")

    @tool
    async def look(subject: str) -> str:
        """Look at something."""
        return str((await inner.ainvoke(HI))["messages"][-1].content)

    agent = create_agent(actor(calls("look", subject="sky"), "Done."), [look], system_prompt="You help.", name=name)
    with capture_spans(**content_allowed(True)) as captured:
        await agent.ainvoke(HI, {"callbacks": [SentryStreamHandler()]})
    assert "You look." in captured.find(name="invoke_agent inner").attributes["gen_ai.system_instructions"]


@pytest.mark.parametrize("name", ["boss", None], ids=["named", "without a name"])
def test_a_workflow_in_an_agent_has_what_its_tasks_ask(name: str | None) -> None:
    """A `@task` is middleware's only where an agent itself has started it."""

    @task
    def write(subject: str) -> str:
        return str(actor("A line.").invoke([("system", "You write."), ("user", subject)]).content)

    @entrypoint()
    def workflow(subject: str) -> str:
        return str(write(subject).result())

    @tool
    def draft(subject: str) -> str:
        """Write about something."""
        return str(workflow.invoke(subject))

    agent = create_agent(actor(calls("draft", subject="sky"), "Done."), [draft], system_prompt="You help.", name=name)
    with capture_spans(**content_allowed(True)) as captured:
        agent.invoke(HI, {"callbacks": [SentryStreamHandler()]})
    (inner,) = captured.children(captured.find(name="execute_tool draft"))
    assert "You write." in inner.attributes["gen_ai.system_instructions"]
