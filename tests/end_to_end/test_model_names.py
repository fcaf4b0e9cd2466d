"""Which provider and which model a span names where LangChain says little of them."""

from __future__ import annotations

from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._vocabulary.keys import Dialect
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way

ANSWERED = {"model_name": "the-model-that-answered"}


@pytest.mark.parametrize("dialect", ["gen_ai", "ai"])
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_model_without_a_name_takes_the_one_that_answered(shape: str, way: Way, dialect: Dialect) -> None:
    """Where the request names no model, the span has the model that answered, in its name and its attributes."""
    handler = SentryStreamHandler("support-bot", dialect=dialect)
    model = ScriptedModel(model_name="", response_metadata=ANSWERED)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(model, "Hi", {"callbacks": [handler]})
    (span,) = (span for span in captured.spans if "gen_ai.request.model" in span.attributes)
    for key in ("gen_ai.request.model", "gen_ai.response.model", "ai.model_id"):
        assert span.attributes[key] == "the-model-that-answered"
    assert span.name == ("chat the-model-that-answered" if dialect == "gen_ai" else "support-bot")


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_model_with_a_name_keeps_it(shape: str, way: Way) -> None:
    """Where the request names a model, the span is named after that, whichever model answers."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        model = ScriptedModel(model_name="asked", response_metadata=ANSWERED)
        await way.run(model, "Hi", {"callbacks": [SentryStreamHandler()]})
    span = captured.find(name="chat asked")
    assert span.attributes["gen_ai.request.model"] == "asked"
    assert span.attributes["gen_ai.response.model"] == "the-model-that-answered"


@pytest.mark.parametrize("name", ["ChatQwen", "ChatQwQ"])
def test_a_model_that_borrows_the_client_of_another_provider(name: str) -> None:
    """The real class of a package that is built on ChatOpenAI: the span names the provider that it asks."""
    made: Any = getattr(pytest.importorskip("langchain_qwq"), name)
    model = made(model="qwen-max", api_key="none", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with capture_spans() as captured, pytest.raises(Exception, match="onnect"):
        model.invoke("Hi", {"callbacks": [SentryStreamHandler(capture_errors=False)]})
    assert captured.find(name="chat qwen-max").attributes["gen_ai.provider.name"] == "dashscope"


def test_a_model_of_hugging_face() -> None:
    """The real class of Hugging Face's completion models: in dialect "ai" the op is that of their platform."""
    made: Any = pytest.importorskip("langchain_huggingface").HuggingFaceEndpoint
    model = made(endpoint_url="http://127.0.0.1:9", huggingfacehub_api_token="none")
    with capture_spans() as captured, pytest.raises(OSError, match=r"."):
        model.invoke("Hi", {"callbacks": [SentryStreamHandler(dialect="ai", capture_errors=False)]})
    span = captured.find(op="ai.chat_completions.create.huggingface_hub")
    assert span.attributes["gen_ai.provider.name"] == "huggingface"
