"""Texts that are neither a prompt nor an answer: stop sequences, and whatever stands in the schema of a tool."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler, track_stream
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

Ask = Callable[..., object]


def model(stop: list[str], **settings: Any) -> None:
    """A model of LangChain's is asked, with these settings of the handler."""
    handler = SentryStreamHandler(**settings)
    ScriptedModel().bind(tools=[TOOL], stop=stop).invoke("Hi", {"callbacks": [handler]})


def tracked(stop: list[str], **settings: Any) -> None:
    """Another client is asked, whose stream is tracked."""
    list(track_stream(iter(["Hi"]), model="m", tools=[TOOL], parameters={"stop": stop}, **settings))


@pytest.mark.parametrize("ask", [model, tracked])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_nothing_passes_redact(shape: str, ask: Ask) -> None:
    """Stop sequences and every text in a tool's schema are redacted; types and names are as they were."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        ask([CANARY, "END"], redact=lambda text: text.replace(CANARY, "[gone]"))
    span = captured.find(op="gen_ai.chat")
    assert CANARY.encode() not in b"".join(captured.envelopes)
    assert "END" in str(span.attributes["gen_ai.request.stop_sequences"])
    [definition] = json.loads(span.attributes["gen_ai.tool.definitions"])
    assert definition["parameters"]["properties"]["pattern"]["type"] == "string"
    assert definition["parameters"]["required"] == ["pattern"]
    assert definition["parameters"]["properties"]["any"]["anyOf"][1] == {"type": "null"}


@pytest.mark.parametrize("ask", [model, tracked])
@pytest.mark.parametrize(
    ("allowed", "settings"), [(False, {}), (True, {"include_prompts": False})], ids=["client", "settings"]
)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_nothing_is_sent_without_content(shape: str, allowed: bool, settings: dict[str, Any], ask: Ask) -> None:
    """Where inputs may not be recorded, neither are stop sequences."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        ask([CANARY], **settings)
    assert len(captured.find_all(op="gen_ai.chat")) == 1
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("ask", [model, tracked])
def test_stop_sequences_are_bounded(ask: Ask) -> None:
    """A long list of long stop sequences costs a few characters."""
    with capture_spans(**content_allowed(True)) as captured:
        ask(["x" * 1_000_000] * 50)
    assert "xxx" in str(captured.find(op="gen_ai.chat").attributes["gen_ai.request.stop_sequences"])
    assert len(b"".join(captured.envelopes)) < 20_000
