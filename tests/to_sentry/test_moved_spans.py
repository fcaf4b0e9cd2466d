"""Spans of AI that the SDK moves out of their transaction say the same in whichever way they are moved."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sentry_sdk
from hypothesis import example, given
from hypothesis import strategies as st

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import internals, moved_spans
from sentry_langchain_stream._to_sentry.moved_spans import PlainSpan, _moved
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import active_span, content_allowed, fake_model

pytestmark = pytest.mark.skipif(internals.move_span is None, reason="the SDK does not move spans")

TEXTS = st.text(max_size=9)
SCALARS = st.one_of(TEXTS, st.integers(), st.booleans(), st.floats(allow_nan=False))
VALUES = st.one_of(SCALARS, st.none(), st.lists(SCALARS, max_size=3), st.dictionaries(TEXTS, SCALARS, max_size=2))
HELD = st.dictionaries(st.one_of(TEXTS, st.sampled_from(["status", "sentry.op", "user.id"])), VALUES, max_size=5)
TIMES = st.sampled_from(["2026-11-28T01:02:03.000000Z", "1969-12-31T23:59:59.999999Z", "2026-02-29T00:00:00.000000Z"])
KNOWN = {"2026-11-28T01:02:03.000000Z": 1795827723.0}
"""As if this time was the span's own, and a hook had set the others."""
SPAN: dict[str, Any] = {
    "trace_id": st.just("0" * 32),
    "span_id": st.just("1" * 16),
    "parent_span_id": st.one_of(st.none(), st.just("2" * 16)),
    "op": st.just("gen_ai.chat"),
    "description": st.one_of(st.none(), TEXTS),
    "start_timestamp": TIMES,
    "timestamp": TIMES,
    "origin": st.just("auto.ai"),
    "status": st.sampled_from(["ok", "internal_error"]),
    "tags": HELD,
    "data": HELD,
}
EVENTS = st.fixed_dictionaries(
    {"event_id": st.uuids().map(str)},
    optional={
        "user": st.dictionaries(st.sampled_from(["id", "username", "email", "ip_address"]), TEXTS),
        "release": TEXTS,
        "environment": TEXTS,
        "server_name": TEXTS,
        "transaction": TEXTS,
        "contexts": st.fixed_dictionaries({}, optional={"trace": st.just({"span_id": "3" * 16})}),
        "sdk": st.one_of(st.none(), st.dictionaries(st.sampled_from(["name", "version"]), TEXTS)),
    },
)


@given(spans=st.lists(st.fixed_dictionaries({}, optional=SPAN) | st.fixed_dictionaries(SPAN), max_size=3), event=EVENTS)
@example(spans=[{"op": "gen_ai.chat", "data": {"stop": ["a", 1]}}], event={"event_id": "1"})
def test_a_span_is_moved_as_the_sdk_does(spans: list[dict[str, Any]], event: dict[str, Any]) -> None:
    """Whatever a span and its transaction hold, also after a hook has changed them, the moved span is the same."""
    assert internals.move_span is not None
    usual, ours = [], []
    for span in spans:
        usual.append(internals.move_span({**span}, event))
        payload = PlainSpan(span)
        payload.seconds = KNOWN
        ours.append(_moved(payload, event))
    assert ours == usual
    assert json.dumps(ours, sort_keys=True) == json.dumps(usual, sort_keys=True), "1 and True are equal"


def sent(monkeypatch: pytest.MonkeyPatch, *, shortly: bool) -> list[bytes]:
    """Items that leave for two calls in a request each, without what is new each time."""
    with (
        monkeypatch.context() as patch,
        capture_spans(**content_allowed(True), stream_gen_ai_spans=True, release="7") as captured,
    ):
        if not shortly:
            patch.setattr("sentry_sdk.client._serialized_v1_span_to_serialized_v2_span", internals.move_span)
            patch.setattr(moved_spans, "install", lambda: None)
        for question in ("One?", "Two?"):
            sentry_sdk.set_user({"id": question})
            with active_span("transaction"):
                fake_model().invoke(question, {"callbacks": [SentryStreamHandler()]})
                fake_model().invoke(question, {"callbacks": [SentryStreamHandler()]})
    return captured.envelopes


def test_what_leaves_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The spans of each request have its user and its segment, with the short way and without."""
    seen: list[object] = []
    shortly = moved_spans._shortly

    def noted(span: Any, event: Any) -> dict[str, Any]:
        if "pipeline_name" in span["data"]:  # not the sample that is tried out first
            seen.append(span)
        return shortly(span, event)

    monkeypatch.setattr(moved_spans, "_shortly", noted)
    ways = []
    for way in (True, False):
        items = [
            span["attributes"]
            for envelope in sent(monkeypatch, shortly=way)
            for line in envelope.splitlines()
            if b'"items"' in line
            for span in json.loads(line)["items"]
        ]
        assert [each["user.id"]["value"] for each in items] == ["One?", "One?", "Two?", "Two?"]
        assert len({each["sentry.segment.id"]["value"] for each in items}) == 2
        ways.append([sorted((name, each["type"]) for name, each in attributes.items()) for attributes in items])
    assert ways[0] == ways[1]
    assert len(seen) == 4


def another(span: dict[str, Any], event: Any) -> dict[str, Any]:
    """What another version of the SDK might do."""
    return {"version": 3}


@pytest.mark.parametrize("whose", ["the SDK's", "somebody's"])
def test_a_function_that_does_something_else_stays(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short way is not taken where the SDK's leads elsewhere, nor where somebody has replaced it."""
    monkeypatch.setattr("sentry_sdk.client._serialized_v1_span_to_serialized_v2_span", another)
    if whose == "the SDK's":
        monkeypatch.setattr(internals, "move_span", another)
    moved_spans.install()
    assert sentry_sdk.client._serialized_v1_span_to_serialized_v2_span is another
