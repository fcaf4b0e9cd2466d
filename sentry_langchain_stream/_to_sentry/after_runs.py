"""What is sent about a run that may have ended long ago, in its trace: a span without a duration, user feedback.

The SDK for Python has no `capture_feedback` (sentry-sdk 2.44 to 2.75). So the event and its envelope item are made
here, as https://develop.sentry.dev/sdk/telemetry/feedbacks/ describes them. This can go when the SDK has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple
from uuid import uuid4

import sentry_sdk
from sentry_sdk.envelope import Envelope, Item, PayloadRef

from .._runtime.containment import contained
from .._vocabulary.keys import AttributeValue
from . import client as sentry_client
from . import internals, metrics, scope_internals
from .joining import Joined
from .span_models import AnySpan


class SpanIds(NamedTuple):
    """Where a run is in Sentry.

    Args:
        trace_id: Its trace, 32 hexadecimal digits.
        span_id: Its span, 16 hexadecimal digits.
    """

    trace_id: str
    span_id: str


def record_moment(
    ids: SpanIds | None,
    *,
    op: str,
    name: str,
    attributes: dict[str, AttributeValue],
    scores: Mapping[str, float],
    counts: Mapping[str, int],
    about: Mapping[str, AttributeValue],
) -> None:
    """Send a span without a duration below a span that may have ended long ago, and metrics beside it.

    Args:
        ids: The span. `None` if there is none: then only the metrics are sent.
        op: The op of the new span.
        name: Its name.
        attributes: Its attributes.
        scores: Numbers without a unit, by the name of the metric.
        counts: Numbers to add, by the name of the metric.
        about: The attributes of the metrics.
    """
    client = sentry_client.current_client()
    if not client.is_active():
        return
    backend = sentry_client.choose_backend(client)
    span: AnySpan | None = None
    if ids is not None:
        with contained("span of an evaluation"):
            # The ids of a run are known only if its trace is sampled, and this span is a part of that trace.
            trace = Joined(ids.trace_id, ids.span_id, True, None)
            made = backend.start(None, op=op, name=name, attributes=attributes, trace=trace)
            span = made if made is not None and backend.recording(made) else None
            backend.finish(made, attributes, "ok")
    if metrics.has_metrics():
        with contained("metrics of an evaluation"):
            metrics.record(seconds={}, counts=counts, scores=scores, attributes=about, backend=backend, span=span)


def send_feedback(
    ids: SpanIds | None, *, message: str, contact: Mapping[str, str], tags: Mapping[str, str]
) -> str | None:
    """Send user feedback, linked to a span if there is one.

    Args:
        ids: The span.
        message: What the user says. Sentry ignores feedback without it.
        contact: `name` and `contact_email`, as far as they are known.
        tags: Tags to search for.

    Returns:
        The id of the feedback, or `None` if there is no client or an event processor dropped it.
    """
    client = sentry_client.current_client()
    transport = getattr(client, "transport", None)
    if not client.is_active() or transport is None:
        return None
    event = _with_scope(
        {
            "event_id": uuid4().hex,
            "type": "feedback",
            "level": "info",
            "platform": "python",
            "timestamp": datetime.now(timezone.utc),
            "tags": dict(tags),
            "contexts": {
                "feedback": {"message": message, "source": "sentry_langchain_stream", **contact},
                **({"trace": ids._asdict()} if ids is not None else {}),
            },
        },
        client,
    )
    if event is None:
        return None
    envelope = Envelope(headers={"event_id": event["event_id"], "sent_at": _iso(datetime.now(timezone.utc))})
    envelope.add_item(Item(payload=PayloadRef(json=event), type="feedback"))
    transport.capture_envelope(envelope)
    return str(event["event_id"])


_NOT_SENT = frozenset({"breadcrumbs", "extra", "modules"})


def _with_scope(event: dict[str, Any], client: Any) -> dict[str, Any] | None:
    """Add the user, the tags and the release, and let the application's event processors see the event.

    `before_send` is not called: it is meant for errors, and in Sentry's other SDKs it does not see feedback either.
    """
    options = client.options
    for name in ("release", "environment", "dist", "server_name"):
        if options.get(name) is not None:
            event[name] = str(options[name])
    current = sentry_sdk.get_current_scope()
    scope = scope_internals.merged_scopes(current) if scope_internals.merged_scopes is not None else current
    given: Any = event
    found: Any = scope.apply_to_event(given, {}, options)
    if found is None:
        return None
    applied = {name: value for name, value in found.items() if name not in _NOT_SENT}
    applied["timestamp"] = _iso(event["timestamp"])
    made: Any = internals.serialize(applied) if internals.serialize is not None else applied
    return made if isinstance(made, dict) else None


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
