"""Steps that LangChain starts after their chain was given up: in tasks and threads that it does not stop."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG
from tests.kit.async_context import needs_async_context
from tests.kit.helpers import Clock, handler_on
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span


class Waiting(BaseRetriever):
    """Finds a document when it is allowed to, whoever has stopped waiting for it."""

    asked: asyncio.Event
    allowed: asyncio.Event

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        raise NotImplementedError

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.asked.set()
        await self.allowed.wait()
        return [Document("found")]


async def leave_while_it_waits(make: Any, config: Any) -> None:
    """Stream a chain that is made with such a retriever, cancel it meanwhile, and let all that LangChain began end."""
    retriever = Waiting(asked=asyncio.Event(), allowed=asyncio.Event())

    async def consume(chain: Runnable[Any, Any]) -> None:
        async for _ in chain.astream("Hi", config):
            pass

    others = asyncio.all_tasks()
    request = asyncio.ensure_future(consume(make(retriever)))
    await asyncio.wait_for(retriever.asked.wait(), HANG)
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    del request
    retriever.allowed.set()
    await all_ended(others)


async def all_ended(others: set[asyncio.Task[Any]]) -> None:
    """Wait for all tasks but these. LangChain leaves the generators of late steps to garbage collection."""
    for _ in range(4):
        gc.collect()
        await asyncio.sleep(0)
        while left := asyncio.all_tasks() - others:
            await asyncio.wait(left, timeout=HANG)
        del left


def joined(documents: list[Document]) -> str:
    """What an application writes after its retriever."""
    return "".join(each.page_content for each in documents)


def rag(retriever: Waiting) -> Runnable[Any, Any]:
    """As in LangChain's tutorials."""
    given: Any = {"context": retriever | joined, "question": RunnablePassthrough()}
    prompt: Any = ChatPromptTemplate.from_template("{context} {question}")
    app: Runnable[Any, Any] = given | prompt | ScriptedModel()
    return app


def with_a_model_behind_it(retriever: Waiting) -> Runnable[Any, Any]:
    """The model is called late, too."""
    return RunnableParallel(answer=retriever | joined | ScriptedModel() | StrOutputParser())


def names(captured: Captured) -> list[str]:
    return [str(span.name) for span in captured.spans if span.name != "handle"]


