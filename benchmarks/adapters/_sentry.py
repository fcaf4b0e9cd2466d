"""What the contestants that report to Sentry share."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.langchain import LangchainIntegration
from sentry_sdk.integrations.langgraph import LanggraphIntegration
from sentry_sdk.transport import Transport

from . import Sink


def init(sink: Sink, variant: str, *, own_integration: bool = False) -> None:
    """`sentry_sdk.init` with its defaults, tracing everything, and a transport that swallows."""

    class Swallow(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            if sink.watched:
                _note(sink, envelope)

    options: dict[str, Any] = {"trace_lifecycle": "stream"} if variant == "streamed" else {}
    address = sink.address or "http://127.0.0.1:9"
    sentry_sdk.init(
        dsn=f"{address.replace('://', '://key@')}/1",
        transport=Swallow if sink.address is None else None,
        traces_sample_rate=0.0 if variant == "unsampled" else 1.0,
        send_default_pii=variant == "content",
        disabled_integrations=[] if own_integration else [LangchainIntegration, LanggraphIntegration],
        **options,
    )


def request() -> Any:
    """A transaction, as a web framework's integration opens one; where spans are streamed, a segment."""
    client = sentry_sdk.get_client()
    if not client.is_active():
        return nullcontext()
    if client.options.get("trace_lifecycle") == "stream":
        return sentry_sdk.traces.start_span("request", parent_span=None)
    return sentry_sdk.start_transaction(op="http.server", name="request")


def asgi(app: Any) -> Any:
    """An application with Sentry's middleware for ASGI, which makes a transaction of each request."""
    from sentry_sdk.integrations.asgi import SentryAsgiMiddleware

    return SentryAsgiMiddleware(app)


def _note(sink: Sink, envelope: Envelope) -> None:
    for item in envelope.items:
        told: Any = item.payload.json or {}
        if item.type == "transaction":
            root = told.get("contexts", {}).get("trace", {})
            sink.shape.append((str(root.get("op")), len(root.get("data") or ())))
        for span in [*told.get("spans", ()), *told.get("items", ())]:
            attributes = span.get("data") or span.get("attributes") or {}
            op = span.get("op") or _plain(attributes.get("sentry.op"))
            name = str(span.get("description") or span.get("name"))
            named = _plain(attributes.get("gen_ai.request.model")) or name.removeprefix("chat ")
            sink.shape.append((str(op), len(attributes)))
            sink.note(named if op in ("gen_ai.chat", "bench.span") else None, span)


def _plain(value: Any) -> Any:
    return value.get("value") if isinstance(value, dict) else value
