"""langchain-classic's `AgentExecutor` is an agent like a graph: one span, the same tree however it is called."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WIRE_SHAPES, content_allowed, fake_model

agents: Any = pytest.importorskip("langchain_classic.agents")

QUESTION = {"input": "how is the weather"}
TREE = ["invoke_agent AgentExecutor", ["chat", "execute_tool look", "chat"]]


@tool
def look(city: str) -> str:
    """Look at the sky."""
    return f"sunny in {city}"


class Looking(BaseChatModel):
    """A model that asks for the tool first, and then answers."""

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        seen = any(message.type == "tool" for message in messages)
        call: Any = {"name": "look", "args": {"city": "Vienna"}, "id": "call_1"}
        answer = AIMessage("it is fine") if seen else AIMessage("", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=answer)])


def executor(**fields: Any) -> Any:
    """An executor as users write it."""
    prompt = ChatPromptTemplate.from_messages([("human", "{input}"), ("placeholder", "{agent_scratchpad}")])
    agent = agents.create_tool_calling_agent(Looking(), [look], prompt)
    return agents.AgentExecutor(agent=agent, tools=[look], **fields)


async def _invoke(agent: Any, config: Any) -> None:
    agent.invoke(QUESTION, config)


async def _ainvoke(agent: Any, config: Any) -> None:
    await agent.ainvoke(QUESTION, config)


async def _stream(agent: Any, config: Any) -> None:
    for _ in agent.stream(QUESTION, config):
        pass


async def _astream(agent: Any, config: Any) -> None:
    async for _ in agent.astream(QUESTION, config):
        pass


async def _iter(agent: Any, config: Any) -> None:
    for _ in agent.iter(QUESTION, callbacks=config.get("callbacks")):
        pass


async def _aiter(agent: Any, config: Any) -> None:
    async for _ in agent.iter(QUESTION, callbacks=config.get("callbacks")):
        pass


async def _events(agent: Any, config: Any) -> None:
    async for _ in agent.astream_events(QUESTION, config, version="v2"):
        pass


CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "stream": _stream,
    "astream": _astream,
    "iter": _iter,
    "aiter": _aiter,
    "astream_events": _events,
}

ways = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
shapes = pytest.mark.parametrize("shape", WIRE_SHAPES)


def tree(captured: Captured) -> list[Any]:
    """The name of the root, and those of its children in their order."""
    (root,) = [span for span in captured.spans if span.parent_id not in {each.span_id for each in captured.spans}]
    children = sorted(captured.children(root), key=lambda span: span.start)
    assert len(captured.spans) == 1 + len(children), captured.tree()
    return [root.name, [span.name for span in children]]


@shapes
@ways
async def test_it_is_one_agent_with_the_same_tree(call: Any, shape: str) -> None:
    """Whichever method is called, its span has the models and the tool below it, its question and its answer."""
    handler = SentryStreamHandler("shop")
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await call(executor(), {"callbacks": [handler]})
    assert tree(captured) == TREE, captured.tree()
    span = captured.find(op="gen_ai.invoke_agent")
    assert QUESTION["input"] in span.attributes["gen_ai.input.messages"]
    assert "it is fine" in span.attributes["gen_ai.output.messages"]
    assert (span.attributes["gen_ai.pipeline.name"], span.origin) == ("shop", "auto.ai.langchain_stream")
    assert handler.live_runs == 0


@pytest.mark.parametrize("settings", [{"include_prompts": False}, {"redact": lambda text: "x"}], ids=["off", "redact"])
@ways
async def test_nothing_passes_its_vetoes(call: Any, settings: dict[str, Any]) -> None:
    """No content of the question, the tool or the answer leaves on any span of this call."""
    with capture_spans(**content_allowed(True)) as captured:
        await call(executor(), {"callbacks": [SentryStreamHandler(**settings)]})
    assert tree(captured) == TREE
    sent = json.dumps(captured.items, default=str)
    assert [secret for secret in ("how is the weather", "Vienna", "it is fine") if secret in sent] == []


@pytest.mark.parametrize("where", ["constructor", "integration", "bound before"])
@pytest.mark.parametrize("call", [_invoke, _stream], ids=["invoke", "stream"])
async def test_the_handler_may_be_anywhere(call: Any, where: str) -> None:
    """Passed to the constructor, added by the integration, or made in the call of a bound method: one agent."""
    options = {"integrations": [SentryStreamIntegration()]} if where == "integration" else {}
    with capture_spans(**options) as captured:
        if where == "constructor":
            await call(executor(callbacks=[SentryStreamHandler()]), {})
        elif where == "bound before":
            bound = executor().invoke
            bound(QUESTION, {"callbacks": [SentryStreamHandler()]})
        else:
            await call(executor(), {})
    agents_seen = captured.find_all(op="gen_ai.invoke_agent")
    assert [span.origin for span in agents_seen] == ["auto.ai.langchain_stream"], captured.tree()


def test_its_run_name_is_the_agents() -> None:
    """A name that the application gives is the agent's name, and it is still an agent."""
    with capture_spans() as captured:
        executor().with_config(run_name="clerk").invoke(QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert captured.find(op="gen_ai.invoke_agent").attributes["gen_ai.agent.name"] == "clerk"


@shapes
@pytest.mark.parametrize("is_async", [False, True], ids=["stream", "astream"])
async def test_a_consumer_that_leaves_ends_it(is_async: bool, shape: str) -> None:
    """The agent is abandoned, no issue, and the next call is sent and is no child of it."""
    handler = SentryStreamHandler()
    config: Any = {"callbacks": [handler]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if is_async:
            async with aclosing(executor().astream(QUESTION, config)) as steps:
                async for _ in steps:
                    break
            for _ in range(5):  # the event loop closes the generators inside on its next turns
                await asyncio.sleep(0)
        else:
            steps = executor().stream(QUESTION, config)
            next(steps)
            steps.close()
        fake_model("next").invoke("Hi", {"callbacks": [handler], "run_name": "later"})
    left = captured.find(op="gen_ai.invoke_agent")
    assert left.attributes["langchain_stream.outcome"] == "abandoned"
    assert captured.find(name="later").parent_id not in {span.span_id for span in captured.spans}
    assert (captured.events, handler.live_runs) == ([], 0)
