"""Checks of what the probe would have sent: complete, correct, and not removed by Sentry's scrubber."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .._vocabulary import facts
from .._vocabulary.facts import FACTS
from .._vocabulary.keys import AttributeValue, spell
from .._vocabulary.names import op, span_name
from ..testing.envelopes import CapturedSpan, model_spans
from .case import Case
from .findings import Finding
from .probe import INPUT_TOKENS, MODEL, OUTPUT_TOKENS, PIPELINE
from .providers import PIECES

EXPECTED: dict[str, AttributeValue] = spell(
    [
        (facts.OPERATION, "chat"),
        (facts.PIPELINE, PIPELINE),
        (facts.REQUEST_MODEL, MODEL),
        (facts.RESPONSE_MODEL, MODEL),
        (facts.STREAMING, True),
        (facts.INPUT_TOKENS, INPUT_TOKENS),
        (facts.OUTPUT_TOKENS, OUTPUT_TOKENS),
        (facts.TOTAL_TOKENS, INPUT_TOKENS + OUTPUT_TOKENS),
        (facts.USAGE_SOURCE, "provider"),
        (facts.CHUNKS, len(PIECES)),
        (facts.OUTCOME, "completed"),
    ],
    "gen_ai",
)
"""The attributes that the model span of the probe must have."""

RECIPE = frozenset({"ai.total_tokens", "pipeline_name"})
"""The keys that the LLM Monitoring recipe asks for and that are not in Sentry's conventions."""

_OURS = frozenset(key for fact in FACTS.values() for key in (*fact.keys, *fact.added))
_SENSITIVE = re.compile(r"token|auth|secret|password|passwd|credentials|api_?key|private_?key", re.IGNORECASE)


def probe(case: Case) -> Finding:
    """Check the probe's spans: one for the model call, as a child of one for the pipeline."""
    name = "probe"
    if case.probe is None:
        return Finding(name, "skipped", "not run: there is no client, tracing is off, or Sentry makes no spans")
    if case.probe.failure is not None:
        found = f"the probe stream itself failed: {case.probe.failure}"
        return Finding(name, "fail", found, "Check the callbacks that your application registers for every run.")
    calls = model_spans(case.probe.spans)
    lost = f" The SDK reports as dropped: {', '.join(case.probe.lost)}." if case.probe.lost else ""
    if len(calls) != 1:
        found = f"a streamed answer makes {len(calls)} model spans, not 1"
        remedy = "Check before_send_transaction, before_send_span, ignore_spans and your event processors."
        if calls:
            remedy = f"They come from {', '.join(sorted({span.origin for span in calls}))}. Keep only one source."
        return Finding(name, "fail", found, f"{remedy}{lost}")
    wrong = list(_misnamed(calls[0], case.probe.spans))
    if wrong:
        return Finding(name, "fail", "; ".join(wrong), f"Check your hooks and event processors.{lost}")
    if case.probe.warned:
        return Finding(
            name, "warning", f"the handler warned: {' '.join(case.probe.warned)}", "Follow the advice in the warning."
        )
    shape = {"transaction": "in the transaction", "span": "as a span item"}[calls[0].shape]
    return Finding(name, "ok", f"a streamed answer makes one model span, {calls[0].op!r}, sent {shape}")


def _misnamed(call: CapturedSpan, spans: Sequence[CapturedSpan]) -> Iterable[str]:
    should = op("chat", "gen_ai"), span_name("chat", "gen_ai", PIPELINE, MODEL)
    if (call.op, call.name) != should:
        yield f"the model span is {call.op!r}, {call.name!r}, but should be {should[0]!r}, {should[1]!r}"
    root = next((span for span in spans if span.is_root), None)
    if root is None:
        yield "the span of the pipeline, the parent of the model span, is missing"
    elif (root.op, root.name) != (op("pipeline", "gen_ai"), PIPELINE):
        yield f"the span of the pipeline is {root.op!r}, {root.name!r}, but should have the pipeline's name"
    elif call.parent_id != root.span_id:
        yield "the model span is not a child of the pipeline's span"


def attributes(case: Case) -> Finding:
    """Check the required attributes of the model span, value by value."""
    name = "attributes"
    call = _call(case)
    if call is None:
        return _not_checked(name)
    wrong = [
        f"{key} is {call.attributes[key]!r}, not {value!r}" if key in call.attributes else f"{key} is missing"
        for key, value in EXPECTED.items()
        if not _same(call.attributes.get(key), value)
    ]
    if wrong:
        remedy = "Check before_send_transaction, before_send_span, event_scrubber and your event processors."
        return Finding(name, "fail", "; ".join(wrong), remedy)
    return Finding(name, "ok", "model, pipeline, tokens, timing and outcome are present and correct")


