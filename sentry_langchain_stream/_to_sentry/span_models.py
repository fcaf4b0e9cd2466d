"""Sentry's two span models behind one protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

import sentry_sdk
from sentry_sdk.scope import Scope
from sentry_sdk.tracing import NoOpSpan, Span, Transaction

from .._vocabulary.keys import AttributeValue
from . import forks, internals, joining, own_transactions
from .conversations import ending_scope, keep_conversation
from .joining import ORIGIN
from .plain_spans import prepared
from .sentrys_hooks import unfollowed

try:  # sentry-sdk >= 2.55
    from sentry_sdk import traces
except ImportError:  # pragma: no cover - exercised with the oldest supported SDK
    traces = None  # type: ignore[assignment]

CAN_STREAM = traces is not None
"""Whether the SDK has streamed spans."""

Status = Literal["ok", "cancelled", "internal_error"]

Attributes = Mapping[str, AttributeValue]
Facts = Mapping[str, Any]
NO_FACTS: Mapping[str, Any] = MappingProxyType({})


class AnySpan(Protocol):
    """A span of either model. Code outside of its backend uses only its ids."""

    @property
    def trace_id(self) -> str: ...
    @property
    def span_id(self) -> str: ...


S = TypeVar("S")


class SpanBackend(Protocol[S]):
    """One of Sentry's span models. Its methods never make a span the current one."""

    queues: bool
    """Whether finished spans are queued for sending, rather than collected in their transaction."""

    def current(self, scope: Scope) -> S | None:
        """Return the active span as a parent for a run, or `None` if there is none or it would not be sent.

        Args:
            scope: The current scope.
        """

    def start(
        self,
        parent: S | None,
        *,
        op: str,
        name: str,
        attributes: Attributes = ...,
        sampling: Facts = ...,
        trace: joining.Joined | None = ...,
    ) -> S:
        """Start a child of `parent`. Without a parent, start a root.

        Args:
            parent: The parent.
            op: The span op.
            name: The span's name.
            attributes: What is known by now. A `traces_sampler` gets the attributes of a root, and `ignore_spans` those
                of every streamed span.
            sampling: What else a `traces_sampler` gets of a root, by key. None of it is sent.
            trace: The trace that a root joins, if it is not the current one.
        """

    def recording(self, span: S) -> bool:
        """Whether this span will be sent. It is not if its root is not sampled."""

    def rename(self, span: S, *, op: str, name: str) -> None:
        """Change the op and the name of an open span, because more is now known about its run."""

    def forget(self, span: S, keys: Iterable[str]) -> None:
        """Take the values of these attributes from an open span."""

    def is_late(self, span: S) -> bool:
        """Whether this span, which has not ended, would have to be in a transaction that has."""

    def finish(self, span: S, attributes: dict[str, AttributeValue], status: Status, *, is_late: bool = False) -> None:
        """Set the attributes and the status, and end the span now, even if setting them fails.

        Args:
            span: The span.
            attributes: Its attributes.
            status: Its status.
            is_late: Whether its transaction is about to end in another thread, if it has not ended.
        """

    def outside(self) -> AnySpan | None:
        """Return what the issues of a root that starts now are linked to where its runs have no spans."""

    def link(self, scope: Scope, span: S) -> None:
        """Link events that are captured with this scope to this span."""


