"""What is read of LangChain's v3 stream events."""

from __future__ import annotations

from typing import Any

import pytest

from sentry_langchain_stream._from_langchain import stream_events
from sentry_langchain_stream._runs.usage import Usage

DELTA = "content-block-delta"
USAGE = {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18}
NOTHING = ("", False, None)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"event": DELTA, "delta": {"type": "text-delta", "text": "a"}}, ("a", True, None)),
        ({"event": DELTA, "delta": {"type": "text", "text": "a"}}, ("a", True, None)),
        ({"event": DELTA, "content_block": {"type": "text", "text": "a"}}, ("a", True, None)),
        ({"event": DELTA, "delta": {"type": "block-delta", "fields": {"args": "{"}}}, ("", True, None)),
        (
            {"event": DELTA, "delta": {"type": "block-delta", "fields": {"type": "text", "text": "a"}}},
            ("a", True, None),
        ),
        ({"event": DELTA, "delta": {"type": "block-delta", "fields": 7}}, NOTHING),
        ({"event": DELTA, "delta": {"type": "reasoning-delta", "text": "a"}}, ("", True, None)),
        ({"event": DELTA, "delta": {"type": "text", "text": 7}}, ("", True, None)),
        ({"event": DELTA, "delta": 7}, NOTHING),
        ({"event": DELTA}, NOTHING),
        ({"event": "content-block-start", "content": {"type": "tool_call", "name": "n"}}, ("", True, None)),
        ({"event": "content-block-start", "content_block": {"type": "tool_call", "name": "n"}}, ("", True, None)),
        ({"event": "content-block-start", "content": {"type": "text", "text": ""}}, NOTHING),
        ({"event": "content-block-finish", "content": {"type": "text", "text": "a"}}, NOTHING),
        ({"event": "message-finish", "usage": {"input_tokens": 1}}, ("", False, Usage(1, None, 1))),
        ({"event": "message-start", "usage": {"input_tokens": 1}}, NOTHING),
        (7, NOTHING),
        ({"event": "message-start", "role": "ai", "id": "1"}, NOTHING),
        (
            {"event": "content-block-start", "content": {"type": "reasoning", "reasoning": "", "extras": {"a": 1}}},
            NOTHING,
        ),
        (
            {"event": "content-block-start", "content": {"type": "tool_call_chunk", "name": "f", "args": ""}},
            ("", True, None),
        ),
        ({"event": "content-block-start", "content": {"type": "tool_call", "name": "f", "args": {}}}, ("", True, None)),
        ({"event": "content-block-start", "content": {"type": "image", "mime_type": "image/png"}}, NOTHING),
        ({"event": "content-block-start", "content": {"type": "image", "url": "https://x"}}, ("", True, None)),
        ({"event": "content-block-start", "content_block": {"type": "text", "text": ""}}, NOTHING),
        ({"event": "content-block-delta", "delta": {"type": "text-delta", "text": "Hi"}}, ("Hi", True, None)),
        ({"event": "content-block-delta", "delta": {"type": "text-delta", "text": ""}}, NOTHING),
        ({"event": "content-block-delta", "delta": {"type": "text-delta", "text": None}}, NOTHING),
        ({"event": "content-block-delta", "delta": {"type": "reasoning-delta", "reasoning": "Hm"}}, ("", True, None)),
        ({"event": "content-block-delta", "delta": {"type": "tool-call-delta", "args": "{"}}, ("", True, None)),
        ({"event": "content-block-delta", "delta": {"type": "data-delta", "data": "aa"}}, ("", True, None)),
        (
            {"event": "content-block-delta", "delta": {"type": "block-delta", "fields": {"type": "text", "id": "1"}}},
            NOTHING,
        ),
        (
            {
                "event": "content-block-delta",
                "delta": {"type": "block-delta", "fields": {"type": "tool_call_chunk", "args": "{"}},
            },
            ("", True, None),
        ),
        ({"event": "content-block-delta", "content_block": {"type": "text", "text": "Hi"}}, ("Hi", True, None)),
        ({"event": "content-block-delta"}, NOTHING),
        ({"event": "content-block-finish", "content": {"type": "text", "text": "Hi"}}, NOTHING),
        ({"event": "message-finish"}, NOTHING),
        ({"event": "message-finish", "usage": USAGE}, ("", False, Usage(11, 7, 18))),
        ({"event": "error", "message": "no"}, NOTHING),
        ({"event": "of tomorrow"}, NOTHING),
        ({}, NOTHING),
        (None, NOTHING),
        ("message-start", NOTHING),
    ],
    ids=str,
)
def test_what_an_event_brings(event: Any, expected: tuple[str, bool, Usage | None]) -> None:
    """Deltas bring text and content, starts what is theirs alone, the end of the message its usage, others nothing."""
    assert stream_events.read(event) == expected


@pytest.mark.parametrize("name", ["type", "index", "id", "extras", "annotations", "mime_type", "encoding"])
def test_what_a_block_tells_of_itself_is_no_content(name: str) -> None:
    """What is said about a block counts for nothing, whatever it is."""
    assert stream_events.read({"event": DELTA, "delta": {name: "x"}}) == NOTHING


def test_only_an_error_event_says_that_the_model_failed() -> None:
    """A run has failed by the protocol's `error` event alone."""
    assert stream_events.failed({"event": "error", "message": "no"})
    others: list[Any] = [{"event": "message-finish"}, {"event": "type"}, {}, None, "error"]
    assert not any(map(stream_events.failed, others))
