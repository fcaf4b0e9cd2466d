"""Parts of recorded messages, and whether messages keep to the conventions."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from sentry_langchain_stream._content.policy import Limits

DATA = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQ="
"""Base64 of 26 bytes."""
SIGNED = "https://user:word@example.com/cat.png?signature=abc#top"


def strictly(constant: str) -> NoReturn:
    """Refuse what Python's JSON has and JSON has not: NaN and the infinities."""
    raise ValueError(f"{constant} is no JSON")


def text(said: str) -> dict[str, Any]:
    """A text part."""
    return {"type": "text", "content": said}


def reasoning(thought: str) -> dict[str, Any]:
    """A reasoning part."""
    return {"type": "reasoning", "content": thought}


def call(name: str = "weather", identity: str | None = "call-1", **arguments: Any) -> dict[str, Any]:
    """A tool call part."""
    return {"type": "tool_call", "id": identity, "name": name, "arguments": arguments}


def response(result: str, identity: str | None = "call-1", **more: Any) -> dict[str, Any]:
    """A tool's response part."""
    return {"type": "tool_call_response", "id": identity, "result": result, **more}


def blob(modality: str, mime: str | None, size: int = 26) -> dict[str, Any]:
    """A part that stands for data."""
    told = {"type": "blob", "content": "[Blob substitute]", "size": size, "modality": modality}
    return told if mime is None else {**told, "mime_type": mime}


def uri(modality: str, address: str = "https://example.com/cat.png", **more: Any) -> dict[str, Any]:
    """A part that stands for what lies elsewhere."""
    return {"type": "uri", "uri": address, "modality": modality, **more}


def uploaded(modality: str, identity: str = "file-1", **more: Any) -> dict[str, Any]:
    """A part that stands for a file that the provider has."""
    return {"type": "file", "file_id": identity, "modality": modality, **more}


# What each part must have, and may have: OpenTelemetry's GenAI message schema, where Sentry's examples have "result".
SCHEMA: dict[str, tuple[dict[str, type | tuple[type, ...]], dict[str, type | tuple[type, ...]]]] = {
    "text": ({"content": str}, {"citations": (list, str)}),
    "reasoning": ({"content": str}, {}),
    "tool_call": ({"name": str, "id": (str, type(None)), "arguments": object}, {}),
    "tool_call_response": ({"id": (str, type(None)), "result": str}, {"status": str}),
    "blob": ({"modality": str, "content": str}, {"mime_type": str, "size": int}),
    "uri": ({"modality": str, "uri": str}, {"mime_type": str}),
    "file": ({"modality": str, "file_id": str}, {"mime_type": str}),
}


GENERIC: tuple[dict[str, Any], dict[str, Any]] = ({}, {"content": str})


def conforming(recorded: str, limit: int = Limits().attribute) -> list[Any]:
    """Messages as they were recorded, held against the conventions."""
    assert len(recorded.encode("utf-8")) <= limit
    recorded.encode("utf-8")
    messages = json.loads(recorded, parse_constant=strictly)
    assert isinstance(messages, list)
    for message in messages:
        assert set(message) - {"finish_reason"} == {"role", "parts"}
        assert message["role"] in ("user", "assistant", "tool", "system")
        assert isinstance(message.get("finish_reason", ""), str)
        for part in message["parts"]:
            kind = part["type"]
            assert isinstance(kind, str)
            needed, possible = SCHEMA.get(kind, GENERIC)
            assert {"type", *needed} <= set(part) <= {"type", *needed, *possible}
            for name, types in {**needed, **possible}.items():
                assert name not in part or isinstance(part[name], types)
            if kind == "blob":
                assert part["content"] == "[Blob substitute]"
    return messages