class TransactionSpans:
    """The SDK's default: spans are collected in a transaction, which is sent when its root span finishes."""

    queues = False

    def current(self, scope: Scope) -> Span | None:
        span = scope.span
        transaction = span.containing_transaction if span is not None else None
        # A span without a transaction, in a finished one or in one of another process, is never sent. Neither are its
        # children.
        if transaction is None or transaction.timestamp is not None:
            return None
        return None if forks.at is not None and forks.is_foreign(transaction) else span

    def start(
        self,
        parent: Span | None,
        *,
        op: str,
        name: str,
        attributes: Attributes = NO_FACTS,
        sampling: Facts = NO_FACTS,
        trace: joining.Joined | None = None,
    ) -> Span | NoOpSpan:
        if parent is not None:
            return prepared(parent.start_child(op=op, name=name, origin=ORIGIN, span_id=_span_id()))
        scope = sentry_sdk.get_current_scope()
        scope = getattr(scope, "covered", scope)  # that of a run only knows its active span besides
        joins = self._trace(scope) if trace is None else trace._asdict()
        transaction = Transaction(op=op, name=name, origin=ORIGIN, scope=scope, span_id=_span_id(), **joins)
        transaction.update_data({**attributes})
        started = unfollowed(sentry_sdk.start_transaction, transaction, custom_sampling_context={**sampling})
        internals.start_profile(started)
        return prepared(_with_ids(started))

    @staticmethod
    def _trace(scope: Scope) -> dict[str, Any]:
        """Return the trace that a root joins, as arguments of `Transaction`. Without any it starts its own."""
        active = sentry_sdk.get_current_span()
        sent = active.containing_transaction if active is not None else None
        if active is not None and sent is not None:
            # The active span belongs to a transaction that has been sent: this task has outlived its request. Or to
            # one of the process that this one was forked from.
            if forks.is_stale(active.trace_id):
                return {}
            return {
                "trace_id": active.trace_id,
                "parent_span_id": active.span_id,
                "parent_sampled": bool(sent.sampled),
                "baggage": sent.get_baggage(),
            }
        trace = joining.joined(scope)
        return trace._asdict() if trace is not None else {}

    def recording(self, span: Span) -> bool:
        return bool(span.sampled)

    def rename(self, span: Span, *, op: str, name: str) -> None:
        span.op = op
        if isinstance(span, Transaction):
            span.name = name
        else:
            span.description = name

    def forget(self, span: Span, keys: Iterable[str]) -> None:
        span.update_data(dict.fromkeys(keys, ""))  # the SDK cannot take them away

    def is_late(self, span: Span) -> bool:
        transaction = span.containing_transaction
        return transaction is not None and transaction is not span and transaction.timestamp is not None

    def finish(
        self, span: Span, attributes: dict[str, AttributeValue], status: Status, *, is_late: bool = False
    ) -> None:
        scope: Scope | None = None
        transaction = span.containing_transaction
        if transaction is not None and transaction is not span and transaction.timestamp is not None:
            is_late = True
        try:
            span.update_data(attributes)
            span.set_status("ok" if status == "cancelled" and not is_late and self._becomes_item(span) else status)
            scope = ending_scope(span, attributes, is_root=transaction is span)
        finally:
            if transaction is span:
                internals.stop_profiles(span)
                unfollowed(own_transactions.finish, span, scope)
            elif transaction is None or not is_late:
                span.finish(scope)
            elif transaction.sampled:
                unfollowed(own_transactions.finish_late, span, transaction)

    def outside(self) -> None:
        return None

    def link(self, scope: Scope, span: Span) -> None:
        scope.span = span

    @staticmethod
    def _becomes_item(span: Span) -> bool:
        """Whether the SDK takes the span out of its transaction and sends it as a separate span item.

        The status of a span item is "ok" or "error", and the SDK turns every status but "ok" into "error".
        """
        moved = sentry_sdk.get_client().options.get("stream_gen_ai_spans")  # sentry-sdk >= 2.60
        return bool(moved) and not isinstance(span, Transaction) and str(span.op).startswith("gen_ai.")


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
            return _with_ids(traces.start_span(name, attributes=known, parent_span=parent, active=False))
        # An unsampled root makes itself current even with `active=False`. A new scope limits that to this block.
        with sentry_sdk.new_scope() as scope:
            joining.join(scope, sampling, trace)
            return _with_ids(unfollowed(traces.start_span, name, attributes=known, parent_span=None, active=False))

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


class NoSpans:
    """Tracing is off, or not Sentry's: runs are followed only for their errors and metrics."""

    queues = False

    def current(self, scope: Scope) -> None:
        return None

    def start(
        self,
        parent: None,
        *,
        op: str,
        name: str,
        attributes: Attributes = NO_FACTS,
        sampling: Facts = NO_FACTS,
        trace: joining.Joined | None = None,
    ) -> None:
        return None

    def recording(self, span: None) -> bool:
        return False

    def rename(self, span: None, *, op: str, name: str) -> None:
        return None

    def forget(self, span: None, keys: Iterable[str]) -> None:
        return None

    def is_late(self, span: None) -> bool:
        return False

    def finish(
        self, span: None, attributes: dict[str, AttributeValue], status: Status, *, is_late: bool = False
    ) -> None:
        return None

    def outside(self) -> joining.OtherSpan | None:
        return joining.other_span(joining.propagation_context(sentry_sdk.get_current_scope()))

    def link(self, scope: Scope, span: AnySpan) -> None:
        """Link events to a span of OpenTelemetry, also where the SDK would not, or no longer finds it."""
        scope.set_context("trace", {"trace_id": span.trace_id, "span_id": span.span_id})


def _span_id() -> str:
    """Return the id of a new span: 8 bytes. The SDK takes it from a `UUID`, which takes five times as long."""
    return os.urandom(8).hex()


def _with_ids(span: S) -> S:
    """The same span, whose ids are made up now.

    Workaround: the SDK makes them up when they are first asked for, and twice if two threads ask at once (sentry-sdk
    2.44 to 2.75). Can go when it makes them with the span.
    """
    made: Any = span
    _ = made.trace_id, made.span_id
    return span
