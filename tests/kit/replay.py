"""A server that answers what a provider was seen to answer, whatever it is asked, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.kit.framing import aws_event, json_line, sse
from tests.kit.loopback import Body, answering, json_body

Answer = dict[str, Any] | Sequence[Any] | Body
"""A whole answer, which is sent as JSON; or the events of a stream, each its data, or a pair of a name and the data; or
a body as it is sent."""


@dataclass
class Replay:
    """What was asked of the server, at this address without a trailing slash."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def replaying(*answers: Answer) -> Iterator[Replay]:
    """Serve these answers, one after the other, and then the last one again."""
    kept = Replay()

    def answer(_: BaseHTTPRequestHandler, body: bytes) -> Body:
        sent = answers[min(len(kept.requests), len(answers) - 1)]
        kept.requests.append(json.loads(body or "{}"))
        return _body(sent)

    with answering(answer) as kept.url:
        yield kept


def _body(answer: Answer) -> Body:
    if isinstance(answer, Body):
        return answer
    if isinstance(answer, dict):
        return json_body(answer)
    return Body("text/event-stream", b"".join(map(sse, answer)))


def json_lines(*chunks: dict[str, Any]) -> Body:
    """A stream as Ollama sends it: a chunk per line."""
    return Body("application/x-ndjson", b"".join(map(json_line, chunks)))


def aws_events(*events: dict[str, Any]) -> Body:
    """A stream as AWS sends it, in its binary format: events with a name and a body each."""
    return Body("application/vnd.amazon.eventstream", b"".join(map(aws_event, events)))
