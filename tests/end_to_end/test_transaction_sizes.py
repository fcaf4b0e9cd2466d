"""A transaction never reaches the size at which Sentry refuses it with everything in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sentry_sdk
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool
from sentry_sdk.consts import DEFAULT_OPTIONS
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.canary import Shelf
from tests.kit.wire import ScriptedModel, content_allowed

REFUSED = 1_048_576
"""Relay's `max_event_size`, in bytes."""
REFUSED_TOGETHER = 12 * 1_048_576
"""Relay's `max_container_size`, in bytes."""
TEXTS = {"ascii": "word ", "quotes": '"\\', "chinese": "流式回答", "emoji": "🙂"}


def transactions(captured: Captured) -> list[bytes]:
    """The transactions that left, as they left."""
    items = [item for raw in captured.envelopes for item in Envelope.deserialize(raw).items]
    return [item.payload.get_bytes() for item in items if item.type == "transaction"]


def check(captured: Captured) -> None:
    """Each transaction is below Sentry's limit, and each content in it that was JSON still is."""
    sent = transactions(captured)
    assert sent
    assert max(map(len, sent)) < REFUSED
    for span in captured.spans:
        for value in span.attributes.values():
            if isinstance(value, str) and value.startswith(("[{", '{"')):
                json.loads(value)


def config() -> Any:
    return {"callbacks": [SentryStreamHandler()]}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_twelve_retrievers_of_long_documents(text: str) -> None:
    """Their documents do not fit into one transaction: the spans are all there, and some say how much was cut."""
    shelf = Shelf(holds=Document(text * (60_000 // len(text)), metadata={"source": "s"}))
    with capture_spans(**content_allowed(True)) as captured:
        with sentry_sdk.start_transaction(name="request", op="http.server"):
            for _ in range(12):
                shelf.invoke(text * 5_000, config=config())
        many = [Document(text * 5_000)] * 20
        with sentry_sdk.start_transaction(name="request", op="http.server"):
            for _ in range(30):
                _Many(holds=shelf.holds, many=many).invoke("Where?", config=config())
    check(captured)
    found = captured.find_all(name="retrieve _Many")
    assert len(found) == 30
    cut = [
        span
        for span in found
        if "characters cut ...]" in json.loads(span.attributes["langchain_stream.found"])[0]["content"]
    ]
    assert cut
    assert all("langchain_stream.documents" in span.attributes for span in found)


class _Many(Shelf):
    """A retriever that finds many documents."""

    many: list[Document]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.many


@pytest.mark.skipif("stream_gen_ai_spans" not in DEFAULT_OPTIONS, reason="this SDK leaves them in the transaction")
@pytest.mark.parametrize("text", ["\x01", "流式回答", "🙂"], ids=["control", "chinese", "emoji"])
def test_the_spans_that_leave_beside_a_transaction_are_bounded_too(text: str) -> None:
    """The AI spans that the SDK sends in an item of their own are all there, and the item is not too large."""
    with (
        capture_spans(stream_gen_ai_spans=True, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(120):
            ScriptedModel().invoke([HumanMessage(text * (60_000 // len(text)))], config=config())
    items = [item for raw in captured.envelopes for item in Envelope.deserialize(raw).items]
    sizes = [len(item.payload.get_bytes()) for item in items if item.type == "span"]
    assert 5_000_000 < max(sizes) < REFUSED_TOGETHER
    found = captured.find_all(op="gen_ai.chat")
    assert len(found) == 120
    for span in found:
        assert json.loads(span.attributes["gen_ai.input.messages"])
    check(captured)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_model_calls_keep_their_contents_longest(text: str) -> None:
    """Where model calls are in the transaction, tools and retrievers lose their contents before they do."""

    def look(subject: str) -> str:
        """Look."""
        return text * 20_000

    tool = StructuredTool.from_function(look)
    with (
        capture_spans(stream_gen_ai_spans=False, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(35):
            ScriptedModel().invoke([HumanMessage(text * (1_500 // len(text)))], config=config())
            tool.invoke({"subject": text * 20_000}, config=config())
    check(captured)
    for span in captured.find_all(op="gen_ai.chat"):
        (message,) = json.loads(span.attributes["gen_ai.input.messages"])
        assert message["parts"][0]["content"].startswith(text)
    tools = captured.find_all(op="gen_ai.execute_tool")
    keys = ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result")
    assert any(span.attributes[key].startswith("[... ") for span in tools for key in keys)


def test_a_thousand_spans_lose_what_the_pages_do_not_need() -> None:
    """Many small spans are too large together: some lose details, and say how many; tokens and models are all there."""
    with (
        capture_spans(stream_gen_ai_spans=False) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(990):
            config: Any = {
                "callbacks": [SentryStreamHandler("support-bot", metadata_keys=["tenant"])],
                "run_name": "a model with a long name of its own, as long as some are",
                "metadata": {"thread_id": "t" * 60, "tenant": "acme"},
            }
            ScriptedModel().invoke("Hi", config=config)
    check(captured)
    spans = captured.find_all(op="gen_ai.chat")
    assert len(spans) == 990
    assert any("langchain_stream.left_out" in span.attributes for span in spans)
    for span in spans:
        assert {"gen_ai.request.model", "gen_ai.usage.total_tokens", "pipeline_name"} <= span.attributes.keys()


def test_a_transaction_that_fits_is_as_it_was() -> None:
    """Nothing is taken from a transaction with much content that is below the limit."""
    with (
        capture_spans(stream_gen_ai_spans=False, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(8):
            ScriptedModel().invoke([HumanMessage("word " * 4_000)] * 4, config=config())
    check(captured)
    assert len(transactions(captured)[0]) > 500_000
    for span in captured.find_all(op="gen_ai.chat"):
        assert "cut ...]" not in span.attributes["gen_ai.input.messages"]


@pytest.mark.parametrize("longest", [1_000, 10_000, 100_000])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_sdk_cuts_no_content(text: str, longest: int) -> None:
    """`max_value_length`, which counts bytes, is kept to, so the JSON of messages and documents is whole."""
    with (
        capture_spans(max_value_length=longest, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        ScriptedModel().invoke([HumanMessage(text * 9_000) for _ in range(20)], config=config())
        _Many(holds=Document(""), many=[Document(text * 9_000)] * 20).invoke(text * 60_000, config=config())
    check(captured)
    for span in captured.spans:
        for value in span.attributes.values():
            assert not isinstance(value, str) or len(value.encode()) <= longest
    (chat,) = captured.find_all(op="gen_ai.chat")
    assert json.loads(chat.attributes["gen_ai.input.messages"])[-1]["parts"][0]["content"].startswith(text)


def test_a_result_that_looks_like_a_decision_is_cut_like_any_other() -> None:
    """Only the messages of a decision have its shape: what a tool returns may begin with the same words."""
    text = '[{"type": "evaluation", "state": "' + "word " * 12_000 + '"}]'
    judge = StructuredTool.from_function(lambda question: text, name="judge", description="Judge.")
    with (
        capture_spans(stream_gen_ai_spans=False, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(90):
            judge.invoke({"question": "Which?"}, config=config())
    check(captured)
    results = [
        str(span.attributes.get("gen_ai.tool.call.result")) for span in captured.find_all(op="gen_ai.execute_tool")
    ]
    assert any("characters cut" in result and len(result) < 100 for result in results)
