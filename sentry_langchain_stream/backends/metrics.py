"""A model call as metrics, which Sentry gets whether or not the trace is sampled."""

from __future__ import annotations

from collections.abc import Iterator

import sentry_sdk

from ..call import Call
from ..containment import warn_once
from ..conventions import AttributeValue, Fact
from ..record import Run

try:  # sentry-sdk >= 2.44 has it, as a part that may still change
    from sentry_sdk import metrics
except ImportError:  # pragma: no cover
    metrics = None  # type: ignore[assignment]

# Names are those of OpenTelemetry's conventions for generative AI ("GenAI metrics" and "inference token metrics").
DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKENS = {
    "input": "gen_ai.client.inference.usage.input_tokens",
    "output": "gen_ai.client.inference.usage.output_tokens",
    "cache_read": "gen_ai.client.inference.usage.cache_read.input_tokens",
    "cache_creation": "gen_ai.client.inference.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.client.inference.usage.reasoning.output_tokens",
}
"""A field of `Usage`, and the counter of it. As in `Usage`, the last three are parts of the first two."""


def record_metrics(run: Run, call: Call) -> None:
    """Record a model call that has ended, linked to its span if it has one."""
    if not all(hasattr(metrics, each) for each in ("count", "distribution")):
        warn_once(
            "metrics", "This version of sentry-sdk has no metrics; SentryStreamHandler(metrics=True) does nothing."
        )
        return
    about = {fact.value[0][0]: value for fact, value in _about(run, call) if value is not None}
    with sentry_sdk.new_scope() as scope:
        if run.span is not None:
            run.backend.link(scope, run.span)
        metrics.distribution(DURATION, call.ended - call.started, unit="second", attributes=about)
        if call.chunks:
            metrics.distribution(FIRST_CHUNK, call.first_chunk_at - call.started, unit="second", attributes=about)
        usage = call.usage()
        if usage is None or call.cached:
            return
        about[Fact.USAGE_SOURCE.value[0][0]] = usage.source
        for field, name in TOKENS.items():
            tokens = getattr(usage, field)
            if tokens is not None:
                metrics.count(name, tokens, attributes=about)


def _about(run: Run, call: Call) -> Iterator[tuple[Fact, AttributeValue | None]]:
    """What tells calls apart: few values each, and none of them content."""
    yield Fact.PIPELINE, run.pipeline
    yield Fact.OUTCOME, run.outcome
    yield Fact.ERROR_TYPE, run.error_type
    yield Fact.CACHE_HIT, call.cached or None
    yield Fact.OPERATION, call.request.operation
    yield Fact.PROVIDER, call.request.provider
    yield Fact.REQUEST_MODEL, call.request.model
    yield Fact.RESPONSE_MODEL, call.response.model
