"""Spans that say by themselves how they are sent say what the SDK would have said of them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sentry_sdk
from hypothesis import example, given
from hypothesis import strategies as st
from sentry_sdk import serializer
from sentry_sdk._types import AnnotatedValue
from sentry_sdk.scrubber import EventScrubber
from sentry_sdk.serializer import serialize
from sentry_sdk.tracing import Span
from sentry_sdk.utils import disable_capture_event

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import transaction_spans
from sentry_langchain_stream._to_sentry.moved_spans import PlainSpan
from sentry_langchain_stream._to_sentry.plain_spans import _Prepared, _PreparedContext, prepared
from sentry_langchain_stream.testing import capture_spans
from tests.kit.strategies import Point, scalars
from tests.kit.wire import WIRE_SHAPES, active_span, fake_model

# What the SDK makes of a span, with anything at all where the user, or a hook of the user's, may have put it.
VALUES = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner, max_size=3),
        st.builds(Point, inner),
        st.builds(AnnotatedValue, inner, st.just({"rem": [["!config", "x"]]})),
    ),
    max_leaves=5,
)
HELD = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)
SPANS = st.fixed_dictionaries(
    {
        "trace_id": st.just("0" * 32),
        "op": st.one_of(st.none(), st.just("gen_ai.chat")),
        "description": st.text(max_size=30),
        "start_timestamp": st.datetimes(datetime(2020, 1, 1), timezones=st.just(timezone.utc)),
        "timestamp": st.one_of(st.none(), st.datetimes(datetime(2020, 1, 1), timezones=st.just(timezone.utc))),
    },
    optional={"tags": HELD, "data": st.one_of(HELD, VALUES), "measurements": HELD},
)


CIRCLE: dict[str, Any] = {}
CIRCLE["circle"] = {"circle": CIRCLE}


@pytest.mark.parametrize("longest", [None, 10])
@given(span=SPANS)
@example(span={"data": {"rate": math.nan}})
@example(span={"data": {"stop": ["short", "longer than ten"]}})
@example(span={"data": {1: "a key that is no text"}})
@example(span={"data": CIRCLE})
@example(span={"data": {"bytes": "éééééé"}})
@example(span={"data": {"too early": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}})
def test_a_prepared_span_is_what_the_sdk_makes_of_it(span: dict[str, Any], longest: int | None) -> None:
    """Whatever a span holds, the SDK sends the same of it, within the client's limit on texts."""
    with sentry_sdk.new_scope() as scope:
        scope.set_client(sentry_sdk.Client(max_value_length=longest, default_integrations=False))
        usual = serialize({"spans": [{**span}]}, max_value_length=longest)["spans"]
        ours = serialize({"spans": [_Prepared(span)]}, max_value_length=longest)["spans"]
    assert ours == usual


ROOTS = st.fixed_dictionaries(
    {"trace_id": st.just("0" * 32), "op": st.one_of(st.none(), st.just("function")), "description": VALUES},
    optional={"data": st.one_of(HELD, VALUES), "dynamic_sampling_context": st.one_of(HELD, VALUES)},
)


@pytest.mark.parametrize("longest", [None, 10])
@given(root=ROOTS)
@example(root={"data": {"rate": math.inf}})
@example(root={"data": CIRCLE})
@example(root={"data": {"pipeline_name": "longer than ten"}})
@example(root={"start": datetime(2026, 1, 1, tzinfo=timezone.utc)})
def test_a_prepared_root_is_what_the_sdk_makes_of_it(root: dict[str, Any], longest: int | None) -> None:
    """Whatever a root holds, the SDK sends the same trace context of it."""
    with sentry_sdk.new_scope() as scope:
        scope.set_client(sentry_sdk.Client(max_value_length=longest, default_integrations=False))
        usual = serialize({"contexts": {"trace": {**root}}}, max_value_length=longest)
        ours = serialize({"contexts": {"trace": _PreparedContext(root)}}, max_value_length=longest)
    assert ours["contexts"] == usual["contexts"]


def test_a_root_of_ours_is_prepared_and_one_of_the_applications_is_not() -> None:
    """The pipeline around a lone call skips the SDK's serialization; the transaction of a request does not."""
    told: list[type] = []

    def look(event: Any, hint: Any) -> Any:
        told.append(type(event["contexts"]["trace"]))
        return event

    with capture_spans() as captured:
        sentry_sdk.get_isolation_scope().add_event_processor(look)
        fake_model().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        with sentry_sdk.start_transaction(name="GET /answer"):
            pass
    assert told == [_PreparedContext, dict]
    sent = [payload["contexts"]["trace"] for kind, payload in captured.items if kind == "transaction"]
    assert [(type(each), each["op"]) for each in sent] == [(dict, "function"), (dict, None)]


