"""What is recorded of a tool's result: data as JSON, and content blocks as the text that they have."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import content_allowed

NOISE = random.Random(5).randbytes(600)
PNG = base64.b64encode(NOISE).decode()
SUBSTITUTE = "[Blob substitute: 600 bytes]"


def result_of(returned: Any) -> tuple[str, int]:
    """What the envelopes have of a tool's result, and its size."""

    @tool
    def look() -> Any:
        """Looks something up."""
        return returned

    with capture_spans(**content_allowed(True)) as captured:
        look.invoke({}, {"callbacks": [SentryStreamHandler()]})
    attributes = captured.find(op="gen_ai.execute_tool").attributes
    return attributes["gen_ai.tool.call.result"], attributes["gen_ai.tool.call.result.size"]


DATA: list[Any] = [
    [{"file": "a.py", "line": 3}, {"file": "b.py", "line": 4}],
    [{"text": "a", "score": 0.5, "url": "https://example.com?q=1"}],
    [{"uri": "spotify:track:1", "title": "A"}],
    [{"document": "Contract", "score": 1}],
    [{"image": "x.png", "price": 10}],
    [{"image": "x.png"}],
    [{"type": "image", "price": 5}],
    [{"type": "file", "path": "/a", "size": 5}],
    [{"type": "file", "path": "a.py", "content": "import os"}],
    [{"type": "note", "text": "a"}],
    {"tool_call_id": "a", "state": "ok"},
    {"tool_call_id": 5, "status": "ok", "content": "x", "more": 1},
    {"additional_kwargs": {}, "x": 1},
    {"type": "report", "additional_kwargs": {}, "content": "x"},
    ["a", "b"],
]


@pytest.mark.parametrize("returned", DATA, ids=repr)
def test_data_is_recorded_as_json(returned: Any) -> None:
    """Data that has some keys of a content block or a message is recorded as JSON, with the size of that JSON."""
    result, size = result_of(returned)
    assert json.loads(result) == returned
    assert size == len(result)


@pytest.mark.parametrize("key", ["file", "image", "content", "document"])
def test_binary_data_in_data_is_replaced(key: str) -> None:
    """In the JSON of a result, binary data is replaced whatever its key is."""
    result, _ = result_of([{key: PNG, "price": 10}, {"type": "file", "path": "a.png", key: PNG}])
    assert [each[key] for each in json.loads(result)] == [SUBSTITUTE] * 2


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ([{"type": "text", "text": "a", "annotations": None}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"text": "a"}], "a"),
        ([{"type": "image", "base64": PNG, "mime_type": "image/png"}], "[Blob substitute: image/png, 600 bytes]"),
        ([{"image": {"format": "png", "source": {"bytes": PNG}}}], "[Blob substitute: image/png, 600 bytes]"),
        ([{"type": "document", "source": {"type": "text", "data": "words"}}], "words"),
        ({"role": "tool", "tool_call_id": "1", "content": "words"}, "words"),
    ],
    ids=repr,
)
def test_content_blocks_are_recorded_as_text(returned: Any, expected: str) -> None:
    """Content blocks and messages are recorded by their text, media by type and size."""
    assert result_of(returned)[0] == expected


@pytest.mark.parametrize(
    "content",
    [
        [],
        ["a", "", {"type": "text", "text": ""}, {"type": "text", "text": "b"}],
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "süß"}}],
        [{"type": "document", "source": {"type": "content", "content": [{"text": "a"}, {"text": "b"}]}}, "c"],
        [{"document": {"format": "txt", "name": "notes", "source": {"text": "words"}}}],
        [{"json": {"sky": "blue"}}],
    ],
    ids=repr,
)
def test_the_size_is_that_of_what_is_recorded(content: list[Any]) -> None:
    """The size of a message's content is that of its text, also where a provider wraps it, or that of its JSON."""
    result, size = result_of(ToolMessage(content, tool_call_id="1"))
    assert size == len(result.encode())


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (NOISE, SUBSTITUTE),
        ({"data": NOISE, "name": "a.png"}, f"{{'data': {SUBSTITUTE}, 'name': 'a.png'}}"),
        ([{"type": "text", "text": str([repr(NOISE)])}], None),
        ("A picture: " + repr(NOISE * 500), None),
        ("words " * 20_000 + repr(NOISE * 500), None),
    ],
    ids=["bytes", "in a dict", "repr of a repr", "longer than is recorded", "cut inside"],
)
def test_bytes_that_langchain_made_a_text_of_are_replaced(returned: Any, expected: str | None) -> None:
    """Bytes that a tool returns to an agent become their repr in LangChain's message: a placeholder replaces them."""

    @tool
    def look() -> Any:
        """Looks something up."""
        return returned

    with capture_spans(**content_allowed(True)) as captured:
        asked: Any = {"type": "tool_call", "id": "1", "name": "look", "args": {}}
        look.invoke(asked, {"callbacks": [SentryStreamHandler()]})
    result = captured.find(op="gen_ai.execute_tool").attributes["gen_ai.tool.call.result"]
    assert result == expected or (expected is None and "Blob substitute" in result)
    assert result.count("\\x") < 64