@pytest.mark.parametrize("chains", [False, True], ids=["", "chains"])
@pytest.mark.parametrize("enclosed", [False, True], ids=["", "in a span"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_function_that_starts_late_is_no_pipeline(shape: str, enclosed: bool, chains: bool) -> None:
    """A request that is cancelled during retrieval is one pipeline, in one trace, also if LangChain goes on."""
    handler = SentryStreamHandler("bot", chains=chains)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if enclosed:
            with active_span(shape, "handle"):
                await leave_while_it_waits(rag, {"callbacks": [handler]})
        else:
            await leave_while_it_waits(rag, {"callbacks": [handler]})
    assert names(captured).count("bot") == 1
    assert "chain joined" not in names(captured)
    assert chains or sorted(names(captured)) == ["bot", "retrieve Waiting"]
    assert len({span.trace_id for span in captured.spans}) == 1
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_model_that_is_called_late_is_recorded_with_what_is_known(shape: str) -> None:
    """The provider bills it: it has a pipeline of the same name, and the conversation."""
    handler = SentryStreamHandler()
    config = {"callbacks": [handler], "run_name": "shop", "metadata": {"conversation_id": "c-7"}}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await leave_while_it_waits(with_a_model_behind_it, config)
    assert sorted(names(captured)) == ["chat scripted", "retrieve Waiting", "shop", "shop"]
    late = captured.find(op="gen_ai.chat")
    assert late.attributes["gen_ai.usage.total_tokens"] > 0
    assert {span.attributes["gen_ai.conversation.id"] for span in captured.spans} == {"c-7"}
    assert {span.attributes["gen_ai.pipeline.name"] for span in captured.spans} == {"shop"}
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_parser_that_starts_after_the_consumer_has_left_is_no_pipeline(shape: str) -> None:
    """The other branch of a parallel chain goes on in its thread when the consumer leaves at the first chunk."""
    left, over = threading.Event(), threading.Event()

    def slow(asked: str) -> str:
        assert left.wait(HANG)
        return asked

    def last(answer: str) -> str:
        over.set()
        return answer

    branches: Any = {"fast": ScriptedModel() | StrOutputParser(), "slow": RunnableLambda(slow) | RunnableLambda(last)}
    handler = SentryStreamHandler("bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream: Any = RunnableParallel(branches).stream("Hi", {"callbacks": [handler]})
        assert "fast" in next(stream)
        leaving = threading.Timer(0, left.set)
        leaving.start()
        stream.close()
        assert over.wait(HANG)
        leaving.join()
    assert names(captured).count("bot") == 1
    assert set(names(captured)) == {"bot", "chat scripted"}


def inner_graph() -> Any:
    """A graph with a name of its own, of plain functions that ask a model."""

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [ScriptedModel().invoke("Hi")]}

    graph = StateGraph(MessagesState)
    graph.add_node("one", ask)
    graph.add_node("two", ask)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    return graph.compile(name="inner")


def outer_graph(node: Any, name: str = "outer") -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    return graph.compile(name=name)


@needs_async_context()
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_graph_that_a_node_goes_on_to_call_is_an_agent(shape: str) -> None:
    """A node that shields its work from a cancellation calls another graph, which is whole."""
    started, allowed, inner = asyncio.Event(), asyncio.Event(), inner_graph()

    async def work() -> None:
        started.set()
        await allowed.wait()
        await inner.ainvoke({"messages": []})

    async def node(state: MessagesState) -> dict[str, Any]:
        await asyncio.shield(working := asyncio.ensure_future(work()))
        return {"messages": [str(working)]}

    others = asyncio.all_tasks()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        request = asyncio.ensure_future(
            outer_graph(node).ainvoke({"messages": []}, {"callbacks": [SentryStreamHandler("bot")]})
        )
        await asyncio.wait_for(started.wait(), HANG)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        allowed.set()
        await all_ended(others)
    agent = captured.find(name="invoke_agent inner")
    assert [span.name for span in captured.children(agent)] == ["chat scripted"] * 2
    assert len(captured.find_all(op="gen_ai.chat")) == 2


@needs_async_context()
async def test_graphs_that_were_only_evicted_go_on_as_agents() -> None:
    """With too many live runs the oldest are ended here, though their code runs: what it calls then is whole, too."""
    inner, began, allowed = inner_graph(), [], asyncio.Event()

    async def node(state: MessagesState) -> dict[str, Any]:
        began.append(state)
        await allowed.wait()
        await inner.ainvoke({"messages": []})
        return {"messages": []}

    handler = SentryStreamHandler("bot", max_live_runs=3)
    with capture_spans() as captured:
        calls = [
            asyncio.ensure_future(
                outer_graph(node, f"outer{number}").ainvoke({"messages": []}, {"callbacks": [handler]})
            )
            for number in range(4)
        ]
        while len(began) < len(calls):
            await asyncio.sleep(0)
        allowed.set()
        await asyncio.gather(*calls)
    assert len(captured.find_all(name="invoke_agent inner")) == 4


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_steps_of_a_chain_that_was_only_evicted_are_no_pipelines(shape: str) -> None:
    """A chain in which nothing has happened for an hour is ended, and goes on: of that, its model has a pipeline."""
    clock = Clock()
    handler = handler_on(clock, pipeline_name="bot")

    def slow(question: str) -> str:
        clock.advance(3_601)
        other = threading.Thread(target=ScriptedModel(model_name="other").invoke, args=("Hi", {"callbacks": [handler]}))
        other.start()
        other.join()
        return question

    first: Any = RunnableLambda(slow)
    steps = first | RunnableLambda(str) | ChatPromptTemplate.from_template("{question}")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        (steps | ScriptedModel() | StrOutputParser()).invoke("Hi", {"callbacks": [handler]})
    assert sorted(names(captured)) == ["bot", "bot", "bot", "chat other", "chat scripted"]
    late = captured.find(name="chat scripted")
    (evicted,) = (span for span in captured.spans if span.attributes.get("langchain_stream.evicted") == "idle")
    assert captured.children(evicted) == []
    assert [span.name for span in captured.spans if span.span_id == late.parent_id] == ["bot"]
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_a_node_that_starts_late_has_the_name_of_its_pipeline(shape: str) -> None:
    """One input of a batch fails, which ends all of it for LangChain, and the graph of another one goes on."""
    asked, allowed = asyncio.Event(), asyncio.Event()

    async def first(state: MessagesState) -> MessagesState:
        if state["messages"][0].text == "bad":
            await asked.wait()
            raise ValueError("bad")
        asked.set()
        await allowed.wait()
        return state

    async def second(state: MessagesState) -> MessagesState:
        await ScriptedModel().ainvoke("Hi")
        return state

    graph = StateGraph(MessagesState)
    graph.add_node("first", first)
    graph.add_node("second", second)
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    given: Any = RunnableLambda(lambda text: {"messages": [text]})
    chain = (given | graph.compile()).with_config(run_name="shop")
    handler = SentryStreamHandler()
    others = asyncio.all_tasks()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with pytest.raises(ValueError, match="bad"):
            await chain.abatch(["good", "bad"], {"callbacks": [handler]})
        allowed.set()
        await all_ended(others)
    assert captured.find(op="gen_ai.chat")
    assert {span.attributes["gen_ai.pipeline.name"] for span in captured.spans} == {"shop"}
    assert handler.live_runs == 0