def _same(seen: object, expected: object) -> bool:
    return type(seen) is type(expected) and seen == expected


def conventions(case: Case) -> Finding:
    """Check that the keys of AI attributes and the types of their values match Sentry's conventions."""
    name = "conventions"
    spans = case.probe.spans if case.probe is not None else ()
    if _call(case) is None:
        return _not_checked(name)
    known = _conventions()
    pairs = {(key, _kind(value)): value for span in spans for key, value in span.attributes.items() if _is_ai(key)}
    mistyped, unknown = [], []
    for (key, kind), value in pairs.items():
        wanted = known.get(key) if known is not None else None
        if wanted is not None:
            if wanted not in (kind, "any") and (kind, wanted) != ("integer", "double"):
                mistyped.append(f"{key} is of type {kind}, not {wanted}")
        elif kind == "other":
            mistyped.append(f"{key} is a {type(value).__name__}, neither a scalar nor a list of strings")
        elif key.startswith(("gen_ai.", "ai.")) and key not in (_OURS if known is None else RECIPE):
            unknown.append(key)
    remedy = "Find out what sets them: a hook, an event processor or another package."
    if mistyped:
        return Finding(name, "fail", "; ".join(mistyped), remedy)
    if unknown:
        return Finding(name, "warning", f"not in Sentry's conventions: {', '.join(unknown)}", remedy)
    table = (
        "this package's own table" if known is None else f"sentry-conventions {case.installed('sentry-conventions')}"
    )
    remedy_if_ok = "To check all types, pip install sentry-conventions." if known is None else None
    return Finding(name, "ok", f"{len(pairs)} AI attributes match {table}", remedy_if_ok)


def _is_ai(key: str) -> bool:
    return key.startswith(("gen_ai.", "ai.", "langchain_stream.")) or key in _OURS


def _kind(value: object) -> str:
    """Return the type of a value, as the conventions name it."""
    for kind, types in (("boolean", bool), ("integer", int), ("double", float), ("string", str)):
        if isinstance(value, types):
            return kind
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return "string[]" if is_list else "other"


def _conventions() -> dict[str, str] | None:
    """Return the type of every key in Sentry's conventions, or `None` if the package is not installed."""
    try:
        from sentry_conventions.attributes import ATTRIBUTE_METADATA
    except ImportError:
        return None
    return {key: row.type.value for key, row in ATTRIBUTE_METADATA.items()}


def scrubber(case: Case) -> Finding:
    """Check which attributes Sentry's default data scrubber would remove on arrival."""
    name = "scrubber"
    if _call(case) is None or case.probe is None:
        return _not_checked(name)
    keys = sorted({key for span in case.probe.spans for key in span.attributes})
    try:
        removed = _scrubbed(keys)
        by = "Sentry's real scrubber, with default settings, removes"
    except ImportError:
        removed = [key for key in keys if _SENSITIVE.search(key) and not _is_conventional(key)]
        by = "by this package's copy of its rule, Sentry's default scrubber removes"
    surprising = [key for key in removed if key not in RECIPE]
    if surprising:
        return Finding(
            name,
            "warning",
            f"{by} {', '.join(surprising)}",
            "Rename these keys, or add them to Safe Fields in the project's settings.",
        )
    if removed:
        found = f"{by} {', '.join(removed)}, as expected: gen_ai.usage.total_tokens has the same value"
        return Finding(name, "ok", found)
    return Finding(name, "ok", f"{by} nothing")


def _is_conventional(key: str) -> bool:
    known = _conventions()
    return key in known if known is not None else key in _OURS and key not in RECIPE


def _scrubbed(keys: Sequence[str]) -> list[str]:
    """Return the keys that the server's own code removes. Raises `ImportError` if sentry-relay is not installed."""
    from sentry_relay.processing import convert_datascrubbing_config, pii_strip_event

    settings = {
        "scrubData": True,
        "scrubDefaults": True,
        "scrubIpAddresses": False,
        "sensitiveFields": [],
        "excludeFields": [],
    }
    # Only the keys matter, so every value is one that the scrubber never removes.
    span = {"op": "gen_ai.chat", "data": dict.fromkeys(keys, 1)}
    event: Any = {"type": "transaction", "spans": [span]}
    (left,) = pii_strip_event(convert_datascrubbing_config(settings), event)["spans"]
    return [key for key in keys if left["data"].get(key) != 1]


def _call(case: Case) -> CapturedSpan | None:
    """Return the model span, or `None` if there is not exactly one."""
    calls = model_spans(case.probe.spans) if case.probe is not None else []
    return calls[0] if len(calls) == 1 else None


def _not_checked(name: str) -> Finding:
    return Finding(name, "skipped", "not checked: the probe did not make exactly one model span")
