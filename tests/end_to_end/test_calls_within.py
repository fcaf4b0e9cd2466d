"""Models and retrievers that call other models in their own methods: query rewriting, routers, judges."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler, watch_runs
from sentry_langchain_stream.testing import capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.inside import parent_of
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel, child_span

ASYNC = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
SHAPES = pytest.mark.parametrize("shape", BOTH_MODELS)
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


class Inner(ScriptedModel):
    """The model that is called."""

    model_name: str = "inner"
    usage: dict[str, Any] | None = USAGE


class Outer(BaseChatModel):
    """A model that has another one answer, and then makes of it what `answer` makes."""

    inner: Any
    answer: Any = staticmethod(lambda message: message)
    shape: str = BOTH_MODELS[0]

    @property
    def _llm_type(self) -> str:
        return "outer"

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        with child_span(self.shape, "lookup"):
            pass
        found = self.answer(self.inner.invoke(messages))
        return ChatResult(generations=[ChatGeneration(message=found)])

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        with child_span(self.shape, "lookup"):
            pass
        found = self.answer(await self.inner.ainvoke(messages))
        return ChatResult(generations=[ChatGeneration(message=found)])


class Rewriting(BaseRetriever):
    """A retriever that has a model rewrite the query."""

    inner: Any

    def _get_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        return [Document(str(self.inner.invoke(query)))]

    async def _aget_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        return [Document(str(await self.inner.ainvoke(query)))]


async def run(runnable: Runnable[Any, Any], question: Any, is_async: bool) -> Any:
    """Call it with a handler."""
    config: Any = {"callbacks": [SentryStreamHandler(pipeline_name="bot")]}
    return await runnable.ainvoke(question, config) if is_async else runnable.invoke(question, config)


@SHAPES
@ASYNC
@needs_async_context(lambda is_async: is_async)
async def test_a_call_in_the_method_of_a_model_is_below_its_span(shape: str, is_async: bool) -> None:
    """Where the spans of the application in that method are, too, though LangChain names the chain as its parent."""
    chain: Any = RunnableLambda(str) | Outer(inner=RunnableLambda(lambda messages: messages) | Inner(), shape=shape)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await run(chain, "Hi", is_async)
    inner = captured.find(name="chat inner")
    outer = parent_of(captured, inner)
    assert outer is not None
    assert outer.op == "gen_ai.chat"
    assert parent_of(captured, captured.find(name="lookup")) == outer
    assert parent_of(captured, outer) == captured.find(name="bot")


@SHAPES
@ASYNC
@needs_async_context(lambda is_async: is_async)
async def test_a_call_in_the_method_of_a_retriever_is_below_its_span(shape: str, is_async: bool) -> None:
    """A model that rewrites the query is part of the retrieval; the one that answers after it is not."""
    chain: Any = Rewriting(inner=Inner()) | RunnableLambda(str) | ScriptedModel(model_name="answering")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await run(chain, "Hi", is_async)
    assert parent_of(captured, captured.find(name="chat inner")) == captured.find(name="retrieve Rewriting")
    assert parent_of(captured, captured.find(name="chat answering")) == captured.find(name="bot")


OTHER = {"input_tokens": 30, "output_tokens": 20, "total_tokens": 50}
ANSWERS = {
    "its answer": (lambda message: message, 5),
    "no usage": (lambda message: AIMessage("two"), 5),
    "a usage of its own": (lambda message: AIMessage("two", usage_metadata=OTHER), 55),
}


@ASYNC
@pytest.mark.parametrize("case", ANSWERS)
async def test_the_tokens_of_such_a_call_are_in_the_totals_once(case: str, is_async: bool) -> None:
    """A model that hands on the usage of the one that it has called has used nothing itself."""
    answer, total = ANSWERS[case]
    outer = Outer(inner=Inner(), answer=answer)

    def node(state: MessagesState) -> Any:
        return {"messages": [outer.invoke(state["messages"])]}

    async def anode(state: MessagesState) -> Any:
        return {"messages": [await outer.ainvoke(state["messages"])]}

    chosen: Any = anode if is_async else node
    graph: Any = StateGraph(MessagesState).add_node("one", chosen).add_edge(START, "one").compile(name="agent")
    with capture_spans() as captured, watch_runs() as runs:
        await run(graph, {"messages": [("user", "Hi")]}, is_async)
    assert captured.find(op="gen_ai.invoke_agent").attributes["gen_ai.usage.total_tokens"] == total
    (info,) = runs
    assert (info.model_calls, info.total_tokens) == (2, total)
