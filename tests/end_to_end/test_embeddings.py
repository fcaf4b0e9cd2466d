"""A call of an embedding model is one span of its run, though LangChain has no callbacks for it."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings, FakeEmbeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, run_in_executor
from langchain_core.tools import tool
from pydantic import BaseModel
from sentry_sdk.client import NonRecordingClient

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream._runs.estimates import approximate
from sentry_langchain_stream._to_sentry import other_integrations
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.embedding import SECRET, Letters, retrieving
from tests.kit.wire import BOTH_MODELS, WAYS, WIRE_SHAPES, Way, active_span, child_span, content_allowed

CALLS = [way for way in WAYS if not way.streams]


def only(spans: list[CapturedSpan]) -> CapturedSpan:
    """The one span of an embedding model."""
    (found,) = [span for span in spans if "embeddings" in str(span.op) or "embeddings" in span.name]
    return found


@pytest.fixture
def switched() -> Iterator[None]:
    """Put back what a test takes away."""
    yield
    other_integrations.install()


@pytest.mark.parametrize("way", CALLS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_retrievers_embedding_is_a_span_below_it(shape: str, way: Way) -> None:
    """The span has the model, the pipeline, the number of texts and an estimate of the tokens, and one is enough."""
    handler = SentryStreamHandler("support-bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(retrieving(Letters()), "Where is it?", {"callbacks": [handler], "metadata": {"thread_id": "t1"}})
    span = only(captured.spans)
    retriever = next(each for each in captured.spans if each.name.startswith("retrieve "))
    assert (span.op, span.name, span.parent_id) == ("gen_ai.embeddings", "embeddings letters-1", retriever.span_id)
    expected = {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "letters-1",
        "gen_ai.pipeline.name": "support-bot",
        "gen_ai.conversation.id": "t1",
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.total_tokens": 3,
        "langchain_stream.usage_source": "estimate",
        "langchain_stream.inputs": 1,
        "langchain_stream.dimensions": 3,
        "langchain_stream.outcome": "completed",
    }
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert "gen_ai.usage.output_tokens" not in span.attributes
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_in_dialect_ai_the_op_names_the_platform(shape: str) -> None:
    """The LLM Monitoring of 2024 joins spans by name, so the span is named after the pipeline."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        retrieving(Letters()).invoke("Hi", {"callbacks": [SentryStreamHandler("bot", dialect="ai")]})
    span = only(captured.spans)
    assert (span.op, span.name) == ("ai.embeddings.create.langchain", "bot")


