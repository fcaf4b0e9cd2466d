"""Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.clients.apis.shared import (
    ALL_USAGE,
    ARGUMENTS_SENT,
    DESCRIPTION,
    MESSAGES,
    PIECES,
    SCHEMA,
    SYSTEM,
    THOUGHT,
    Api,
    library,
)
from tests.kit.replay import Answer


def _anthropic(kind: str) -> Answer:
    def event(name: str, /, **fields: Any) -> tuple[str, dict[str, Any]]:
        return name, {"type": name, **fields}

    def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[Any]:
        return [
            event("content_block_start", index=index, content_block=start),
            *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
            event("content_block_stop", index=index),
        ]

    text = block(0, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in PIECES))
    call = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}
    blocks = {
        "text": text,
        "tool": block(0, call, *({"type": "input_json_delta", "partial_json": each} for each in ARGUMENTS_SENT)),
        "thought": [
            *block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": THOUGHT},
            ),
            *block(1, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in PIECES)),
        ],
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-example-20260101",
    }
    usage = {"input_tokens": 12, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0}
    end = {"stop_reason": "tool_use" if kind == "tool" else "end_turn", "stop_sequence": None}
    return [
        event("message_start", message={**message, "stop_reason": None, "usage": {**usage, "output_tokens": 1}}),
        *blocks[kind],
        event("message_delta", delta=end, usage={**usage, "output_tokens": 9}),
        event("message_stop"),
    ]


def _anthropic_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": "claude-example",
        "system": SYSTEM,
        "messages": MESSAGES,
        "stream": True,
        "max_tokens": 99,
        "stop_sequences": ["END"],
        **tools,
    }


def _anthropic_client(url: str, kind: str = "Anthropic") -> Any:
    return getattr(library("anthropic"), kind)(base_url=url, api_key="none", max_retries=0)


ANTHROPIC = Api(
    "anthropic",
    _anthropic,
    lambda url, tools: _anthropic_client(url).messages.create(**_anthropic_request(tools)),
    lambda url, tools: _anthropic_client(url, "AsyncAnthropic").messages.create(**_anthropic_request(tools)),
    lambda url: library("langchain_anthropic").ChatAnthropic(
        model="claude-example", base_url=url, api_key="none", max_retries=0, max_tokens=99, stop=["END"]
    ),
    [{"name": "get_weather", "description": DESCRIPTION, "input_schema": SCHEMA}],
    {
        "model": "claude-example",
        "provider": "anthropic",
        "messages": MESSAGES,
        "system": SYSTEM,
        "parameters": _anthropic_request({}),
    },
    leave_after=4,
    better=("gen_ai.response.id",),
    better_left=ALL_USAGE,  # the prompt's tokens are in the first event
)
