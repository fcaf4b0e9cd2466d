"""Records Sentry metrics. They are sent even if the trace is not sampled."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import sentry_sdk

from .._runtime.containment import warn_once
from .._vocabulary.keys import AttributeValue
from .span_models import AnySpan, SpanBackend

try:  # sentry-sdk >= 2.44; this API may still change
    from sentry_sdk import metrics
except ImportError:  # pragma: no cover
    metrics = None  # type: ignore[assignment]


_NO_SCORES: Mapping[str, float] = MappingProxyType({})


def has_metrics() -> bool:
    """Whether the SDK has metrics."""
    return all(hasattr(metrics, each) for each in ("count", "distribution"))


def can_record() -> bool:
    """Whether the SDK has metrics. If not, warn once that `metrics=True` does nothing."""
    found = has_metrics()
    if not found:
        warn_once(
            "metrics", "This version of sentry-sdk has no metrics; SentryStreamHandler(metrics=True) does nothing."
        )
    return found


def record(
    *,
    seconds: Mapping[str, float],
    counts: Mapping[str, int],
    attributes: Mapping[str, AttributeValue],
    backend: SpanBackend[Any],
    span: AnySpan | None,
    scores: Mapping[str, float] = _NO_SCORES,
) -> None:
    """Record durations, counts and scores, linked to a span if there is one.

    Args:
        seconds: Durations, by the name of the distribution.
        counts: Numbers to add, by the name of the counter.
        attributes: The attributes of every metric.
        backend: The span model of the span.
        span: The span.
        scores: Numbers without a unit, by the name of the distribution.
    """
    with sentry_sdk.new_scope() as scope:
        if span is not None:
            backend.link(scope, span)
        for name, duration in seconds.items():
            metrics.distribution(name, duration, unit="second", attributes=dict(attributes))
        for name, score in scores.items():
            metrics.distribution(name, score, attributes=dict(attributes))
        for name, number in counts.items():
            metrics.count(name, number, attributes=dict(attributes))
