"""A server that answers what a provider was seen to answer, whatever it is asked, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from zlib import crc32


@dataclass(frozen=True)
class Body:
    """The body of an answer in any format."""

    content_type: str
    data: bytes
    status: int = 200


Answer = dict[str, Any] | Sequence[Any] | Body
"""A whole answer, which is sent as JSON; or the events of a stream, each its data, or a pair of a name and the data; or
a body as it is sent."""


@dataclass
class Replay:
    """What was asked of the server, at this address without a trailing slash."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def replaying(*answers: Answer) -> Iterator[Replay]:
    """Serve these answers, one after the other, and then the last one again."""
    kept: Replay

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = answers[min(len(kept.requests), len(answers) - 1)]
            kept.requests.append(json.loads(body or "{}"))
            sent = _body(answer)
            self.send_response(sent.status)
            self.send_header("Content-Type", sent.content_type)
            self.send_header("Content-Length", str(len(sent.data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(sent.data)
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Replay(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _body(answer: Answer) -> Body:
    if isinstance(answer, Body):
        return answer
    if isinstance(answer, dict):
        return Body("application/json", json.dumps(answer).encode())
    return Body("text/event-stream", "".join(map(_event, answer)).encode())


def json_lines(*chunks: dict[str, Any]) -> Body:
    """A stream as Ollama sends it: a chunk per line."""
    return Body("application/x-ndjson", "".join(f"{json.dumps(chunk)}\n" for chunk in chunks).encode())


def aws_events(*events: dict[str, Any]) -> Body:
    """A stream as AWS sends it, in its binary format: events with a name and a body each."""
    return Body("application/vnd.amazon.eventstream", b"".join(_aws_event(*pair) for e in events for pair in e.items()))


def _aws_event(name: str, body: dict[str, Any]) -> bytes:
    names = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes([len(key)]) + key.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for key, value in names.items()
    )
    payload = json.dumps(body).encode()
    prelude = (len(headers) + len(payload) + 16).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    message = prelude + crc32(prelude).to_bytes(4, "big") + headers + payload
    return message + crc32(message).to_bytes(4, "big")


def _event(event: Any) -> str:
    name, data = event if isinstance(event, tuple) else (None, event)
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
