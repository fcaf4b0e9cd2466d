"""A server that sends a payload as its provider does: as JSON, or as a stream in the provider's framing."""

from __future__ import annotations

import json
import struct
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zlib import crc32

from tests.payloads.pages import Payload


class Serving:
    """The server's address without a trailing slash, and what it sends next."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._content_type, self._body = "application/json", b"{}"
        self.sent: Any = None
        self._headers: Mapping[str, str] = {}

    def send(self, payload: Payload, transport: str) -> None:
        """Send this from now on, whatever is asked."""
        self.sent, self._headers = payload.sent, payload.headers
        if payload.streams and transport == "array":
            self._content_type, self._body = "application/json", json.dumps(payload.sent).encode()
        elif payload.streams:
            self._content_type, frame = _FRAMINGS[transport]
            self._body = b"".join(map(frame, payload.sent))
        else:
            self._content_type, self._body = "application/json", json.dumps(payload.sent).encode()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.send_response(200)
        handler.send_header("Content-Type", self._content_type)
        handler.send_header("Content-Length", str(len(self._body)))
        handler.send_header("Connection", "close")
        for name, value in self._headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self._body)
        handler.close_connection = True


@contextmanager
def serving() -> Iterator[Serving]:
    """Serve on a port of this machine."""
    kept: Serving

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            kept.answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Serving(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _sse(event: Any) -> bytes:
    """A server-sent event: its data, named as a field `type` or a pair says."""
    data = event if isinstance(event, str) else json.dumps(event)
    name = event.get("type") if isinstance(event, dict) else None
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def _ndjson(event: Any) -> bytes:
    return json.dumps(event).encode() + b"\n"


def _aws(event: dict[str, Any]) -> bytes:
    """A message of AWS' event stream encoding: its only key is the type of the event."""
    ((kind, data),) = event.items()
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in (
            (":event-type", kind),
            (":content-type", "application/json"),
            (":message-type", "event"),
        )
    )
    body = json.dumps(data).encode()
    prelude = struct.pack("!II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + body
    return message + struct.pack("!I", crc32(message))


def _aws_chunk(event: dict[str, Any]) -> bytes:
    """A part of the answer of a model that Bedrock passes on as it is."""
    return _aws({"chunk": {"bytes": b64encode(json.dumps(event).encode()).decode()}})


_FRAMINGS = {
    "sse": ("text/event-stream", _sse),
    "ndjson": ("application/x-ndjson", _ndjson),
    "aws-chunks": ("application/vnd.amazon.eventstream", _aws_chunk),
    "aws": ("application/vnd.amazon.eventstream", _aws),
}
