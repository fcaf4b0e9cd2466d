"""Sentry's two span models behind one protocol. Newer parts of the SDK are feature-detected here and nowhere else."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Literal, Protocol

import sentry_sdk
from sentry_sdk.scope import Scope
from sentry_sdk.tracing import NoOpSpan, Span, Transaction
from sentry_sdk.tracing_utils import Baggage, PropagationContext

from .._vocabulary.keys import AttributeValue
from .plain_spans import prepared

try:  # sentry-sdk >= 2.55
    from sentry_sdk import traces
except ImportError:  # pragma: no cover - exercised with the oldest supported SDK
    traces = None  # type: ignore[assignment]

CAN_STREAM = traces is not None
"""Whether the SDK has streamed spans."""

ORIGIN = "auto.ai.langchain_stream"
"""Span origin, in Sentry's form `type.category.integration`."""

Status = Literal["ok", "cancelled", "internal_error"]


class SpanBackend(Protocol):
    """One of Sentry's span models. Spans are opaque to the callers; none is ever made the current one."""

    queues: bool
    """Whether a span that is finished waits in a queue of its own, rather than in its transaction."""

    def current(self) -> Any | None:
        """The active span that a run can hang below, or `None` if there is none that would be sent."""

    def start(self, parent: Any | None, *, op: str, name: str) -> Any:
        """Start a span below `parent`; without one, a root that continues the current trace."""

    def recording(self, span: Any) -> bool:
        """Whether this span is going to be sent: it is not, if its root is not sampled."""

    def rename(self, span: Any, *, op: str, name: str) -> None:
        """Call a span that is open something else: by now more is known of what it stands for."""

    def finish(self, span: Any, attributes: dict[str, AttributeValue], status: Status) -> None:
        """Set the attributes and the status, and end the span now, even if setting them fails."""

    def link(self, scope: Scope, span: Any) -> None:
        """Let events captured with this scope belong to this span."""


class TransactionSpans:
    """The SDK's default: spans gather in a transaction, which is sent when its root finishes."""

    queues = False

    def current(self) -> Span | None:
        span = sentry_sdk.get_current_span()
        transaction = span.containing_transaction if span is not None else None
        # A span without a transaction, or of a finished one, is never sent, and nor are its children.
        return None if transaction is None or transaction.timestamp is not None else span

    def start(self, parent: Span | None, *, op: str, name: str) -> Span | NoOpSpan:
        if parent is not None:
            return prepared(parent.start_child(op=op, name=name, origin=ORIGIN))
        scope = sentry_sdk.get_current_scope()
        context = _context(scope)
        above = sentry_sdk.get_current_span()
        sent = above.containing_transaction if above is not None else None
        if above is not None and sent is not None:
            # The active span is of a transaction that was sent already: a task that outlives its request.
            return sentry_sdk.start_transaction(
                op=op,
                name=name,
                origin=ORIGIN,
                trace_id=above.trace_id,
                parent_span_id=above.span_id,
                sampled=bool(sent.sampled),
                baggage=sent.get_baggage(),
            )
        if _wants_its_own_trace(context):
            return sentry_sdk.start_transaction(op=op, name=name, origin=ORIGIN)
        transaction = Transaction(
            op=op,
            name=name,
            origin=ORIGIN,
            scope=scope,
            trace_id=context.trace_id,
            parent_span_id=context.parent_span_id,
            parent_sampled=context.parent_sampled,
            baggage=_baggage(context),
        )
        return sentry_sdk.start_transaction(transaction)

    def recording(self, span: Span) -> bool:
        return bool(span.sampled)

    def rename(self, span: Span, *, op: str, name: str) -> None:
        span.op = op
        if isinstance(span, Transaction):
            span.name = name
        else:
            span.description = name

    def finish(self, span: Span, attributes: dict[str, AttributeValue], status: Status) -> None:
        try:
            span.update_data(attributes)
            span.set_status("ok" if status == "cancelled" and self._becomes_item(span) else status)
        finally:
            transaction = span.containing_transaction
            if transaction is None or transaction is span or transaction.timestamp is None:
                span.finish()
            elif transaction.sampled:
                self._finish_late(span, transaction)

    def link(self, scope: Scope, span: Span) -> None:
        scope.span = span

    @staticmethod
    def _becomes_item(span: Span) -> bool:
        """Whether the SDK takes the span out of its transaction and sends it as a span item of its own.

        A span item knows "ok" and "error" only, and the SDK makes an error of whatever is not "ok".
        """
        moved = sentry_sdk.get_client().options.get("stream_gen_ai_spans")  # sentry-sdk >= 2.60
        return bool(moved) and not isinstance(span, Transaction) and str(span.op).startswith("gen_ai.")

    @staticmethod
    def _finish_late(span: Span, sent: Transaction) -> None:
        """Send a span whose transaction was sent before: the SDK would lose it.

        It goes out as a transaction of its own, with its own id, in the same trace and below the same parent.
        """
        late = Transaction(
            op=span.op,
            name=span.description or "",
            origin=span.origin,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_span_id,
            sampled=True,
            baggage=sent.get_baggage(),
            start_timestamp=span.start_timestamp,
            status=span.status,
        )
        late.update_data(span._data)
        sentry_sdk.start_transaction(late).finish(end_timestamp=datetime.now(timezone.utc))


