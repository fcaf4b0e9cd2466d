"""Texts that are neither a prompt nor an answer: stop sequences, and whatever stands in the schema of a tool."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed

CANARY = "canary"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "$comment": CANARY,
    "x-internal": {"note": CANARY, "type": CANARY},
    "properties": {
        "pattern": {
            "type": "string",
            "pattern": f"^{CANARY}$",
            "errorMessage": {"pattern": CANARY},
            "title": CANARY,
            "enum": [CANARY],
            "examples": [{"type": CANARY}],
        },
        "any": {"anyOf": [{"type": "string", "markdownDescription": CANARY}, {"type": "null"}]},
    },
    "required": ["pattern"],
}
TOOL = {"type": "function", "function": {"name": "look", "description": CANARY, "parameters": SCHEMA}}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_nothing_passes_redact(shape: str) -> None:
    """Stop sequences and every text in a tool's schema are redacted; types and names are as they were."""
    handler = SentryStreamHandler(redact=lambda text: text.replace(CANARY, "[gone]"))
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        ScriptedModel().bind(tools=[TOOL], stop=[CANARY, "END"]).invoke("Hi", {"callbacks": [handler]})
    span = captured.find(op="gen_ai.chat")
    assert CANARY.encode() not in b"".join(captured.envelopes)
    assert "END" in str(span.attributes["gen_ai.request.stop_sequences"])
    [definition] = json.loads(span.attributes["gen_ai.tool.definitions"])
    assert definition["parameters"]["properties"]["pattern"]["type"] == "string"
    assert definition["parameters"]["required"] == ["pattern"]
    assert definition["parameters"]["properties"]["any"]["anyOf"][1] == {"type": "null"}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_nothing_is_sent_without_content(shape: str) -> None:
    """Where inputs may not be recorded, neither are stop sequences."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(False)) as captured:
        ScriptedModel().bind(tools=[TOOL], stop=[CANARY]).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert len(captured.find_all(op="gen_ai.chat")) == 1
    assert CANARY.encode() not in b"".join(captured.envelopes)


def test_stop_sequences_are_bounded() -> None:
    """A long list of long stop sequences costs a few characters."""
    with capture_spans(**content_allowed(True)) as captured:
        ScriptedModel().bind(stop=["x" * 1_000_000] * 50).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert "xxx" in str(captured.find(op="gen_ai.chat").attributes["gen_ai.request.stop_sequences"])
    assert len(b"".join(captured.envelopes)) < 20_000
