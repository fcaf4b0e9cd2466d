"""Checks whether the spans that Sentry receives are correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._vocabulary.keys import Dialect
from ..testing import CapturedSpan
from ..testing.envelopes import model_spans
from .reader import Reading

OPS: dict[Dialect, frozenset[str]] = {
    "gen_ai": frozenset({"gen_ai.chat", "gen_ai.text_completion"}),
    "ai": frozenset(
        f"ai.chat_completions.create.{platform}" for platform in ("openai", "cohere", "langchain", "huggingface_hub")
    ),
}
"""The span ops that Sentry predefines for a model call, by dialect."""

OLDER = {
    "gen_ai.usage.total_tokens": "ai.total_tokens",
    "gen_ai.request.model": "ai.model_id",
    "gen_ai.pipeline.name": "pipeline_name",
}
"""The current keys to read first, and the older keys of the same facts, for which the recipe of 2024 asks."""

IN_FLIGHT = 0.05
"""How long after the end of the span the last chunk of a remote API may reach the client, in seconds."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected values."""

    model: str
    pipeline_name: str
    dialect: Dialect
    total_tokens: int | None
    """The tokens that the local endpoint reports; `None` with OpenAI's API, where they are unknown."""


@dataclass(frozen=True, slots=True)
class Check:
    """A claim about the spans, and whether it holds."""

    claim: str
    holds: bool
    seen: str
    """What was found."""


def verdict(spans: Sequence[CapturedSpan], reading: Reading, expected: Expected) -> list[Check]:
    """Check the spans of one request against what the client received and the expected values.

    If there is not exactly one model span, the list ends with that check.
    """
    arrived = reading.failure is None and bool(reading.chunks)
    checks = [
        Check("the answer arrived", arrived, reading.failure or f"{len(reading.chunks)} chunks of text"),
    ]
    calls = model_spans(spans)
    ops = f" ({', '.join(span.op for span in calls)})" if calls else ""
    checks.append(Check("exactly one model span", len(calls) == 1, f"{len(calls)}{ops}"))
    if len(calls) == 1:
        checks += _of_call(calls[0], spans, reading, expected)
    return checks


def parent_of(span: CapturedSpan, spans: Sequence[CapturedSpan]) -> CapturedSpan | None:
    """Return the parent of a span, skipping middleware. Older SDKs make a span per middleware layer and message."""
    by_id = {each.span_id: each for each in spans}
    parent = by_id.get(span.parent_id or "")
    while parent is not None and is_middleware(parent):
        parent = by_id.get(parent.parent_id or "")
    return parent


def is_middleware(span: CapturedSpan) -> bool:
    """Whether a span was made for a middleware by Sentry's framework integration."""
    return span.op.startswith("middleware.")


def _of_call(
    call: CapturedSpan, spans: Sequence[CapturedSpan], reading: Reading, expected: Expected
) -> Iterator[Check]:
    yield Check("op is one of Sentry's", call.op in OPS[expected.dialect], call.op)
    yield _open_while_read(call, reading, grace=IN_FLIGHT if expected.total_tokens is None else 0.0)
    parent = parent_of(call, spans)
    yield Check(
        "parent is the transaction",
        parent is not None and parent.is_root and parent.op == "http.server",
        f"{parent.op} {parent.name}" if parent is not None else "no parent",
    )
    total = call.attributes.get("gen_ai.usage.total_tokens")
    if expected.total_tokens is None:
        reported = call.attributes.get("langchain_stream.usage_source") == "provider"
        yield Check("gen_ai.usage.total_tokens is as reported", reported and bool(total), f"{total}")
    else:
        yield _equal(call, "gen_ai.usage.total_tokens", expected.total_tokens, "as reported")
    yield _equal(call, "gen_ai.request.model", expected.model, "as requested")
    yield _equal(call, "gen_ai.pipeline.name", expected.pipeline_name, "as given")
    values = (total if expected.total_tokens is None else expected.total_tokens, expected.model, expected.pipeline_name)
    for key, value in zip(OLDER.values(), values, strict=True):
        yield _equal(call, key, value, "the same", f"{key}, of 2024,")


def _open_while_read(call: CapturedSpan, reading: Reading, grace: float) -> Check:
    claim = "open until the last chunk"
    if not reading.times:
        return Check(claim, False, "no chunk was read")
    first, last = reading.times[0] - call.start, reading.times[-1] - call.start
    seen = f"last chunk read at {last:.3f} s, span closed at {call.duration:.3f} s"
    return Check(claim, first > 0 and last < call.duration + grace, seen)


def _equal(call: CapturedSpan, key: str, expected: object, meaning: str, name: str | None = None) -> Check:
    seen = call.attributes.get(key)
    return Check(
        f"{name or key} is {meaning}", seen == expected, f"{seen}" if seen == expected else f"{seen}, not {expected}"
    )
