"""A server that sends a payload as its provider does: as JSON, or as a stream in the provider's framing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.kit.framing import aws_chunk, aws_event, json_line, sse
from tests.kit.loopback import Body, answering, json_body
from tests.payloads.pages import Payload


class Serving:
    """The server's address without a trailing slash, and what it sends next."""

    def __init__(self) -> None:
        self.url = ""
        self.sent: Any = None
        self._body = json_body({})

    def send(self, payload: Payload, transport: str) -> None:
        """Send this from now on, whatever is asked."""
        self.sent = payload.sent
        if payload.streams and transport != "array":
            content_type, frame = _FRAMINGS[transport]
            self._body = Body(content_type, b"".join(map(frame, payload.sent)), headers=payload.headers)
        else:
            self._body = json_body(payload.sent, headers=payload.headers)

    def answer(self, _: BaseHTTPRequestHandler, __: bytes) -> Body:
        """Answer one request."""
        return self._body


@contextmanager
def serving() -> Iterator[Serving]:
    """Serve on a port of this machine."""
    kept = Serving()
    with answering(kept.answer) as kept.url:
        yield kept


_FRAMINGS = {
    "sse": ("text/event-stream", sse),
    "ndjson": ("application/x-ndjson", json_line),
    "aws-chunks": ("application/vnd.amazon.eventstream", aws_chunk),
    "aws": ("application/vnd.amazon.eventstream", aws_event),
}
