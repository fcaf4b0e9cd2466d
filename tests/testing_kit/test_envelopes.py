"""What is read of envelopes, on payloads as they stand there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sentry_langchain_stream.testing.envelopes import CapturedSpan, model_spans, read_spans

ROOT = CapturedSpan(
    op="http.server",
    name="/ask",
    trace_id="t1",
    span_id="s1",
    parent_id="s0",
    start=1_767_225_600.5,
    end=1_767_225_602.0,
    status="ok",
    origin="auto.http",
    is_root=True,
    attributes={"a": 1},
    shape="transaction",
)
CHILD = replace(ROOT, op="db", name="SELECT", span_id="s2", parent_id="s1", is_root=False, attributes={"b": [2]})

TRANSACTION: dict[str, Any] = {
    "transaction": "/ask",
    "start_timestamp": "2026-01-01T00:00:00.500000Z",
    "timestamp": "2026-01-01T00:00:02.000000Z",
    "contexts": {
        "trace": {
            "op": "http.server",
            "trace_id": "t1",
            "span_id": "s1",
            "parent_span_id": "s0",
            "status": "ok",
            "origin": "auto.http",
            "data": {"a": 1},
        }
    },
    "spans": [
        {
            "op": "db",
            "description": "SELECT",
            "trace_id": "t1",
            "span_id": "s2",
            "parent_span_id": "s1",
            "start_timestamp": 1_767_225_600.5,
            "timestamp": 1_767_225_602,
            "tags": {"status": "ok"},
            "origin": "auto.http",
            "data": {"b": [2]},
        }
    ],
}

ITEMS: dict[str, Any] = {
    "items": [
        {
            "name": "/ask",
            "trace_id": "t1",
            "span_id": "s1",
            "parent_span_id": "s0",
            "start_timestamp": 1_767_225_600.5,
            "end_timestamp": 1_767_225_602.0,
            "status": "ok",
            "is_segment": True,
            "attributes": {
                "sentry.op": {"value": "http.server", "type": "string"},
                "sentry.origin": {"value": "auto.http", "type": "string"},
            },
        }
    ]
}


def test_a_transaction_and_its_spans() -> None:
    """A root and its child, with times as text and as numbers, and the status where newer and older SDKs put it."""
    assert list(read_spans("transaction", TRANSACTION)) == [ROOT, CHILD]


def test_a_span_item() -> None:
    """The op and the origin are attributes, which are told without their types."""
    told = {"sentry.op": "http.server", "sentry.origin": "auto.http"}
    assert list(read_spans("span", ITEMS)) == [replace(ROOT, shape="span", attributes=told)]


@pytest.mark.parametrize("kind", ["transaction", "span"])
def test_what_need_not_be_there(kind: str) -> None:
    """A span without op, parent, status, origin and attributes is one by hand, with nothing on it."""
    ids = {"trace_id": "t1", "span_id": "s1"}
    times = {"start_timestamp": ROOT.start, "timestamp": ROOT.end, "end_timestamp": ROOT.end}
    payloads: dict[str, Any] = {
        "transaction": {"transaction": None, "contexts": {"trace": ids}, **times},
        "span": {"items": [{"name": "", "is_segment": True, **ids, **times}]},
    }
    (span,) = read_spans(kind, payloads[kind])
    assert span == CapturedSpan("", "", "t1", "s1", None, ROOT.start, ROOT.end, None, "manual", True, {}, kind)


def test_other_items_have_no_spans() -> None:
    """An event or a log is not looked at."""
    assert list(read_spans("event", {"transaction": "/ask"})) == []


def test_a_payload_that_is_none_is_named() -> None:
    """What is wrong with a payload is said, and what it should have been."""
    with pytest.raises(ValueError, match=r"^not a transaction item: KeyError: 'contexts'$"):
        list(read_spans("transaction", {}))


@pytest.mark.parametrize(
    ("op", "attributes", "counts"),
    [
        ("gen_ai.chat", {}, True),
        ("ai.chat_completions.create.openai", {}, True),
        ("gen_ai.embeddings", {}, True),
        ("function", {"gen_ai.operation.name": "chat"}, True),
        ("function", {}, False),
        ("maintenance", {}, False),
        *((f"gen_ai.{name}", {}, False) for name in ("invoke_agent", "create_agent", "execute_tool", "handoff")),
        ("ai.agent.langchain", {"gen_ai.operation.name": "invoke_agent"}, False),
    ],
)
def test_which_spans_sentry_counts_as_model_calls(op: str, attributes: dict[str, Any], counts: bool) -> None:
    """Every AI span, known by its op or its operation, but an agent's and a tool's."""
    span = replace(ROOT, op=op, attributes=attributes)
    assert model_spans([span]) == ([span] if counts else [])
