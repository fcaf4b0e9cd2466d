"""What leaves the process is right for Sentry: for its conventions, its normaliser and its data scrubber."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sentry_sdk
from sentry_conventions.attributes import ATTRIBUTE_METADATA, AttributeType
from sentry_relay.processing import StoreNormalizer, convert_datascrubbing_config, pii_strip_event

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._vocabulary.keys import Dialect
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import HAS_ASYNC_CONTEXT
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

DIALECTS: tuple[Dialect, ...] = ("gen_ai", "ai")

TYPES: dict[AttributeType, tuple[type, ...]] = {
    AttributeType.STRING: (str,),
    AttributeType.INTEGER: (int,),
    AttributeType.DOUBLE: (float, int),
    AttributeType.BOOLEAN: (bool,),
    AttributeType.STRING_ARRAY: (list,),
}

DEFAULT_SCRUBBER = {
    "scrubData": True,
    "scrubDefaults": True,
    "scrubIpAddresses": False,
    "sensitiveFields": [],
    "excludeFields": [],
}

USAGE = {
    "input_tokens": 9,
    "output_tokens": 4,
    "total_tokens": 13,
    "input_token_details": {"cache_read": 2, "cache_creation": 1, "audio": 1},
    "output_token_details": {"reasoning": 1, "audio": 1},
}
FACTS = {"model_name": "fake-1", "finish_reason": "stop", "id": "answer-1"}


async def captured_run(way: Way, shape: str, dialect: Dialect) -> Captured:
    """A run of a chain that states as much as there is to state."""
    handler = SentryStreamHandler("support-bot", dialect=dialect)
    model = ScriptedModel(usage=USAGE, response_metadata=FACTS).bind(
        temperature=0.5, top_p=0.9, top_k=5, seed=7, stop=["END"], max_tokens=100, frequency_penalty=0.1
    )
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        # What other tests left on the scopes (breadcrumbs, contexts) is none of ours.
        sentry_sdk.get_isolation_scope().clear()
        sentry_sdk.get_current_scope().clear()
        config: Any = {"callbacks": [handler]}
        await way.run(model, [("system", "Be brief."), ("user", "Count to three.")], config)
    return captured


def server_side(captured: Captured, *, scrub: bool) -> dict[str, Any]:
    """The transaction as Sentry's own normaliser, and if wanted its default scrubber, leave it."""
    (transaction,) = [payload for kind, payload in captured.items if kind == "transaction"]
    transaction.pop("extra", None)  # the command line, which the normaliser cuts if it is long
    event: dict[str, Any] = StoreNormalizer(project_id=1).normalize_event(transaction)
    if scrub:
        event = pii_strip_event(convert_datascrubbing_config(DEFAULT_SCRUBBER), event)
    return event


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_every_attribute_that_leaves_has_its_conventional_type(way: Way, shape: str, dialect: Dialect) -> None:
    """Each key of Sentry's conventions carries the type that they give it; all other keys are ours or the recipe's."""
    captured = await captured_run(way, shape, dialect)
    assert len(captured.spans) == 2
    for span in captured.spans:
        for key, value in span.attributes.items():
            if key == "thread.id":
                continue  # the SDK's own, which sends it as text
            metadata = ATTRIBUTE_METADATA.get(key)
            if metadata is None:
                assert key in ("pipeline_name", "ai.total_tokens") or key.startswith(("langchain_stream.", "sentry."))
            else:
                assert isinstance(value, TYPES[metadata.type]), (key, value, metadata.type)
                assert metadata.type is AttributeType.BOOLEAN or not isinstance(value, bool), (key, value)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_normaliser_finds_nothing_wrong(way: Way, dialect: Dialect) -> None:
    """Sentry's real normaliser accepts the transaction and every span in it, and marks no field as bad."""
    event = server_side(await captured_run(way, "transaction", dialect), scrub=False)
    assert event.get("_meta") is None
    assert len(event["spans"]) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_only_the_model_call_is_typed_as_one(dialect: Dialect) -> None:
    """Sentry types the model span a model call and the pipeline span something else, or its sums would double."""
    event = server_side(await captured_run(WAYS[0], "transaction", dialect), scrub=False)
    assert event["spans"][0]["data"]["gen_ai.operation.type"] == "ai_client"
    assert event["contexts"]["trace"]["data"].get("gen_ai.operation.type") in (None, "agent")


TYPES_OF_KINDS = {"chat": "ai_client", "invoke_agent": "agent", "execute_tool": "tool", None: None}
"""A span's operation, and the type that Sentry gives it."""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
async def test_each_kind_of_run_is_typed_as_what_it_is(subject: Subject, dialect: Dialect) -> None:
    """Sentry types agents, tools and models as such, and everything else as nothing that it knows."""
    handler = SentryStreamHandler(dialect=dialect, chains=True)
    with capture_spans(**WIRE_SHAPES["transaction"], **content_allowed(True)) as captured:
        sentry_sdk.get_isolation_scope().clear()
        sentry_sdk.get_current_scope().clear()
        await WAYS[2 if HAS_ASYNC_CONTEXT else 3].run(
            subject.make(ScriptedModel(usage=USAGE)), subject.question, {"callbacks": [handler]}
        )
    event = server_side(captured, scrub=False)
    told = [event["contexts"]["trace"]["data"], *(span["data"] for span in event["spans"])]
    for data in told:
        assert data.get("gen_ai.operation.type") == TYPES_OF_KINDS[data.get("gen_ai.operation.name")]
    assert [data.get("gen_ai.operation.type") for data in told].count("ai_client") == subject.calls
    assert event.get("_meta") is None


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_model_pipeline_and_numbers_survive_the_default_scrubber(dialect: Dialect) -> None:
    """What the mission is about is still there after server-side scrubbing; only bare `ai.total_tokens` is not."""
    (span,) = server_side(await captured_run(WAYS[0], "transaction", dialect), scrub=True)["spans"]
    survives = {
        "ai.model_id": "scripted",
        "gen_ai.request.model": "scripted",
        "gen_ai.response.model": "fake-1",
        "pipeline_name": "support-bot",
        "gen_ai.pipeline.name": "support-bot",
        "ai.pipeline.name": "support-bot",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.total_tokens": 13,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "ai.total_tokens.used": 13,
        "langchain_stream.outcome": "completed",
        "langchain_stream.usage_source": "provider",
        "langchain_stream.audio_input": 1,
    }
    assert {key: span["data"].get(key) for key in survives} == survives
    assert span["data"].get("ai.total_tokens") is None


async def test_messages_have_the_conventional_shape() -> None:
    """Messages are one JSON string of roles and parts, with the system text apart."""
    captured = await captured_run(WAYS[2], "transaction", "gen_ai")
    told = captured.find(op="gen_ai.chat").attributes
    assert json.loads(told["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Count to three."}]}
    ]
    assert told["gen_ai.system_instructions"] == "Be brief."
    assert json.loads(told["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "one two three"}], "finish_reason": "stop"}
    ]
