"""What stands where Sentry should: it answers, hangs, refuses, or answers wrongly, and counts what it has accepted."""

from __future__ import annotations

import gzip
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sentry_sdk.envelope import Envelope

from tests.kit import HANG

from .books import calls_in

SINKS = ("ok", "hang", "refuse", "429", "500", "garbage")


class Sink:
    """A server on loopback that has one of these ways."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.gate = threading.Event()
        """Until it is set, a sink that hangs answers nothing."""
        self._bodies: list[bytes] = []
        self._refused: list[bytes] = []
        if way == "refuse":
            # A port that is taken and on which nobody listens.
            self._socket = socket.socket()
            self._socket.bind(("127.0.0.1", 0))
            self._server = None
            port = self._socket.getsockname()[1]
        else:
            self._server = _Server(("127.0.0.1", 0), _answering(self))
            port = self._server.server_address[1]
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.dsn = f"http://public@127.0.0.1:{port}/42"

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        if self._server is None:
            self._socket.close()
        else:
            self._server.shutdown()
            self._server.server_close()

    @property
    def requests(self) -> int:
        """How many requests have been answered."""
        return len(self._bodies) + len(self._refused)

    def arrived(self) -> int:
        """Model spans that were accepted."""
        return _calls(self._bodies)

    def refused(self) -> int:
        """Model spans that were answered with 429: Sentry itself counts these, so the SDK does not."""
        return _calls(self._refused)

    def take(self, body: bytes) -> bytes:
        """The answer to an envelope, as bytes of HTTP."""
        if self.way == "hang":
            self.gate.wait(HANG)
        if self.way in ("ok", "hang"):
            self._bodies.append(body)
            return _http("200 OK", '{"id": "abc"}')
        if self.way == "429":
            self._refused.append(body)
            return _http("429 Too Many Requests", "{}", "Retry-After: 1\r\n")
        return _http("500 Internal Server Error", "{}") if self.way == "500" else b"\x00\xff garbage \r\n\r\n" * 3


def _http(status: str, body: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


def _calls(bodies: list[bytes]) -> int:
    plain = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in bodies]
    return sum(calls_in(item) for body in plain for item in Envelope.deserialize(body).items)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is not worth a word."""


def _answering(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(sink.take(body))
            self.close_connection = sink.way == "garbage"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Answering
