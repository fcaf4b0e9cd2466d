"""Where contestants send to over HTTP: it accepts everything, and can tell whether spans were in it."""

from __future__ import annotations

import gzip
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from .model import MODEL, PROMPT


class Receiver:
    """A server on this machine, in a thread. Use it with `with`."""

    def __init__(self) -> None:
        self._watching = False
        self._models = self._prompts = False
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                receiver._note(body, self.headers.get("content-encoding"))
                self.send_response(200)
                self.send_header("content-length", "2")
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(b"{}")

            do_GET = do_POST

            def log_message(self, *args: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        """Where to send to."""

    def __enter__(self) -> Receiver:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def watch(self) -> None:
        """Look into what arrives from now on."""
        self._watching, self._models, self._prompts = True, False, False

    def seen(self) -> tuple[bool, bool]:
        """Stop looking, and say whether a model's name has arrived, and whether a prompt has."""
        self._watching = False
        return self._models, self._prompts

    def _note(self, body: bytes, encoding: str | None) -> None:
        if not self._watching:
            return
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "deflate":
            body = zlib.decompress(body)
        self._models |= MODEL.encode() in body
        self._prompts |= PROMPT.encode() in body
