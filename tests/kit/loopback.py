"""A server on the loopback, of which a test says only what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Body:
    """An answer: its body in any format, and what is said of it."""

    content_type: str
    data: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_body(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Body:
    """An answer in JSON."""
    return Body("application/json", json.dumps(value).encode(), status, headers or {})


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler, bytes], Body]) -> Iterator[str]:
    """Answer each POST with what this makes of the request and its body. Yields the URL without a trailing slash."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or what follows the headers comes 40 ms late

        def do_POST(self) -> None:
            body = answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            self.send_response(body.status)
            self.send_header("Content-Type", body.content_type)
            self.send_header("Content-Length", str(len(body.data)))
            self.send_header("Connection", "close")
            for name, value in body.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.data)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