class StreamedSpans:
    """`trace_lifecycle="stream"`: every span is sent by itself; a root is a segment.

    The SDK queues at most 2,000 spans per trace and drops what comes on top. A script that runs a chain in a
    loop stays in one trace, because a script has one propagation context, and would lose spans. So when a trace
    that began in this process has had `CROWDED` of our spans, the roots that follow get traces of their own.
    """

    queues = True

    CROWDED = 1_000
    _MOST_TRACES = 1_000

    def __init__(self) -> None:
        self._spans_of_trace: dict[str, int] = {}

    def current(self) -> Any | None:
        return traces.get_current_span()

    def start(self, parent: Any | None, *, op: str, name: str) -> Any:
        attributes: dict[str, Any] = {"sentry.op": op, "sentry.origin": ORIGIN}
        if parent is not None:
            self._crowd(parent.trace_id)
            return traces.start_span(name, attributes=attributes, parent_span=parent, active=False)
        # An unsampled root makes itself current whatever `active` says; in a scope of its own that harms nobody.
        with sentry_sdk.new_scope() as scope:
            context = _context(scope)
            crowded = self._crowd(context.trace_id) > self.CROWDED and context.parent_span_id is None
            if crowded or _wants_its_own_trace(context):
                scope.set_new_propagation_context()
            return traces.start_span(name, attributes=attributes, parent_span=None, active=False)

    def recording(self, span: Any) -> bool:
        return not isinstance(span, traces.NoOpStreamedSpan)

    def rename(self, span: Any, *, op: str, name: str) -> None:
        span.set_attribute("sentry.op", op)
        span.name = name

    def finish(self, span: Any, attributes: dict[str, AttributeValue], status: Status) -> None:
        try:
            span.set_attributes(dict(attributes))
            # This model knows "ok" and "error"; that a run was cancelled is told by its outcome.
            span.status = "error" if status == "internal_error" else "ok"
        finally:
            span.end()

    def link(self, scope: Scope, span: Any) -> None:
        scope.streamed_span = span

    def _crowd(self, trace_id: str) -> int:
        """Count one more span of a trace, and say how many that makes."""
        counts = self._spans_of_trace
        if trace_id not in counts and len(counts) >= self._MOST_TRACES:
            counts.clear()
        counts[trace_id] = count = counts.get(trace_id, 0) + 1
        return count


class NoSpans:
    """Tracing is off: runs are followed for their errors only."""

    queues = False

    def current(self) -> None:
        return None

    def start(self, parent: Any | None, *, op: str, name: str) -> None:
        return None

    def recording(self, span: Any) -> bool:
        return False

    def rename(self, span: Any, *, op: str, name: str) -> None:
        return None

    def finish(self, span: Any, attributes: dict[str, AttributeValue], status: Status) -> None:
        return None

    def link(self, scope: Scope, span: Any) -> None:
        return None


def _wants_its_own_trace(context: PropagationContext) -> bool:
    """Whether a root had better not join the current trace.

    The SDK samples by trace. A trace that came in from elsewhere is continued, as is the process's own while
    everything is sampled. But where only a part is, one roll of the dice would decide for all the runs of a
    script or a worker; there each root has a trace of its own.
    """
    options = sentry_sdk.get_client().options
    everything = options.get("traces_sample_rate") == 1.0 and options.get("traces_sampler") is None
    return context.parent_span_id is None and not everything


def _context(scope: Scope) -> PropagationContext:
    """The trace that a root may join."""
    context: PropagationContext | None = scope.get_active_propagation_context()
    if context is None:  # older versions of the SDK have none once the isolation scope was cleared
        sentry_sdk.get_isolation_scope().set_new_propagation_context()
        context = scope.get_active_propagation_context()
    return context


def _baggage(context: PropagationContext) -> Baggage | None:
    """The baggage of an incoming trace."""
    if hasattr(context, "baggage"):
        return context.baggage
    incoming = context.dynamic_sampling_context  # sentry-sdk < 2.50
    return Baggage(dict(incoming), mutable=False) if incoming else None
