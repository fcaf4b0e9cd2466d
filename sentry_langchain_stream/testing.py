"""See the spans that would leave the process, in one shape whatever the wire shape.

```python
from sentry_langchain_stream.testing import capture_spans

with capture_spans() as captured:
    chain.invoke(question, config={"callbacks": [SentryStreamHandler()]})
print(captured.tree())
assert captured.find(op="gen_ai.chat").attributes["ai.total_tokens"] > 0
```

What is shown is read back from the bytes of the envelopes, not from objects of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

_NOWHERE = "http://captured@127.0.0.1:9/1"


@dataclass(frozen=True, slots=True)
class CapturedSpan:
    """A span as Sentry would receive it. Times are seconds since the epoch."""

    op: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    start: float
    end: float
    status: str | None
    origin: str
    is_root: bool
    """Whether it is a transaction or a segment, the top of what this process sent."""
    attributes: Mapping[str, Any]
    shape: str
    """The wire shape it came in: `"transaction"` or `"span"` (a version 2 span item)."""

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return self.end - self.start


@dataclass(slots=True)
class Captured:
    """The envelopes that were kept from leaving, and what is in them."""

    client: Any
    envelopes: list[bytes] = field(default_factory=list)
    """The envelopes, serialized, in the order in which they would have left."""

    @property
    def items(self) -> list[tuple[str, Any]]:
        """`(type, parsed payload)` of every item of every envelope."""
        self.client.flush(timeout=2.0)
        return [
            (str(item.type), json.loads(item.payload.get_bytes()))
            for raw in self.envelopes
            for item in Envelope.deserialize(raw).items
            if item.type in ("transaction", "span", "event", "trace_metric", "log")
        ]

    @property
    def spans(self) -> list[CapturedSpan]:
        """Every span, by start time, a parent before its children."""
        spans = [span for kind, payload in self.items for span in _spans(kind, payload)]
        return sorted(spans, key=lambda span: (span.start, not span.is_root))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that would become an issue."""
        return [payload for kind, payload in self.items if kind == "event"]

    def find(self, *, op: str | None = None, name: str | None = None) -> CapturedSpan:
        """The one span with this op and name.

        Raises:
            LookupError: None or several match; the message lists what there is.
        """
        found = self.find_all(op=op, name=name)
        if len(found) != 1:
            raise LookupError(f"{len(found)} spans have op={op!r} and name={name!r}; there are:\n{self.tree()}")
        return found[0]

    def find_all(self, *, op: str | None = None, name: str | None = None) -> list[CapturedSpan]:
        """All spans with this op and name; what is left out matches anything."""
        return [span for span in self.spans if op in (None, span.op) and name in (None, span.name)]

    def children(self, parent: CapturedSpan) -> list[CapturedSpan]:
        """The spans directly below a span."""
        return [span for span in self.spans if span.parent_id == parent.span_id]

    def tree(self) -> str:
        """The spans as an indented text, a line `op  name` each."""
        spans = self.spans
        if not spans:
            return "(no spans)"
        known = {span.span_id for span in spans}
        return "\n".join(_lines(spans, [span for span in spans if span.parent_id not in known], ""))


@contextmanager
def capture_spans(**options: Any) -> Iterator[Captured]:
    """Capture what the SDK would send, in place of the current client, which is restored afterwards.

    Args:
        **options: Options of `sentry_sdk.init`; by default everything is sampled. No DSN is needed, and
            none is used.
    """
    captured = Captured(client=None)

    class Keep(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            captured.envelopes.append(envelope.serialize())

    chosen = {"traces_sample_rate": 1.0, **options, "dsn": _NOWHERE, "transport": Keep}
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    captured.client = sentry_sdk.Client(**chosen)
    try:
        with sentry_sdk.isolation_scope() as isolation:
            isolation.set_client(None)
            isolation.set_new_propagation_context()
            current = sentry_sdk.get_current_scope()
            current.set_client(None)
            current.span = None  # what is active belongs to the client from before
            everywhere.set_client(captured.client)
            yield captured
    finally:
        everywhere.set_client(before)
        captured.client.close(timeout=2.0)


def _spans(kind: str, payload: Any) -> Iterator[CapturedSpan]:
    if kind == "transaction":
        trace = payload["contexts"]["trace"]
        yield _of_transaction(payload, trace, name=payload["transaction"], data=trace.get("data"), is_root=True)
        for span in payload.get("spans") or ():
            yield _of_transaction(span, span, name=span.get("description"), data=span.get("data"), is_root=False)
    elif kind == "span":
        for span in payload["items"]:
            attributes = {key: each["value"] for key, each in (span.get("attributes") or {}).items()}
            yield CapturedSpan(
                op=attributes.get("sentry.op", ""),
                name=span["name"],
                trace_id=span["trace_id"],
                span_id=span["span_id"],
                parent_id=span.get("parent_span_id"),
                start=span["start_timestamp"],
                end=span["end_timestamp"],
                status=span.get("status"),
                origin=attributes.get("sentry.origin", "manual"),
                is_root=span["is_segment"],
                attributes=attributes,
                shape="span",
            )


def _of_transaction(
    times: Mapping[str, Any], ids: Mapping[str, Any], *, name: str | None, data: Mapping[str, Any] | None, is_root: bool
) -> CapturedSpan:
    return CapturedSpan(
        op=ids.get("op") or "",
        name=name or "",
        trace_id=ids["trace_id"],
        span_id=ids["span_id"],
        parent_id=ids.get("parent_span_id"),
        start=_seconds(times["start_timestamp"]),
        end=_seconds(times["timestamp"]),
        status=ids.get("status") or (ids.get("tags") or {}).get("status"),  # in the tags with older SDKs
        origin=ids.get("origin") or "manual",
        is_root=is_root,
        attributes=dict(data or {}),
        shape="transaction",
    )


def _seconds(time: str | float) -> float:
    if isinstance(time, (int, float)):
        return float(time)
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()


def _lines(spans: Sequence[CapturedSpan], level: Sequence[CapturedSpan], indent: str) -> Iterator[str]:
    for span in level:
        yield f"{indent}{span.op or '(no op)'}  {span.name}"
        yield from _lines(spans, [each for each in spans if each.parent_id == span.span_id], indent + "  ")
