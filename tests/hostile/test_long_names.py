"""No name, id or number, whoever made it, costs an envelope: Sentry would refuse it with the whole request."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.canary import Shelf
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

MEGABYTE = 1_000_000
TEXTS = {"ascii": "n" * MEGABYTE, "chinese": "名" * MEGABYTE, "emoji": "🙂" * MEGABYTE}
ENVELOPE = 300_000
"""Bytes, of which the names are a fraction."""


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("is_allowed", [False, True], ids=["content off", "content on"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_every_name_is_bounded(shape: str, is_allowed: bool, text: str) -> None:
    """Names of pipelines, runs, models, tools and retrievers, ids, reasons, stop sequences, conversations and tags."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(is_allowed)) as captured:
        for handler in (SentryStreamHandler(text, metadata_keys=["tenant"]), SentryStreamHandler(chains=True)):
            metadata = {"thread_id": text, "tenant": text, "pipeline_name": text, "lc_agent_name": text}
            config: Any = {"callbacks": [handler], "run_name": text, "tags": [text], "metadata": metadata}
            answer = {"finish_reason": text, "model_name": text, "id": text}
            ScriptedModel(model_name=text, response_metadata=answer).invoke("Hi", config, stop=[text] * 20)
            RunnableLambda(lambda given: given).invoke("Hi", config)
            tool = StructuredTool.from_function(lambda given: given, name=text, description="d")
            tool.invoke({"given": "it"}, config)
            Shelf(name=text, holds=Document("found")).invoke("Hi", config)
    assert len(captured.spans) >= 8
    assert max(map(len, captured.envelopes)) < ENVELOPE


NUMBERS = {"5,000 digits": 10**5_000, "2**53 + 1": 2**53 + 1, "1e300": 1e300, "infinity": inf, "no number": nan}


class _Counting(ScriptedModel):
    """A model that reports this many tokens."""

    tokens: Any

    def _usage(self) -> Any:
        return {"input_tokens": self.tokens, "output_tokens": 3, "total_tokens": self.tokens}

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        message = AIMessage(content="one", response_metadata={"token_usage": self._usage()})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="one"))
        yield ChatGenerationChunk(message=AIMessageChunk(content="", response_metadata={"token_usage": self._usage()}))


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_number_that_is_no_number_of_tokens(shape: str, name: str, way: Way) -> None:
    """It is left out, and the span arrives with the rest."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(
            _Counting(tokens=NUMBERS[name]), "Hi", {"callbacks": [SentryStreamHandler(cost=True, metrics=True)]}
        )
    attributes = captured.find(op="gen_ai.chat").attributes
    assert attributes["langchain_stream.outcome"] == "completed"
    assert all(value <= 2**53 for key, value in attributes.items() if "tokens" in key)
