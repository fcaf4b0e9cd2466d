"""OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.clients.apis.openai_chat import openai
from tests.clients.apis.shared import ARGUMENTS_SENT, FUNCTION, PIECES, WITH_SYSTEM, Api, library
from tests.kit.replay import Answer


def _responses(kind: str) -> Answer:
    def event(name: str, /, **fields: Any) -> tuple[str, dict[str, Any]]:
        numbers.append(0)
        return name, {"type": name, "sequence_number": len(numbers), **fields}

    def response(status: str, **fields: Any) -> dict[str, Any]:
        body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o-mini-2024-07-18"}
        rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "output": []}
        return {**body, **rest, "status": status, **fields}

    numbers: list[int] = []
    place = {"output_index": 0, "item_id": "item_1"}
    text = "".join(PIECES)
    events = [event("response.created", response=response("in_progress"))]
    output: dict[str, Any]
    if kind == "text":
        output = {"type": "message", "id": "item_1", "role": "assistant", "status": "completed"}
        part = {"type": "output_text", "text": text, "annotations": []}
        events += [
            event("response.output_item.added", output_index=0, item={**output, "content": []}),
            event("response.content_part.added", **place, content_index=0, part={**part, "text": ""}),
            *(event("response.output_text.delta", **place, content_index=0, delta=p, logprobs=[]) for p in PIECES),
            event("response.output_text.done", **place, content_index=0, text=text, logprobs=[]),
        ]
        output = {**output, "content": [part]}
    else:
        output = {"type": "function_call", "id": "item_1", "call_id": "call_1", "name": "get_weather"}
        arguments = "".join(ARGUMENTS_SENT)
        events += [
            event("response.output_item.added", output_index=0, item={**output, "arguments": ""}),
            *(event("response.function_call_arguments.delta", **place, delta=each) for each in ARGUMENTS_SENT),
            event("response.function_call_arguments.done", **place, name="get_weather", arguments=arguments),
        ]
        output = {**output, "arguments": arguments, "status": "completed"}
    usage = {
        "input_tokens": 20,
        "output_tokens": 9,
        "total_tokens": 29,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    return [
        *events,
        event("response.output_item.done", output_index=0, item=output),
        event("response.completed", response=response("completed", output=[output], usage=usage)),
    ]


def _responses_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": "gpt-4o-mini",
        "input": WITH_SYSTEM,
        "stream": True,
        "temperature": 0.3,
        "max_output_tokens": 99,
        **tools,
    }


RESPONSES = Api(
    "openai-responses",
    _responses,
    lambda url, tools: openai(url).responses.create(**_responses_request(tools)),
    lambda url, tools: openai(url, "AsyncOpenAI").responses.create(**_responses_request(tools)),
    lambda url: library("langchain_openai").ChatOpenAI(
        model="gpt-4o-mini",
        base_url=f"{url}/v1",
        api_key="none",
        max_retries=0,
        use_responses_api=True,
        temperature=0.3,
        max_tokens=99,
    ),
    [{"type": "function", **FUNCTION}],
    {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "messages": WITH_SYSTEM,
        "parameters": _responses_request({}),
    },
    leave_after=5,
    better_left=("gen_ai.response.model",),
    kinds=("text", "tool"),
)
