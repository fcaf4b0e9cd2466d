"""The events of a stream as they are on the wire, in each framing that a provider uses."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from zlib import crc32


def sse(event: Any) -> bytes:
    """A server-sent event: its data, with a name if it is a pair of one and the data, or has it in the field `type`."""
    name, data = event if isinstance(event, tuple) else (None, event)
    if name is None and isinstance(data, dict):
        name = data.get("type")
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def json_line(event: Any) -> bytes:
    """A line of JSON, as Ollama sends its chunks."""
    return json.dumps(event).encode() + b"\n"


def aws_event(event: dict[str, Any]) -> bytes:
    """A message of AWS' event stream encoding: its only key is the type of the event."""
    ((kind, data),) = event.items()
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for key, value in names.items()
    )
    body = json.dumps(data).encode()
    prelude = (len(headers) + len(body) + 16).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    message = prelude + crc32(prelude).to_bytes(4, "big") + headers + body
    return message + crc32(message).to_bytes(4, "big")


def aws_chunk(event: dict[str, Any]) -> bytes:
    """A part of the answer of a model that Bedrock passes on as it is."""
    return aws_event({"chunk": {"bytes": b64encode(json.dumps(event).encode()).decode()}})
