"""How transactions of ours end: roots, and spans whose transaction was already sent.

Workaround: Sentry's integrations of Bottle, Falcon, Tornado and arq name every event of a request or a job after its
route or its function, also the transactions of ours that end there (sentry-sdk 2.44 to 2.75). They do so in an event
processor of the isolation scope, which runs after those that see all events. So for a transaction of ours it runs in a
copy of that scope, and the name is put back. Processors of the application may rename. Can go when these integrations
name the scope, as Flask's does, or leave an event the name that it has.
"""

from __future__ import annotations

from copy import copy
from datetime import datetime, timezone
from functools import partial
from typing import Any

from sentry_sdk.scope import Scope
from sentry_sdk.tracing import Span, Transaction

from . import scope_internals
from .conversations import ending_scope

_INTEGRATIONS = "sentry_sdk.integrations."
_NAME = ("transaction", "transaction_info")


def finish(transaction: Span, scope: Scope | None, end: datetime | None = None) -> None:
    """End a transaction of ours.

    Args:
        transaction: The transaction.
        scope: The scope to end it with, or `None` if the SDK's choice is right.
        end: When it has ended, if not now.
    """
    isolation = Scope.get_isolation_scope()
    if scope_internals.use_isolation_scope is None or not any(
        map(_is_integrations, scope_internals.event_processors(isolation))
    ):
        transaction.finish(scope, end_timestamp=end)
        return
    isolation = copy(isolation)
    processors = scope_internals.event_processors(isolation)
    processors[:] = [partial(_keep_name, each) if _is_integrations(each) else each for each in processors]
    with scope_internals.use_isolation_scope(isolation):
        transaction.finish(scope, end_timestamp=end)


def finish_late(span: Span, sent: Transaction) -> None:
    """Send a span whose transaction was already sent, which the SDK would drop.

    It is sent as a separate transaction with the span's id, in the same trace and with the same parent.
    """
    data = span.to_json().get("data") or {}
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
    late.update_data(data)
    # What `start_transaction` does, but for a sampling decision and profilers: they were of the sent transaction.
    late.init_span_recorder(maxlen=1)
    finish(late, ending_scope(late, data, is_root=True), datetime.now(timezone.utc))


def _is_integrations(processor: Any) -> bool:
    """Whether an event processor is one of Sentry's integrations."""
    return str(getattr(processor, "__module__", "")).startswith(_INTEGRATIONS)


def _keep_name(processor: Any, event: Any, hint: Any) -> Any:
    """Run an event processor of an integration, which changes an event in place, so that a transaction's name stays."""
    name = {key: event[key] for key in _NAME if key in event} if event.get("type") == "transaction" else {}
    try:
        return processor(event, hint)
    finally:
        event.update(name)
