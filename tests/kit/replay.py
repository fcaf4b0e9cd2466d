"""A server that answers what a provider was seen to answer, whatever it is asked, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = dict[str, Any] | Sequence[Any]
"""A whole answer, which is sent as JSON; or the events of a stream, each its data, or a pair of a name and the data."""


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
            sent = json.dumps(answer) if isinstance(answer, dict) else "".join(map(_event, answer))
            self.send_response(200)
            self.send_header("Content-Type", "application/json" if isinstance(answer, dict) else "text/event-stream")
            self.send_header("Content-Length", str(len(sent.encode())))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(sent.encode())
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


def _event(event: Any) -> str:
    name, data = event if isinstance(event, tuple) else (None, event)
    named = f"event: {name}\n" if name else ""
    return f"{named}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
