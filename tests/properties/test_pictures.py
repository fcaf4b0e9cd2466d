"""Spans as they are read back and drawn: every one that is sent is read, and every one that is read is drawn once."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentry_langchain_stream.testing.envelopes import CapturedSpan, read_spans
from sentry_langchain_stream.testing.timeline import MOST_ROWS, as_html, walk

moments = st.one_of(st.floats(0, 2e9), st.integers(0, 2 * 10**9).map(float))
attribute_names = st.sampled_from(
    [
        *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens"),
        *("gen_ai.response.time_to_first_chunk", "gen_ai.response.model", "gen_ai.request.model", "ai.model_id"),
        *("langchain_stream.outcome", "langchain_stream.usage_source", "error.type", "anything"),
    ]
)
attributes = st.dictionaries(
    attribute_names,
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=9),
        st.lists(st.text(max_size=3), max_size=2),
        st.sampled_from(["completed", "cancelled", "abandoned", "failed", "estimate"]),
    ),
    max_size=6,
)


@st.composite
def forests(draw: st.DrawFn) -> list[CapturedSpan]:
    """Spans in any order, below each other, below one that is not there, or below none."""
    spans: list[CapturedSpan] = []
    for index in range(draw(st.integers(0, 8))):
        parents = [None, "gone", *(span.span_id for span in spans)]
        start = draw(moments)
        spans.append(
            CapturedSpan(
                op=draw(st.sampled_from(["", "gen_ai.chat", "gen_ai.invoke_agent", "function", "<b>"])),
                name=draw(st.one_of(st.text(max_size=9), st.just("<script>" * 20))),
                trace_id="trace",
                span_id=str(index),
                parent_id=draw(st.sampled_from(parents)),
                start=start,
                end=start + draw(st.one_of(st.just(0.0), st.floats(0, 1e5), st.floats(-10, 0))),
                status=draw(st.sampled_from([None, "ok", "error", "cancelled", "internal_error", "odd"])),
                origin="manual",
                is_root=False,
                attributes=draw(attributes),
                shape="span",
            )
        )
    return draw(st.permutations(spans))


@given(forests())
def test_every_span_is_walked_once_below_its_parent(spans: list[CapturedSpan]) -> None:
    """Of any forest each span is told once, after the one above it and one level deeper; siblings by their start."""
    walked = list(walk(spans))
    assert sorted(span.span_id for _, span in walked) == sorted(span.span_id for span in spans)
    depth = {span.span_id: level for level, span in walked}
    place = {span.span_id: index for index, (_, span) in enumerate(walked)}
    last: dict[str | None, float] = {}
    for level, span in walked:
        above = span.parent_id if span.parent_id in depth else None
        assert level == (0 if above is None else depth[above] + 1)
        assert above is None or place[above] < place[span.span_id]
        assert last.get(above, span.start) <= span.start
        last[above] = span.start


class Tags(HTMLParser):
    """Counts what a page has, and sees that everything that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(forests())
def test_any_forest_can_be_drawn(spans: list[CapturedSpan]) -> None:
    """Whatever the spans tell, the page is sound and has a row and a bar for each, and the head."""
    page = Tags(as_html(spans))
    assert page.open == []
    assert "script" not in page.seen
    assert "b" not in page.seen
    if spans:
        assert page.seen.count("tr") == page.seen.count("img") == len(spans) + 1


def test_what_is_too_much_to_draw_is_still_a_forest() -> None:
    """Of more spans than are drawn as many as may be are drawn."""
    many = [
        CapturedSpan("op", "n", "t", str(index), None, 0.0, 1.0, "ok", "manual", True, {}, "span")
        for index in range(MOST_ROWS + 1)
    ]
    assert Tags(as_html(many)).seen.count("img") == MOST_ROWS + 1


# -- Reading ---------------------------------------------------------------------------------------------------

