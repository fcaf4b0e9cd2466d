"""Models and retrievers that call other models in their own methods: query rewriting, routers, judges."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration, watch_runs
from sentry_langchain_stream.testing import capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.inside import parent_of
from tests.kit.wire import BOTH_MODELS, WAYS, WIRE_SHAPES, ScriptedModel, Way, child_span

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


class SyncOuter(BaseChatModel):
    """A model with sync methods only, which has another one answer."""

    inner: Any

    @property
    def _llm_type(self) -> str:
        return "outer"

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.inner.invoke(messages))])


class SyncStreaming(SyncOuter):
    """The same, for streams."""

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        for chunk in self.inner.stream(messages):
            yield ChatGenerationChunk(message=chunk)


class SyncRewriting(BaseRetriever):
    """A retriever with a sync method only, which has a model rewrite the query."""

    inner: Any

    def _get_relevant_documents(self, query: str, **kwargs: Any) -> list[Document]:
        return [Document(str(self.inner.invoke(query)))]


SYNC_ONLY = pytest.mark.parametrize("outer", [SyncOuter, SyncStreaming, SyncRewriting])


@SYNC_ONLY
@pytest.mark.parametrize("way", WAYS, ids=str)
@needs_async_context(lambda way: is_async(way))
async def test_a_call_in_a_sync_method_is_below_its_span_on_the_async_ways_too(outer: Any, way: Way) -> None:
    """LangChain runs the method in a thread there, and the method need not take the run's manager."""
    chain: Any = RunnableLambda(str) | outer(inner=Inner()) | RunnableLambda(str) | ScriptedModel(model_name="next")
    with capture_spans() as captured, watch_runs() as runs:
        await way.run(chain, "Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    around = parent_of(captured, captured.find(name="chat inner"))
    assert around is not None
    assert around.name in ("chat", "retrieve SyncRewriting")
    assert parent_of(captured, captured.find(name="chat next")) == captured.find(name="bot")
    assert runs[0].total_tokens == 5 + captured.find(name="chat next").attributes["gen_ai.usage.total_tokens"]


def test_a_model_that_is_called_in_a_thread_between_two_chunks_has_its_call_below_it() -> None:
    """The stream has started in another thread, too, but that the method is the other model's shows in its caller."""

    def consume(question: str) -> None:
        for _ in ScriptedModel(model_name="main").stream(question):
            with ThreadPoolExecutor() as pool:
                pool.submit(copy_context().run, SyncOuter(inner=Inner()).invoke, question).result()
            break

    with capture_spans() as captured:
        RunnableLambda(consume).invoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert parent_of(captured, captured.find(name="chat inner")) == captured.find(name="chat")


def _refuse(_: int) -> None:
    raise ValueError("busy")


FALLBACKS: dict[str, Any] = {
    "of models": lambda first, last: first.with_fallbacks([last]),
    "of chains": lambda first, last: (RunnableLambda(list) | first).with_fallbacks([RunnableLambda(list) | last]),
    "in fallbacks": lambda first, last: RunnableLambda(_refuse).with_fallbacks([first.with_fallbacks([last])]),
    "in a chain": lambda first, last: RunnableLambda(lambda asked: asked) | first.with_fallbacks([last]),
}


@ASYNC
@pytest.mark.parametrize("case", FALLBACKS)
@pytest.mark.parametrize("outer", [Outer, SyncOuter, Rewriting, SyncRewriting])
@needs_async_context(lambda is_async: is_async)
async def test_the_attempts_of_fallbacks_in_such_a_method_are_below_its_span(
    outer: Any, case: str, is_async: bool
) -> None:
    """LangChain makes them siblings of the model or retriever. They count what failed before, and their tokens once."""
    app = FALLBACKS[case](Inner(model_name="primary", before=_refuse), Inner(model_name="backup"))
    with capture_spans() as captured, watch_runs() as runs:
        await run(RunnableLambda(str) | outer(inner=app), "Hi", is_async)
    primary, backup = captured.find(name="chat primary"), captured.find(name="chat backup")
    around = parent_of(captured, backup)
    assert around == parent_of(captured, primary)
    assert around is not None
    assert around.name in ("chat", f"retrieve {outer.__name__}")
    before = 1 if case == "in fallbacks" else 0
    assert primary.attributes.get("langchain_stream.fallback", 0) == before
    assert backup.attributes["langchain_stream.fallback"] == before + 1
    assert runs[0].total_tokens == 5


async def test_a_call_below_no_run_is_below_the_model_too() -> None:
    """With the handler in every call, or in the inner call's own config, a model that is the root has it below."""
    for inner in (Inner(), Inner().with_config(callbacks=[SentryStreamHandler()])):
        options: Any = {"integrations": [SentryStreamIntegration(pipeline_name="bot", providers=False)]}
        with capture_spans(**options) as captured, watch_runs() as runs:
            Outer(inner=inner).invoke("Hi")
        outer = parent_of(captured, captured.find(name="chat inner"))
        assert outer is not None
        assert outer.op == "gen_ai.chat"
        assert [info.total_tokens for info in runs] == [5]


class Moderating(BaseCallbackHandler):
    """A handler of the application that has a model look at each token."""

    def __init__(self) -> None:
        self.asks = 0

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.asks += 1
        if self.asks == 1:
            Inner().invoke(token)


def test_a_call_of_a_callback_is_beside_the_model() -> None:
    """The model's method is on the stack there, but has not made the call: its own tokens count as ever."""
    chain: Any = RunnableLambda(str) | ScriptedModel(model_name="main", pieces=("one ", "two "))
    config: Any = {"callbacks": [SentryStreamHandler(pipeline_name="bot"), Moderating()]}
    with capture_spans() as captured, watch_runs() as runs:
        list(chain.stream("Hi", config))
    main, inner = captured.find(name="chat main"), captured.find(name="chat inner")
    assert parent_of(captured, inner) == parent_of(captured, main) == captured.find(name="bot")
    assert runs[0].total_tokens == main.attributes["gen_ai.usage.total_tokens"] + 5


def test_a_method_that_is_called_between_two_chunks_is_not_in_the_model() -> None:
    """A consumer may call another model's method itself: what that calls is beside the stream, not below it."""

    def consume(question: str) -> None:
        outer = Outer(inner=Inner())
        for _ in ScriptedModel(model_name="main").stream(question):
            outer._generate([HumanMessage("Hi")])
            break

    with capture_spans() as captured:
        RunnableLambda(consume).invoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
    assert parent_of(captured, captured.find(name="chat inner")) == captured.find(name="bot")


OTHER = {"input_tokens": 30, "output_tokens": 20, "total_tokens": 50}
ANSWERS = {
    "its answer": (lambda message: message, 5),
    "its usage": (lambda message: AIMessage(message.text, usage_metadata=message.usage_metadata), 5),
    "no usage": (lambda message: AIMessage("two"), 5),
    "a usage of its own": (lambda message: AIMessage("two", usage_metadata=OTHER), 55),
}


@ASYNC
@pytest.mark.parametrize("case", ANSWERS)
@needs_async_context(lambda is_async: is_async)
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


class Guarded(ScriptedModel):
    """A model of a provider, which has a small one look at the question first."""

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        Inner().invoke(messages)
        return super()._generate(messages, *args, **kwargs)

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "big", "ls_model_type": "chat"}

    def _stream(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        Inner().invoke(messages)
        yield from super()._stream(messages, *args, **kwargs)


@pytest.mark.parametrize("is_left", [False, True])
def test_the_estimate_of_a_model_that_asks_another_one_first_counts(is_left: bool) -> None:
    """A provider's model has used what is estimated, also where its consumer leaves: not what the small one has."""
    chain: Any = RunnableLambda(str) | Guarded(model_name="big", pieces=("word ",) * 40)
    with capture_spans() as captured, watch_runs() as runs:
        stream = chain.stream("Hi", {"callbacks": [SentryStreamHandler()]})
        for _, _ in zip(range(20), stream, strict=False) if is_left else ((0, each) for each in stream):
            pass
        stream.close()
    own = captured.find(name="chat big").attributes
    assert own["langchain_stream.usage_source"] == "estimate"
    assert runs[0].total_tokens == own["gen_ai.usage.total_tokens"] + 5


@pytest.mark.parametrize("streaming", [False, True])
def test_a_model_that_asks_another_one_first_counts_if_both_have_used_as_much(streaming: bool) -> None:
    """A guard's verdict is as short as some answers: equal numbers alone do not say that it is handed on."""
    chain: Any = RunnableLambda(str) | Guarded(model_name="big", pieces=("yes",), usage=USAGE)
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans(), watch_runs() as runs:
        list(chain.stream("Hi", config)) if streaming else chain.invoke("Hi", config)
    assert (runs[0].model_calls, runs[0].total_tokens) == (2, 10)


class Routing(ChatOpenAI):
    """A router that is made from a provider's class."""

    inner: Any

    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.inner.invoke(messages))])

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        for chunk in self.inner.stream(args[0]):
            yield ChatGenerationChunk(message=chunk)


