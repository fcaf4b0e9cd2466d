"""The spans of a transaction, which is sent when its root span finishes: the SDK's default."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import sentry_sdk
from sentry_sdk.scope import Scope
from sentry_sdk.tracing import NoOpSpan, Span, Transaction

from .._vocabulary.keys import AttributeValue
from . import forks, internals, joining, own_transactions
from .conversations import ending_scope
from .joining import ORIGIN
from .plain_spans import prepared
from .sentrys_hooks import unfollowed
from .span_models import NO_FACTS, Attributes, Facts, Status, with_ids


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
        return prepared(with_ids(started))

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


def _span_id() -> str:
    """Return the id of a new span: 8 bytes. The SDK takes it from a `UUID`, which takes five times as long."""
    return os.urandom(8).hex()
