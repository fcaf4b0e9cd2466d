"""Selects the numbers of a model call that are recorded as metrics."""

from __future__ import annotations

from collections.abc import Iterator

from .._to_sentry import metrics
from .._vocabulary import facts, names
from .._vocabulary.facts import Fact
from .._vocabulary.keys import AttributeValue, bounded
from .call import Call
from .run import Run

# The names come from OpenTelemetry's conventions for generative AI ("GenAI metrics", "inference token metrics").
DURATION = "gen_ai.client.operation.duration"
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
TOKENS = {
    "input": "gen_ai.client.inference.usage.input_tokens",
    "output": "gen_ai.client.inference.usage.output_tokens",
    "cache_read": "gen_ai.client.inference.usage.cache_read.input_tokens",
    "cache_creation": "gen_ai.client.inference.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.client.inference.usage.reasoning.output_tokens",
}
"""Field of `Usage` -> name of its counter. As in `Usage`, the last three are included in the first two."""


def record_call(run: Run, call: Call) -> None:
    """Record the metrics of a model call that has ended, linked to its span if it has one."""
    if not metrics.can_record():
        return
    seconds = {DURATION: call.ended - call.started}
    if call.chunks:
        seconds[FIRST_CHUNK] = call.first_chunk_at - call.started
    attributes = {
        fact.keys[0]: bounded(value, names.LONGEST) if isinstance(value, str) else value
        for fact, value in _attributes(run, call)
        if value is not None
    }
    place = run.place
    span = place.anchor if place.span is not None else None  # that of its parent if `ignore_spans` has dropped its own
    metrics.record(seconds=seconds, counts={}, attributes=attributes, backend=place.backend, span=span)
    usage = call.usage()
    if usage is None or call.cached:
        return
    counts = {name: tokens for field, name in TOKENS.items() if (tokens := getattr(usage, field)) is not None}
    attributes[facts.USAGE_SOURCE.keys[0]] = usage.source
    metrics.record(seconds={}, counts=counts, attributes=attributes, backend=place.backend, span=span)


def _attributes(run: Run, call: Call) -> Iterator[tuple[Fact, AttributeValue | None]]:
    """The attributes of the metrics. Each has few distinct values, and no content."""
    yield facts.PIPELINE, run.pipeline
    yield facts.OUTCOME, run.ending.outcome
    yield facts.ERROR_TYPE, run.ending.error_type
    yield facts.CACHE_HIT, call.cached or None
    yield facts.OPERATION, call.request.operation
    yield facts.PROVIDER, call.request.provider
    yield facts.REQUEST_MODEL, call.request.model
    yield facts.RESPONSE_MODEL, call.answered_by
