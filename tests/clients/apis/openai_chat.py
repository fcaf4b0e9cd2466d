"""OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.clients.apis.shared import ARGUMENTS_SENT, FUNCTION, PIECES, WITH_SYSTEM, Api, library
from tests.kit.replay import Answer


def _chat(kind: str) -> Answer:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        return {**base, "choices": choices, "usage": None}

    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    more = [{"index": 0, "function": {"arguments": each}} for each in ARGUMENTS_SENT]
    deltas: dict[str, list[dict[str, Any]]] = {
        "text": [{"content": piece} for piece in PIECES],
        "tool": [{"tool_calls": [each]} for each in (call, *more)],
    }
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
    }
    return [
        chunk({"role": "assistant", "content": "" if kind == "text" else None}),
        *map(chunk, deltas[kind]),
        chunk({}, "stop" if kind == "text" else "tool_calls"),
        {**base, "choices": [], "usage": usage},
        "[DONE]",
    ]


def _chat_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": "gpt-4o-mini",
        "messages": WITH_SYSTEM,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.3,
        "max_tokens": 99,
        "stop": ["END"],
        **tools,
    }


def openai(url: str, kind: str = "OpenAI") -> Any:
    return getattr(library("openai"), kind)(base_url=f"{url}/v1", api_key="none", max_retries=0)


CHAT = Api(
    "openai-chat",
    _chat,
    lambda url, tools: openai(url).chat.completions.create(**_chat_request(tools)),
    lambda url, tools: openai(url, "AsyncOpenAI").chat.completions.create(**_chat_request(tools)),
    lambda url: library("langchain_openai").ChatOpenAI(
        model="gpt-4o-mini",
        base_url=f"{url}/v1",
        api_key="none",
        max_retries=0,
        stream_usage=True,
        temperature=0.3,
        max_tokens=99,
        stop=["END"],
    ),
    [{"type": "function", "function": FUNCTION}],
    {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "messages": WITH_SYSTEM,
        "parameters": _chat_request({}),
    },
    leave_after=3,
    better=("gen_ai.response.id",),
    better_left=("gen_ai.response.model",),
    kinds=("text", "tool"),
)