class Pydantic(BaseModel, Embeddings):
    """A model as LangChain's packages write them, with async methods of its own."""

    model_name: str = "pydantic-1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        return [[1.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed the text."""
        return [1.0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> list[float]:
        """Embed the text."""
        return (await self.aembed_documents([text]))[0]


class Inherited:
    """The implementation of a model, in a class that is no embedding model."""

    model = "mixed-1"

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        return [[1.0] for _ in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed the text."""
        return [1.0]


class Mixed(Inherited, Embeddings):
    """A model made of two classes."""


def _given(held: Embeddings) -> Embeddings:
    return held


class Hidden(Embeddings):
    """A model that holds another one where it cannot be seen."""

    def __init__(self, held: Embeddings) -> None:
        self._held: Callable[[], Embeddings] = partial(_given, held)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        return self._held().embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Embed the text."""
        return self._held().embed_query(text)


class Cached(Embeddings):
    """A cache around a model."""

    def __init__(self, held: Embeddings) -> None:
        self.held = held
        self.known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts that are not known."""
        missing = [text for text in texts if text not in self.known]
        if missing:
            self.known.update(zip(missing, self.held.embed_documents(missing), strict=True))
        return [self.known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed the text."""
        return self.embed_documents([text])[0]


class Small(Letters):
    """A model that extends another one, and calls it."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        return super().embed_documents(texts)


MODELS: dict[str, tuple[Any, str]] = {
    "pydantic": (Pydantic, "embeddings pydantic-1"),
    "mixed": (Mixed, "embeddings mixed-1"),
    "hidden": (lambda: Hidden(Letters()), "embeddings letters-1"),
    "cached": (lambda: Cached(Letters()), "embeddings letters-1"),
    "extended": (Small, "embeddings letters-1"),
    "fake": (lambda: FakeEmbeddings(size=3), "embeddings"),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", CALLS, ids=str)
async def test_every_kind_of_model_makes_one_span(way: Way, model: str) -> None:
    """However many methods and objects a call goes through, it is one span, named after the model."""
    if model == "fake":
        pytest.importorskip("numpy")
    make, name = MODELS[model]
    with capture_spans() as captured:
        await way.run(retrieving(make()), "Hi", {"callbacks": [SentryStreamHandler()]})
    assert only(captured.spans).name == name


def test_a_text_that_a_cache_knows_makes_no_span() -> None:
    """Where no model is called, there is no call."""
    model = Cached(Letters())
    model.embed_query("Hi")
    with capture_spans() as captured:
        retrieving(model).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert captured.find_all(op="gen_ai.embeddings") == []


def embed(model: Embeddings) -> Any:
    """A step of the user's own that embeds two documents."""
    return RunnableLambda(lambda question: model.embed_documents([question, f"{question}!"]))


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_embedding_has_the_user_and_the_metadata_of_its_run(shape: str, allowed: bool) -> None:
    """No config reaches it, and whose texts were embedded is asked all the same; metadata needs the client's leave."""
    handler = SentryStreamHandler(user_key="user_id", metadata_keys=["tenant"])
    config: Any = {"callbacks": [handler], "metadata": {"user_id": "u1", "tenant": "acme"}, "tags": ["beta"]}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        RunnableLambda(Letters().embed_query).invoke("Hi", config)
    told = captured.find(op="gen_ai.embeddings").attributes
    keys = ("user.id", "langchain_stream.metadata.tenant", "langchain_stream.tags")
    assert [told.get(key) for key in keys] == ["u1", *(["acme", ["beta"]] if allowed else [None, None])]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_embedding_in_a_tool_is_a_span_below_the_tool(shape: str) -> None:
    """What encloses the call is its parent, whatever kind of run that is."""

    @tool
    def look_up(question: str) -> str:
        """Look it up."""
        return str(Letters().embed_documents([question, question]))

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        look_up.invoke({"question": "Hi"}, {"callbacks": [SentryStreamHandler()]})
    span = only(captured.spans)
    assert span.parent_id == captured.find(op="gen_ai.execute_tool").span_id
    assert span.attributes["langchain_stream.inputs"] == 2


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize(
    ("allowed", "settings", "expected"),
    [
        (True, {}, [f"{SECRET} here", f"{SECRET} here!"]),
        (True, {"redact": lambda text: text.replace(SECRET, "[gone]")}, ["[gone] here", "[gone] here!"]),
        (True, {"include_prompts": False}, None),
        (False, {}, None),
    ],
    ids=["allowed", "redacted", "vetoed", "not allowed"],
)
def test_texts_are_recorded_only_as_they_may_be(
    shape: str, allowed: bool, settings: dict[str, Any], expected: list[str] | None
) -> None:
    """The client's gate, `include_prompts` and `redact` hold for the texts of embedding models."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        embed(Letters()).invoke(f"{SECRET} here", {"callbacks": [SentryStreamHandler(**settings)]})
    recorded = only(captured.spans).attributes.get("gen_ai.embeddings.input")
    assert (None if recorded is None else json.loads(recorded)) == expected
    if expected is None or SECRET not in expected[0]:
        assert SECRET not in b"".join(captured.envelopes).decode()


def test_many_texts_are_cut_to_the_limit() -> None:
    """The attribute keeps to its limit, and says how many texts are missing."""
    with capture_spans(**content_allowed(True)) as captured:
        chain: Any = RunnableLambda(lambda number: Letters().embed_documents(["x" * 1_000] * number))
        chain.invoke(500, {"callbacks": [SentryStreamHandler()]})
    recorded = only(captured.spans).attributes["gen_ai.embeddings.input"]
    assert 90_000 < len(recorded) <= 100_000
    assert "texts cut" in json.loads(recorded)[-1]
    assert only(captured.spans).attributes["gen_ai.usage.input_tokens"] == 500 * approximate("x" * 1_000)


@pytest.mark.parametrize(
    ("error", "outcome"), [(ValueError, "failed"), (asyncio.CancelledError, "cancelled")], ids=["error", "cancelled"]
)
@pytest.mark.parametrize("way", CALLS, ids=str)
@pytest.mark.parametrize("shape", BOTH_MODELS)
async def test_a_call_that_fails_is_a_failed_span_and_one_issue(
    shape: str, way: Way, error: type[BaseException], outcome: str
) -> None:
    """The exception is the caller's, the span says how the call ended, and the issue is that of the enclosing run."""
    model = Letters()
    model.fails = error("boom")
    with capture_spans(**WIRE_SHAPES[shape]) as captured, pytest.raises(error) as raised:
        await way.run(retrieving(model), "Hi", {"callbacks": [SentryStreamHandler()]})
    assert raised.value is model.fails or error is asyncio.CancelledError
    span = only(captured.spans)
    assert span.attributes["langchain_stream.outcome"] == outcome
    assert "gen_ai.usage.input_tokens" not in span.attributes
    assert len(captured.events) == (outcome == "failed")


@pytest.mark.parametrize("above", [True, False], ids=["in a span", "alone"])
@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_with_the_integration_a_call_outside_of_runs_has_a_span_too(
    shape: str, asynchronous: bool, above: bool
) -> None:
    """It is a child of the active span, or else of a pipeline of its own, as a lone model call is."""

    async def call() -> None:
        if asynchronous:
            await Letters().aembed_query("Hi there")
        else:
            Letters().embed_query("Hi there")

    with capture_spans(**WIRE_SHAPES[shape], integrations=[SentryStreamIntegration("bot")]) as captured:
        if above:
            with active_span(shape) as parent:
                await call()
        else:
            await call()
            parent = captured.find(op="function").span_id
    span = only(captured.spans)
    assert span.parent_id == parent
    assert span.attributes["gen_ai.pipeline.name"] == "bot"


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_a_lone_call_that_fails_is_no_issue(shape: str) -> None:
    """The application has the exception, and may go on without the vectors."""
    model = Letters()
    model.fails = ValueError("boom")
    with capture_spans(**WIRE_SHAPES[shape], integrations=[SentryStreamIntegration()]) as captured:
        for above in (nullcontext(), active_span(shape)):
            with above, pytest.raises(ValueError, match="boom"):
                model.embed_query("Hi")
    assert [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.embeddings")] == [
        "failed"
    ] * 2
    assert captured.events == []


def test_without_the_integration_a_call_outside_of_runs_is_none_of_ours() -> None:
    """A handler follows what it was passed to, and nothing else."""
    SentryStreamHandler()
    with capture_spans() as captured, active_span("transaction"):
        Letters().embed_query("Hi")
    assert captured.find_all(op="gen_ai.embeddings") == []


class WithoutIntegrations(NonRecordingClient):
    """What stands for no client in sentry-sdk 2.44."""

    def __getattribute__(self, name: str) -> Any:
        if name == "integrations":
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("client", [NonRecordingClient, WithoutIntegrations])
def test_without_a_client_nothing_changes(client: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Sentry client the vectors are what they are."""
    monkeypatch.setattr("sentry_sdk.scope.NonRecordingClient", client)
    assert Letters().embed_query("Hi") == [2.0, 1.0, 0.5]
    assert embed(Letters()).invoke("Hi", {"callbacks": [SentryStreamHandler()]}) == [[2.0, 1.0, 0.5], [3.0, 1.0, 0.5]]


def test_the_methods_look_as_they_did() -> None:
    """Name, documentation, signature and kind of the methods stay."""
    assert Letters.embed_query.__name__ == "embed_query"
    assert Letters.embed_query.__doc__ == "Embed the text."
    assert list(inspect.signature(Letters.embed_documents).parameters) == ["self", "texts"]
    assert inspect.iscoroutinefunction(Letters.aembed_query)
    assert not inspect.iscoroutinefunction(Letters.embed_query)


@pytest.mark.usefixtures("switched")
def test_uninstalling_puts_every_method_back() -> None:
    """After `uninstall` the classes are as they were made, later subclasses are not touched, and `install` is back."""
    wrapped = Letters.__dict__["embed_query"]
    other_integrations.uninstall()
    assert Letters.__dict__["embed_query"] is wrapped.__wrapped__
    assert "embed_query" not in Mixed.__dict__
    assert "__init_subclass__" not in Embeddings.__dict__

    class Later(Letters):
        def embed_query(self, text: str) -> list[float]:
            return [0.0]

    assert not hasattr(Later.embed_query, "__wrapped__")
    other_integrations.install()
    assert hasattr(Later.embed_query, "__wrapped__")


class InThreads(BaseRetriever):
    """A retriever that hands a sync search to a thread, as vector stores without async methods do."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(str(Letters().embed_query(query)))]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return await run_in_executor(None, self._search, query)

    def _search(self, query: str) -> list[Document]:
        return [Document(str(Letters().embed_query(query)))]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_embedding_in_a_retrievers_thread_is_below_the_retriever(shape: str) -> None:
    """The thread has the retriever's context, though the retriever is not on its stack."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await (InThreads() | str).ainvoke("Hi", {"callbacks": [SentryStreamHandler()]})
    retriever = next(each for each in captured.spans if each.name.startswith("retrieve "))
    assert only(captured.spans).parent_id == retriever.span_id


class Asking(Letters):
    """A model that opens a span of the user's own, in whatever thread LangChain runs it."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        shape = self.model
        with child_span(shape, "inner work"):
            return super().embed_documents(texts)


@pytest.mark.parametrize("way", CALLS, ids=str)
@pytest.mark.parametrize("shape", BOTH_MODELS)
@needs_async_context(lambda way: is_async(way))
async def test_what_an_embedding_model_does_is_below_its_span(shape: str, way: Way) -> None:
    """The span is the active one inside the call, also in the thread of an async call, and no more after it."""

    def after(_: Any) -> str:
        with child_span(shape, "work after"):
            return "done"

    chain = retrieving(Asking(shape)) | RunnableLambda(after)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chain, "Hi", {"callbacks": [SentryStreamHandler()]})
    spans = {span.name: span for span in captured.spans}
    assert spans["inner work"].parent_id == only(captured.spans).span_id
    assert spans["work after"].parent_id == captured.spans[0].span_id


@needs_async_context()
async def test_calls_side_by_side_are_not_mixed_up() -> None:
    """Each call's span is its own, and has its own number of texts."""
    models = [Letters(f"letters-{number}") for number in range(8)]
    chain = RunnableLambda(lambda number: models[number].embed_documents(["Hi"] * (number + 1)))
    with capture_spans() as captured:
        await chain.abatch(list(range(8)), {"callbacks": [SentryStreamHandler()]})
    found = {
        span.name: span.attributes["langchain_stream.inputs"] for span in captured.find_all(op="gen_ai.embeddings")
    }
    assert found == {f"embeddings letters-{number}": number + 1 for number in range(8)}
