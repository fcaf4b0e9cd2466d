"""A call of a reranker is one span; document compressors that are no rerankers have none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ConfigDict

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.embedding import SECRET, Letters
from tests.kit.wire import BOTH_MODELS, WAYS, WIRE_SHAPES, Way, content_allowed

CALLS = [way for way in WAYS if not way.streams]
FOUND = [Document(f"{SECRET} one"), Document("two"), Document("three")]


class ShortestFirst(BaseDocumentCompressor):
    """A reranker of the user's own."""

    model: str = "shortest-1"
    top_n: int = 2
    fails: bool = False

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        """Return the shortest documents."""
        if self.fails:
            raise ValueError("boom")
        return sorted(documents, key=lambda document: len(document.page_content))[: self.top_n]


class CrossEncoder:
    """A model as cross-encoders are: an object with a name."""

    model_name = "cross-1"


class CrossReranker(ShortestFirst):
    """A reranker that holds its model."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    model: Any = CrossEncoder()


class AskingAModel(ShortestFirst):
    """A compressor that asks a language model, which has a span of its own."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    chain: Runnable[Any, Any] = RunnableLambda(str)


class Filter(BaseDocumentCompressor):
    """A compressor that compares vectors."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    embeddings: Embeddings = Letters()

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        """Return the documents."""
        self.embeddings.embed_documents([document.page_content for document in documents])
        return documents


class Reranked(BaseRetriever):
    """A retriever that reranks what it finds."""

    compressor: BaseDocumentCompressor

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return list(self.compressor.compress_documents(FOUND, query, callbacks=run_manager.get_child()))

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return list(await self.compressor.acompress_documents(FOUND, query, callbacks=run_manager.get_child()))


def only(captured: Captured) -> CapturedSpan:
    """The one span of a reranker."""
    return captured.find(op="gen_ai.rerank")


@pytest.mark.parametrize("way", CALLS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_reranker_is_a_span_below_its_retriever(shape: str, way: Way) -> None:
    """The span has the model, how many documents went in and came out, and how many were asked for."""
    handler = SentryStreamHandler("bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(Reranked(compressor=ShortestFirst()), "Which?", {"callbacks": [handler]})
    span = only(captured)
    parent = next(each for each in captured.spans if each.name.startswith("retrieve "))
    assert (span.name, span.parent_id) == ("rerank shortest-1", parent.span_id)
    expected = {
        "gen_ai.operation.name": "rerank",
        "gen_ai.request.model": "shortest-1",
        "gen_ai.pipeline.name": "bot",
        "langchain_stream.inputs": 3,
        "langchain_stream.documents": 2,
        "langchain_stream.top_n": 2,
        "langchain_stream.outcome": "completed",
    }
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert not any("usage" in key for key in span.attributes)
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize(
    ("allowed", "settings", "query", "found"),
    [
        (True, {}, f"{SECRET}?", ["two", "three", f"{SECRET} one"]),
        (True, {"redact": lambda text: text.replace(SECRET, "-")}, "-?", ["two", "three", "- one"]),
        (True, {"include_prompts": False}, None, None),
        (False, {}, None, None),
    ],
    ids=["allowed", "redacted", "vetoed", "not allowed"],
)
def test_query_and_documents_are_recorded_only_as_they_may_be(
    shape: str, allowed: bool, settings: dict[str, Any], query: str | None, found: list[str] | None
) -> None:
    """The client's gate, `include_prompts` and `redact` hold for rerankers."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        Reranked(compressor=ShortestFirst(top_n=3)).invoke(
            f"{SECRET}?", {"callbacks": [SentryStreamHandler(**settings)]}
        )
    told = only(captured).attributes
    assert told.get("langchain_stream.query") == query
    documents = told.get("langchain_stream.found")
    assert (documents and [each["content"] for each in json.loads(documents)]) == found
    if query is None or SECRET not in query:
        assert SECRET not in b"".join(captured.envelopes).decode()


def test_a_reranker_is_named_after_the_model_that_it_holds() -> None:
    """Cross-encoders hold an object with the model's name."""
    with capture_spans() as captured:
        Reranked(compressor=CrossReranker()).invoke("Which?", {"callbacks": [SentryStreamHandler()]})
    assert only(captured).name == "rerank cross-1"


@pytest.mark.parametrize("compressor", [AskingAModel(), Filter()], ids=lambda each: type(each).__name__)
def test_other_compressors_are_no_rerankers(compressor: BaseDocumentCompressor) -> None:
    """What a compressor calls has spans of its own: a language model, an embedding model."""
    with capture_spans() as captured:
        Reranked(compressor=compressor).invoke("Which?", {"callbacks": [SentryStreamHandler()]})
    assert captured.find_all(op="gen_ai.rerank") == []
    assert len(captured.find_all(op="gen_ai.embeddings")) == isinstance(compressor, Filter)


@pytest.mark.parametrize("shape", BOTH_MODELS)
@pytest.mark.parametrize("way", CALLS, ids=str)
async def test_a_reranker_that_fails_is_a_failed_span_and_one_issue(way: Way, shape: str) -> None:
    """The exception is the caller's, and the issue is that of the enclosing run."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, pytest.raises(ValueError, match="boom"):
        await way.run(Reranked(compressor=ShortestFirst(fails=True)), "Which?", {"callbacks": [SentryStreamHandler()]})
    assert only(captured).attributes["langchain_stream.outcome"] == "failed"
    assert len(captured.events) == 1


def test_with_the_integration_a_call_outside_of_runs_has_a_span_too() -> None:
    """It gets a pipeline of its own, as a lone model call does."""
    with capture_spans(integrations=[SentryStreamIntegration("bot")]) as captured:
        ShortestFirst().compress_documents(FOUND, "Which?")
    assert only(captured).parent_id == captured.find(op="function").span_id
