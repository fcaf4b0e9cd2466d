"""Completion models on the async ways: LangChain starts them for inline handlers alone, if there are any."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.language_models import BaseLLM
from langchain_core.language_models.fake import FakeListLLM, FakeStreamingListLLM
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers import LangChainTracer

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.langsmith import Offline
from tests.kit.wire import WAYS, WIRE_SHAPES, Way

MODELS: dict[str, type[BaseLLM]] = {"whole": FakeListLLM, "streaming": FakeStreamingListLLM}


def model_of(kind: str) -> Any:
    """A completion model that answers the same every time."""
    made: Any = MODELS[kind]
    return made(responses=["one two three"])


class Inline(BaseCallbackHandler):
    """A handler of somebody else that LangChain calls directly, as OpenLLMetry's."""

    run_inline = True

    def __init__(self) -> None:
        self.started = self.ended = 0

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.started += 1

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.ended += 1


class NotInline(AsyncCallbackHandler):
    """A handler of somebody else that LangChain calls in a task, as its own for `astream_events`."""

    def __init__(self) -> None:
        self.started = self.ended = 0

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.started += 1

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        """Count."""
        self.ended += 1


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_beside_langsmiths_tracer(shape: str, way: Way, kind: str) -> None:
    """Beside LangSmith's tracer, which is inline, a completion model has its span, and LangSmith its run."""
    handler, client = SentryStreamHandler(), Offline()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(model_of(kind), "Hi", {"callbacks": [handler, LangChainTracer(client=client)]})
    assert captured.find(op="gen_ai.text_completion").attributes["langchain_stream.outcome"] == "completed"
    assert client.names == [MODELS[kind].__name__]
    assert handler.live_runs == 0


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_in_a_graph_that_streams_its_messages(shape: str, kind: str) -> None:
    """In a node of a graph with `stream_mode="messages"`, whose handler is inline, a completion model has its span."""
    from langgraph.graph import END, START, MessagesState, StateGraph

    async def ask(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [("ai", await model_of(kind).ainvoke("Hi", config))]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        question = {"messages": [("human", "Hi")]}
        async for _ in graph.compile().astream(question, {"callbacks": [handler]}, stream_mode="messages"):
            pass
    span, agent = captured.find(op="gen_ai.text_completion"), captured.find(op="gen_ai.invoke_agent")
    assert span.parent_id == agent.span_id
    assert handler.live_runs == 0


@pytest.mark.parametrize("prompts", [1, 3])
@pytest.mark.parametrize("ours", [1, 2])
@pytest.mark.parametrize("others", [(), (Inline,), (NotInline,), (Inline, NotInline), (NotInline, Inline)], ids=str)
async def test_whoever_else_is_there_loses_nothing(others: tuple[type, ...], ours: int, prompts: int) -> None:
    """The other handlers of a call see what they see without ours, and each prompt has its span."""

    async def seen_beside(handlers: list[Any]) -> list[tuple[int, int]]:
        beside = [each() for each in others]
        await model_of("whole").agenerate(["Hi"] * prompts, callbacks=[*beside, *handlers] or None)
        return [(each.started, each.ended) for each in beside]

    alone = await seen_beside([])
    handlers = [SentryStreamHandler(f"bot {number}") for number in range(ours)]
    with capture_spans() as captured:
        assert await seen_beside(handlers) == alone
    assert len(captured.find_all(op="gen_ai.text_completion")) in (prompts, prompts * ours)
    assert all(handler.live_runs == 0 for handler in handlers)


@pytest.mark.parametrize("kind", MODELS)
async def test_astream_events_yields_all_events(kind: str) -> None:
    """`astream_events` of a chain with a completion model yields the same events with the handler as without it."""

    async def events(callbacks: list[Any]) -> list[str]:
        chain = PromptTemplate.from_template("{question}") | model_of(kind)
        config: Any = {"callbacks": callbacks}
        return [each["event"] async for each in chain.astream_events({"question": "Hi"}, config, version="v2")]

    handler = SentryStreamHandler()
    with capture_spans() as captured:
        seen = await events([handler])
    assert seen == await events([])
    assert {"on_llm_start", "on_llm_end"} <= set(seen)
    assert captured.find(op="gen_ai.text_completion").attributes["langchain_stream.outcome"] == "completed"
