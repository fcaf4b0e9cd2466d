"""An answer that fails its schema reaches LangChain's error event as the body of an HTTP response."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.parts import call, text
from tests.kit.wire import ScriptedModel, content_allowed


@dataclass
class Response:
    """What LangChain reads of an HTTP response."""

    body: Any
    status_code: int = 200

    def json(self) -> Any:
        """Return the body."""
        return self.body


class SchemaError(Exception):
    """What a provider's client raises, with the response."""

    def __init__(self, response: Response) -> None:
        super().__init__("no JSON")
        self.response = response


class Strict(ScriptedModel):
    """A model whose answer fails its schema."""

    answer: Any = None

    def _generate(self, messages: list[BaseMessage], *args: Any, **more: Any) -> ChatResult:
        raise SchemaError(self.answer)


def answered(message: Any, **more: Any) -> dict[str, Any]:
    """The body of an answer of OpenAI's."""
    return {"id": "1", "choices": [{"finish_reason": "stop", "message": message}], "usage": {"total_tokens": 3}, **more}


def attributes_of(answer: Response, allowed: bool = True, redact: Any = None) -> dict[str, Any]:
    """What the envelopes have of the call."""
    with capture_spans(**content_allowed(allowed)) as captured, pytest.raises(SchemaError):
        Strict(answer=answer).invoke("Hi", {"callbacks": [SentryStreamHandler(redact=redact)]})
    return dict(captured.find(op="gen_ai.chat").attributes)


FUNCTION = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "assistant", "content": "not json", "refusal": None}, text("not json")),
        ({"role": "assistant", "content": None, "tool_calls": [FUNCTION]}, call(city="Paris")),
    ],
    ids=["text", "tool call"],
)
def test_an_answer_that_fails_its_schema_is_recorded(message: Any, expected: dict[str, Any]) -> None:
    """The message in the body of a successful response is the answer of the failed call."""
    attributes = attributes_of(Response(answered(message)))
    assert json.loads(attributes["gen_ai.output.messages"]) == [
        {"role": "assistant", "parts": [expected], "finish_reason": "stop"}
    ]


def test_an_answer_that_fails_its_schema_is_redacted() -> None:
    """Such an answer passes `redact`."""
    attributes = attributes_of(Response(answered({"content": "not json"})), redact=lambda text: "***")
    assert json.loads(attributes["gen_ai.output.messages"])[0]["parts"] == [text("***")]


def test_an_answer_that_fails_its_schema_needs_outputs() -> None:
    """Without leave to record outputs, such an answer is recorded nowhere."""
    assert "not json" not in str(attributes_of(Response(answered({"content": "not json"})), allowed=False))


@pytest.mark.parametrize(
    "response",
    [
        Response(answered({"content": "secret"}), 400),
        Response({"error": {"message": "secret"}}),
        Response({"choices": ["secret"]}),
        Response("secret"),
        Response(answered("secret")),
    ],
    ids=["an error's status", "no choices", "no choice", "no JSON", "no message"],
)
def test_the_body_of_an_error_is_not_recorded(response: Response) -> None:
    """Of a response that is no answer, the body is not recorded."""
    attributes = attributes_of(response)
    assert "gen_ai.output.messages" not in attributes
    assert "secret" not in str(attributes)