def test_no_event_is_captured_while_the_sdk_is_at_work() -> None:
    """A span that is left to the SDK does not change the SDK's mark that it is in use."""
    seen: list[bool] = []

    class Late:
        def __repr__(self) -> str:
            seen.append(disable_capture_event.get(False))
            return "late"

    told = serialize({"spans": [_Prepared(data={"odd": object()})], "tags": {"late": Late()}})
    assert seen == [True]
    assert told["tags"] == {"late": "late"}


def test_whoever_wants_to_see_every_value_does() -> None:
    """Processors of values, which the SDK asks about every attribute of a span, are asked about those of ours."""

    def masked(value: Any, hint: Any) -> Any:
        return "masked" if value == "secret" else NotImplemented

    serializer.global_repr_processors.append(masked)
    try:
        span = prepared(Span(op="gen_ai.chat"))
        span.set_data("said", "secret")
        assert type(span.to_json()) is dict, "it would be looked at twice"
        (told,) = serialize({"spans": [span.to_json()]})["spans"]
    finally:
        serializer.global_repr_processors.remove(masked)
    assert told["data"]["said"] == "masked"


def test_djangos_processor_keeps_no_span_from_preparing_itself() -> None:
    """As soon as Django is installed, the SDK asks its integration about every value, which changes query sets only."""
    pytest.importorskip("django")
    told: list[type] = []

    def look(event: Any, hint: Any) -> Any:
        told.extend(map(type, event["spans"]))
        return event

    with capture_spans(default_integrations=True, before_send_transaction=look) as captured, active_span("transaction"):
        fake_model("one two").invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert "sentry_sdk.integrations.django" in [each.__module__ for each in serializer.global_repr_processors]
    assert told == [PlainSpan]
    assert captured.find(op="gen_ai.chat").attributes["gen_ai.usage.output_tokens"] == 2


def test_only_the_sdks_own_class_of_spans_is_prepared() -> None:
    """A span of another class, which may tell of itself in its own way, is left alone."""

    class Special(Span):
        __slots__ = ()

    special = Special()
    assert type(prepared(special)) is Special
    assert type(prepared(Span())) is not Span


def _shorter(event: Any, hint: Any) -> Any:
    for span in event["spans"]:
        span["description"] = "a name of more than thirty-three characters"
        span["data"]["pipeline_name"] = {"nested": ["as", {"deep": 1}]}
    return event


@pytest.mark.parametrize("shape", [shape for shape in WIRE_SHAPES if shape != "stream"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_value_length": 33},
        {"event_scrubber": EventScrubber(denylist=["gen_ai.request.model"])},
        {"custom_repr": lambda value: "custom" if isinstance(value, complex) else None},
    ],
    ids=lambda options: next(iter(options), "defaults"),
)
@pytest.mark.parametrize("process", [None, _shorter], ids=["", "processor"])
def test_options_and_hooks_find_the_span_that_they_know(
    options: dict[str, Any], process: Any, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits, scrubbers, `custom_repr` and event processors do to our spans what they do to any other."""

    def sent() -> Any:
        with capture_spans(**WIRE_SHAPES[shape], **options) as captured:
            if process is not None:
                sentry_sdk.get_isolation_scope().add_event_processor(process)
            with active_span("transaction"):
                fake_model().invoke("Hi", config={"callbacks": [Odd()]})
        (span,) = [span for span in captured.spans if not span.is_root]
        told = {name: value for name, value in span.attributes.items() if name not in CHANGING}
        return span.name, span.op, told

    ours = sent()
    monkeypatch.setattr(transaction_spans, "prepared", lambda span: span)
    assert ours == sent()


CHANGING = {"gen_ai.response.tokens_per_second", "sentry.segment.id", "thread.id"}


class Odd(SentryStreamHandler):
    """Puts a value on the span that JSON does not have."""

    def on_llm_end(self, *args: Any, **kwargs: Any) -> Any:
        (run,) = self._runs._runs.values()
        span: Any = run.place.span
        span.set_data("odd", 1j)
        return super().on_llm_end(*args, **kwargs)