identities = st.text("0123456789abcdef", min_size=16, max_size=16)
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))
stamps = st.one_of(
    times.map(lambda time: (f"{time.isoformat()}Z", time.replace(tzinfo=timezone.utc).timestamp())),
    times.map(lambda time: (f"{time.isoformat()}+00:00", time.replace(tzinfo=timezone.utc).timestamp())),
    moments.map(lambda time: (time, time)),
)
told = st.one_of(st.none(), st.text(min_size=1, max_size=5))


@given(
    st.lists(st.tuples(identities, st.one_of(st.none(), identities), stamps, stamps, told, attributes), max_size=4),
    st.text(max_size=9),
)
def test_what_stands_in_an_envelope_is_read(spans: list[Any], name: str) -> None:
    """Of both wire shapes every span is read, with its ids, times and attributes as they were sent."""
    sent = [
        {
            "span_id": identity,
            "trace_id": "t",
            "parent_span_id": above,
            "start_timestamp": start[0],
            "timestamp": end[0],
            "status": status,
            "data": given_attributes,
            "description": name,
            "op": "gen_ai.chat",
        }
        for identity, above, start, end, status, given_attributes in spans
    ]
    trace = {"span_id": "f" * 16, "trace_id": "t", "op": "function", "data": None}
    whole = {
        "transaction": name,
        "contexts": {"trace": trace},
        "spans": sent,
        "start_timestamp": 1.0,
        "timestamp": 2.0,
    }
    items = {
        "items": [
            {
                "span_id": identity,
                "trace_id": "t",
                "parent_span_id": above,
                "start_timestamp": start[1],
                "end_timestamp": end[1],
                "status": status,
                "name": name,
                "is_segment": False,
                "attributes": {key: {"value": value, "type": "x"} for key, value in given_attributes.items()},
            }
            for identity, above, start, end, status, given_attributes in spans
        ]
    }
    root, *below = read_spans("transaction", json.loads(json.dumps(whole)))
    assert (root.is_root, root.name, root.duration, root.attributes) == (True, name, 1.0, {})
    for found in (below, list(read_spans("span", json.loads(json.dumps(items))))):
        assert len(found) == len(spans)
        for span, (identity, above, start, end, status, given_attributes) in zip(found, spans, strict=True):
            assert (span.span_id, span.parent_id, span.status) == (identity, above, status)
            assert (span.start, span.end) == pytest.approx((start[1], end[1]))
            assert span.attributes == given_attributes
            assert not span.is_root


item_names = st.sampled_from(
    [
        *("transaction", "contexts", "trace", "spans", "items", "span_id", "trace_id", "attributes", "value", "data"),
        *("start_timestamp", "timestamp", "end_timestamp", "status", "tags", "name", "is_segment", "description"),
    ]
)


parsed_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(item_names, inner, max_size=5)),
    max_leaves=10,
)
parts = st.dictionaries(item_names, parsed_json, max_size=6)


@given(
    st.sampled_from(["transaction", "span"]),
    st.one_of(
        parsed_json,
        parts,
        st.builds(lambda trace, spans: {"contexts": {"trace": trace}, "spans": spans}, parts, parsed_json),
        st.builds(lambda spans: {"items": spans}, st.lists(parts, max_size=2)),
    ),
)
def test_what_is_no_item_is_refused(kind: str, payload: Any) -> None:
    """A payload that is not what its type says is refused with one kind of error that names the type."""
    refused = ""
    try:
        assert all(isinstance(span, CapturedSpan) for span in read_spans(kind, payload))
    except ValueError as error:
        refused = str(error)
    assert refused.startswith(f"not a {kind} item: ") or not refused


@given(st.text(max_size=9).filter(lambda kind: kind not in ("transaction", "span")), parsed_json)
def test_other_items_have_no_spans(kind: str, payload: Any) -> None:
    """Of an item of any other type nothing is read at all."""
    assert list(read_spans(kind, payload)) == []