BETWEEN: dict[str, Any] = {
    "nothing": lambda inner: inner,
    "a router": lambda inner: SyncStreaming(inner=inner),
    "a model with a message of its own": lambda inner: Outer(inner=inner, answer=lambda message: AIMessage("two")),
}


STREAMING = [(each, False) for each in BETWEEN] + [("nothing", True), ("a router", True)]


@pytest.mark.parametrize("identified", [False, True])
@pytest.mark.parametrize("usage", [USAGE, None], ids=["reported", "estimated"])
@pytest.mark.parametrize(("between", "streaming"), STREAMING)
def test_an_answer_that_a_model_of_a_provider_hands_on_counts_once(
    between: str, streaming: bool, usage: Any, identified: bool
) -> None:
    """The answer's id says whose it is: the provider's, or the one that LangChain has made of the run's id."""
    inner = Inner(usage=usage, response_metadata={"id": "chatcmpl-1"} if identified else {})
    chain: Any = RunnableLambda(str) | Routing(inner=BETWEEN[between](inner), api_key=SecretStr("none"))
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans() as captured, watch_runs() as runs:
        list(chain.stream("Hi", config)) if streaming else chain.invoke("Hi", config)
    assert runs[0].model_calls == (2 if between == "nothing" else 3)
    assert runs[0].total_tokens == captured.find(name="chat inner").attributes["gen_ai.usage.total_tokens"]


def test_the_tokens_of_a_call_in_a_call_are_in_the_totals_once() -> None:
    """A model between the two that reports no usage does not hide whose numbers the outer one hands on."""
    between = Outer(inner=Inner(), answer=lambda message: AIMessage("two"))
    outer = Outer(inner=between, answer=lambda message: AIMessage("three", usage_metadata=USAGE))
    with capture_spans(), watch_runs() as runs:
        (RunnableLambda(str) | outer).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert (runs[0].model_calls, runs[0].total_tokens) == (3, 5)
