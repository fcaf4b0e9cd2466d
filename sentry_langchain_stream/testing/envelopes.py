"""Reads spans from envelopes, into one format for both span models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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
    """Whether it is a transaction or a segment, the root of what this process sent."""
    attributes: Mapping[str, Any] = field(hash=False)
    shape: str
    """The format in which it was sent: `"transaction"` or `"span"` (a version 2 span item)."""

    @property
    def duration(self) -> float:
        """The seconds from start to end."""
        return self.end - self.start


_NO_MODEL_CALLS = frozenset({"invoke_agent", "create_agent", "execute_tool", "handoff"})


def model_spans(spans: Iterable[CapturedSpan]) -> list[CapturedSpan]:
    """Return the spans that Sentry counts as model calls: every AI span except those of agents and tools."""

    def is_call(span: CapturedSpan) -> bool:
        name = span.attributes.get("gen_ai.operation.name")
        is_ai = name is not None or span.op.startswith(("gen_ai.", "ai."))
        return is_ai and (name or span.op.removeprefix("gen_ai.")) not in _NO_MODEL_CALLS

    return [span for span in spans if is_call(span)]


def read_spans(kind: str, payload: Any) -> Iterator[CapturedSpan]:
    """Yield the spans in an item of an envelope.

    Args:
        kind: The type of the item. Only `"transaction"` and `"span"` items have spans.
        payload: The parsed payload of the item.

    Raises:
        ValueError: The payload does not match the type, because a hook has changed it.
    """
    try:
        yield from _read(kind, payload)
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise ValueError(f"not a {kind} item: {type(error).__name__}: {error}") from error


def _read(kind: str, payload: Any) -> Iterator[CapturedSpan]:
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
        status=ids.get("status") or (ids.get("tags") or {}).get("status"),  # older SDKs put it in the tags
        origin=ids.get("origin") or "manual",
        is_root=is_root,
        attributes=dict(data or {}),
        shape="transaction",
    )


def _seconds(time: str | float) -> float:
    if isinstance(time, (int, float)):
        return float(time)
    return datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp()
