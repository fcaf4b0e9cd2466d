"""Gemini's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.clients.apis.shared import ARGUMENTS, DESCRIPTION, PIECES, QUESTION, SCHEMA, SYSTEM, THOUGHT, Api, library
from tests.kit.replay import Answer


def _gemini(kind: str) -> Answer:
    def chunk(part: dict[str, Any], tokens: int, reason: str | None = None) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
        usage = {"promptTokenCount": 20, "candidatesTokenCount": tokens, "totalTokenCount": 24 + tokens}
        return {
            "candidates": [{**candidate, "finishReason": reason} if reason else candidate],
            "usageMetadata": {**usage, "thoughtsTokenCount": 4, "cachedContentTokenCount": 8},
            "modelVersion": "gemini-2.5-flash-001",
            "responseId": "resp-1",
        }

    *first, last = PIECES
    texts = [*(chunk({"text": piece}, 1) for piece in first), chunk({"text": last}, 5, "STOP")]
    call = {"functionCall": {"name": "get_weather", "args": ARGUMENTS, "id": "call_1"}}
    return {
        "text": texts,
        "tool": [chunk(call, 5, "STOP")],
        "thought": [chunk({"text": THOUGHT, "thought": True}, 0), *texts],
    }[kind]


_GEMINI_CONFIG = {"system_instruction": SYSTEM, "max_output_tokens": 99, "temperature": 0.3, "stop_sequences": ["END"]}


def _gemini_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": "gemini-2.5-flash", "contents": QUESTION, "config": {**_GEMINI_CONFIG, **tools}}


def _gemini_client(url: str) -> Any:
    options = library("google.genai").types.HttpOptions(base_url=url, api_version="v1beta")
    return library("google.genai").Client(api_key="none", http_options=options)


def _gemini_stream(url: str, tools: Mapping[str, Any]) -> Any:
    client = _gemini_client(url)
    yield from client.models.generate_content_stream(**_gemini_request(tools))


async def _gemini_astream(url: str, tools: Mapping[str, Any]) -> Any:
    client = _gemini_client(url)
    async for chunk in await client.aio.models.generate_content_stream(**_gemini_request(tools)):
        yield chunk
    await client.aio.aclose()


GEMINI = Api(
    "gemini",
    _gemini,
    _gemini_stream,
    _gemini_astream,
    lambda url: library("langchain_google_genai").ChatGoogleGenerativeAI(
        model="gemini-2.5-flash",
        base_url=url,
        api_version="v1beta",
        api_key="none",
        max_retries=1,
        max_output_tokens=99,
        temperature=0.3,
        stop=["END"],
    ),
    [{"function_declarations": [{"name": "get_weather", "description": DESCRIPTION, "parameters": SCHEMA}]}],
    {
        "model": "gemini-2.5-flash",
        "provider": "google_genai",
        "messages": QUESTION,
        "system": SYSTEM,
        "parameters": _gemini_request({}),
    },
    leave_after=2,
    better=("gen_ai.response.id",),
    better_left=("gen_ai.response.model",),
)
