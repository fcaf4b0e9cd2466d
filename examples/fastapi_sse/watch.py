"""What the page shows of Sentry: the spans of one trace, read back from what the service sent."""

from __future__ import annotations

import time
from typing import Any

from fastapi import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from sentry_langchain_stream.demo.serve import Elsewhere
from sentry_langchain_stream.demo.verdict import is_middleware
from sentry_langchain_stream.testing import Captured
from sentry_langchain_stream.testing.envelopes import model_spans
from sentry_langchain_stream.testing.timeline import as_html

KEPT = 200
"""Envelopes that are kept, the latest."""

PATIENCE = 5.0
"""Seconds in which a request that has answered, or was left, is to have told Sentry of it."""


def watched(service: ASGIApp, captured: Captured) -> ASGIApp:
    """The service, and beside it `/spans/{trace_id}`, of which Sentry is told nothing."""
    inspector = Elsewhere()

    @inspector.get("/spans/{trace_id}")
    def spans(trace_id: str) -> dict[str, Any]:  # no coroutine: it waits, in a thread of its own
        deadline = time.monotonic() + PATIENCE
        while (told := tell(captured, trace_id)) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if told is None:
            raise HTTPException(404, "Sentry was sent no model span of this trace")
        del captured.envelopes[:-KEPT]
        return told

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = inspector if scope.get("path", "").startswith("/spans/") else service
        await chosen(scope, receive, send)

    return app


def tell(captured: Captured, trace_id: str) -> dict[str, Any] | None:
    """The trace as a picture and in numbers, once the request and its model call have both been sent."""
    spans = [span for span in captured.spans if span.trace_id == trace_id and not is_middleware(span)]
    calls = model_spans(spans)
    if not calls or not any(span.op == "http.server" for span in spans):
        return None
    return {
        "timeline": as_html(spans),
        "calls": [{"op": span.op, "name": span.name, "attributes": span.attributes} for span in calls],
        "issues": [
            event["event_id"]
            for event in captured.events
            if event.get("contexts", {}).get("trace", {}).get("trace_id") == trace_id
        ],
    }
