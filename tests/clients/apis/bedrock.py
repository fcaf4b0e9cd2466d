"""Bedrock's Converse API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.clients.apis.shared import (
    ARGUMENTS_SENT,
    DESCRIPTION,
    PIECES,
    QUESTION,
    SCHEMA,
    SYSTEM,
    THOUGHT,
    Api,
    library,
)
from tests.kit.replay import Answer, aws_events


def _bedrock(kind: str) -> Answer:
    def deltas(index: int, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
        events = [{"contentBlockDelta": {"contentBlockIndex": index, "delta": body}} for body in bodies]
        return [*events, {"contentBlockStop": {"contentBlockIndex": index}}]

    tool = {"toolUse": {"toolUseId": "call_1", "name": "get_weather"}}
    blocks = {
        "text": deltas(0, *({"text": piece} for piece in PIECES)),
        "tool": [
            {"contentBlockStart": {"contentBlockIndex": 0, "start": tool}},
            *deltas(0, *({"toolUse": {"input": each}} for each in ARGUMENTS_SENT)),
        ],
        "thought": [
            *deltas(0, {"reasoningContent": {"text": THOUGHT}}),
            *deltas(1, *({"text": piece} for piece in PIECES)),
        ],
    }
    usage = {"inputTokens": 12, "outputTokens": 9, "totalTokens": 29, "cacheReadInputTokens": 8}
    return aws_events(
        {"messageStart": {"role": "assistant"}},
        *blocks[kind],
        {"messageStop": {"stopReason": "tool_use" if kind == "tool" else "end_turn"}},
        {"metadata": {"usage": {**usage, "cacheWriteInputTokens": 0}, "metrics": {"latencyMs": 1}}},
    )


_BEDROCK_MODEL = "anthropic.claude-3-5-haiku-20241022-v1:0"
_BEDROCK_MESSAGES = [{"role": "user", "content": [{"text": QUESTION}]}]
_BEDROCK_CONFIG = {"inferenceConfig": {"maxTokens": 99, "temperature": 0.3, "stopSequences": ["END"]}}


def _bedrock_stream(url: str, tools: Mapping[str, Any]) -> Any:
    client = library("boto3").client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    request = {
        "modelId": _BEDROCK_MODEL,
        "messages": _BEDROCK_MESSAGES,
        "system": [{"text": SYSTEM}],
        **_BEDROCK_CONFIG,
    }
    offered = {"toolConfig": tools["tools"]} if tools else {}
    return client.converse_stream(**request, **offered)["stream"]


BEDROCK = Api(
    "bedrock",
    _bedrock,
    _bedrock_stream,
    None,
    lambda url: library("langchain_aws").ChatBedrockConverse(
        model=_BEDROCK_MODEL,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        max_tokens=99,
        temperature=0.3,
        stop=["END"],
    ),
    {"tools": [{"toolSpec": {"name": "get_weather", "description": DESCRIPTION, "inputSchema": {"json": SCHEMA}}}]},
    {
        "model": _BEDROCK_MODEL,
        "messages": _BEDROCK_MESSAGES,
        "system": [{"text": SYSTEM}],
        "parameters": _BEDROCK_CONFIG,
    },
    leave_after=3,
    assumed=("gen_ai.response.model",),
)
