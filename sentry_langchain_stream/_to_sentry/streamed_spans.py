"""Streamed spans, each of which is sent separately."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sentry_sdk
from sentry_sdk.scope import Scope

from .._vocabulary.keys import AttributeValue
from . import forks, joining
from .conversations import keep_conversation
from .joining import ORIGIN
from .sentrys_hooks import unfollowed
from .span_models import NO_FACTS, Attributes, Facts, Status, with_ids

try:  # sentry-sdk >= 2.55
    from sentry_sdk import traces
except ImportError:  # pragma: no cover - exercised with the oldest supported SDK
    traces = None  # type: ignore[assignment]

CAN_STREAM = traces is not None
"""Whether the SDK has streamed spans."""


class StreamedSpans:
    """`trace_lifecycle="stream"`: every span is sent separately. A root is a segment."""

    queues = True

    def current(self, scope: Scope) -> Any | None:
        span = traces.get_current_span(scope)
        if span is None or forks.foreign is None or forks.root(span) is not forks.foreign:
            return span
        return None if forks.is_stale(span.trace_id) else span

    def start(
        self,
        parent: Any | None,
        *,
        op: str,
        name: str,
        attributes: Attributes = NO_FACTS,
        sampling: Facts = NO_FACTS,
        trace: joining.Joined | None = None,
    ) -> Any:
        known: dict[str, Any] = {**attributes, "sentry.op": op, "sentry.origin": ORIGIN}
        if parent is not None:
            return with_ids(traces.start_span(name, attributes=known, parent_span=parent, active=False))
        # An unsampled root makes itself current even with `active=False`. A new scope limits that to this block.
        with sentry_sdk.new_scope() as scope:
            joining.join(scope, sampling, trace)
            return with_ids(unfollowed(traces.start_span, name, attributes=known, parent_span=None, active=False))

    def recording(self, span: Any) -> bool:
        return not isinstance(span, traces.NoOpStreamedSpan)

    def rename(self, span: Any, *, op: str, name: str) -> None:
        span.set_attribute("sentry.op", op)
        span.name = name

    def forget(self, span: Any, keys: Iterable[str]) -> None:
        for key in keys:
            span.remove_attribute(key)

    def is_late(self, span: Any) -> bool:
        return False

    def finish(
        self, span: Any, attributes: dict[str, AttributeValue], status: Status, *, is_late: bool = False
    ) -> None:
        try:
            span.set_attributes(dict(attributes))
            # The status of a streamed span is "ok" or "error". A cancelled run is recorded in its outcome attribute.
            span.status = "error" if status == "internal_error" else "ok"
            keep_conversation(span, attributes)
        finally:
            unfollowed(span.end)

    def outside(self) -> None:
        return None

    def link(self, scope: Scope, span: Any) -> None:
        scope.streamed_span = span
