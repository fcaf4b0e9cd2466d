"""Where OpenTelemetry traces the application, our roots and issues are in its trace."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sentry_sdk
from langchain_core.runnables import Runnable, RunnableLambda
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit import opentelemetry
from tests.kit.inside import world
from tests.kit.opentelemetry import OTLP, PLAIN, SETUPS, Spans
from tests.kit.pairwise import in_pairs
from tests.kit.wire import BOTH_MODELS, WAYS, WIRE_SHAPES, ScriptedModel, Way, active_span, fake_model

pytest.importorskip("opentelemetry.sdk.trace", reason="needs opentelemetry-sdk")

INCOMING = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    with opentelemetry.clean():
        yield


def chain(model: Any = None) -> Runnable[Any, Any]:
    """An application of two steps."""
    return RunnableLambda(str) | (model or fake_model())


def config() -> Any:
    return {"callbacks": [SentryStreamHandler("support-bot")]}


def roots(captured: Captured) -> list[CapturedSpan]:
    return captured.find_all(name="support-bot")


def assert_below(captured: Captured, outer: Spans, number: int = 1) -> None:
    """Every root of ours is a child of this span of OpenTelemetry, and all that is below is in its trace."""
    found = roots(captured)
    assert len(found) == number, captured.tree()
    assert {(root.trace_id, root.parent_id) for root in found} == {(outer.trace_id, outer.span_id)}
    assert {span.trace_id for span in captured.spans} == {outer.trace_id}


# -- roots ----------------------------------------------------------------------------------------------------


@in_pairs(shape=WIRE_SHAPES, setup=SETUPS, way=WAYS)
async def test_a_root_is_a_child_of_the_current_span(shape: str, setup: str, way: Way) -> None:
    """The pipeline has the trace of OpenTelemetry's current span, and that span as its parent."""
    with (
        capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured,
        opentelemetry.current() as outer,
    ):
        await way.run(chain(), "Hi", config())
    assert_below(captured, outer)
    assert captured.find(op="gen_ai.chat").parent_id == roots(captured)[0].span_id


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_so_are_the_roots_in_threads(shape: str, setup: str) -> None:
    """LangChain runs the calls of a batch in threads, with a copy of the context."""
    with (
        capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured,
        opentelemetry.current() as outer,
    ):
        chain().batch(["a", "b", "c"], config())
    assert_below(captured, outer, 3)


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_so_is_a_tracked_stream(shape: str, setup: str) -> None:
    """`track_stream` has no run of LangChain, and joins the trace all the same."""
    with (
        capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured,
        opentelemetry.current() as outer,
    ):
        list(track_stream(iter("abc"), model="gpt-4o-mini", pipeline_name="support-bot"))
    assert_below(captured, outer)


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_without_a_current_span_nothing_changes(shape: str, setup: str) -> None:
    """After a span of OpenTelemetry has ended, a root has no parent, and is in another trace."""
    with capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured:
        with opentelemetry.current() as outer:
            pass
        chain().invoke("Hi", config())
    (root,) = roots(captured)
    assert root.is_root
    assert root.trace_id != outer.trace_id


def test_opentelemetry_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An application that does not use it does not load it because of us."""
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")
    with capture_spans() as captured:
        chain().invoke("Hi", config())
    assert roots(captured)[0].is_root
    assert "opentelemetry.trace" not in sys.modules


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_an_opentelemetry_that_raises_costs_no_span(
    shape: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The root is then sent in a trace of its own, and one line is logged."""

    def broken() -> None:
        raise RuntimeError("no context")

    monkeypatch.setattr("opentelemetry.trace.get_current_span", broken)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        chain().invoke("Hi", config())
    assert roots(captured)[0].is_root
    (line,) = [record.getMessage() for record in caplog.records if record.name == "sentry_langchain_stream"]
    assert "current span of OpenTelemetry failed with RuntimeError" in line


# -- who wins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_active_span_of_sentry_wins(shape: str, setup: str) -> None:
    """A root is a child of Sentry's own active span, as without OpenTelemetry."""
    with (
        capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured,
        active_span(shape) as application,
        opentelemetry.current(),
    ):
        chain().invoke("Hi", config())
    assert [root.parent_id for root in roots(captured)] == [application]


def incoming(shape: str, trace_id: str, sampled: int = 1) -> None:
    """Continue a trace of Sentry that has come with a request."""
    headers = {
        "sentry-trace": f"{trace_id}-b7ad6b7169203331-{sampled}",
        "baggage": f"sentry-trace_id={trace_id},sentry-sample_rand={0.25 if sampled else 0.75},sentry-sample_rate=0.5",
    }
    sentry_sdk.traces.continue_trace(headers) if shape == "stream" else sentry_sdk.continue_trace(headers)


@pytest.mark.parametrize(("setup", "parent"), [(PLAIN, "incoming"), (OTLP, "current")])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_incoming_trace_wins_over_spans_that_go_elsewhere(shape: str, setup: str, parent: str) -> None:
    """With OTLPIntegration Sentry links its own events to OpenTelemetry first. Without, its own trace is first."""
    with capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured:
        incoming(shape, INCOMING)
        with opentelemetry.current() as outer:
            chain().invoke("Hi", config())
    expected = (INCOMING, "b7ad6b7169203331") if parent == "incoming" else (outer.trace_id, outer.span_id)
    assert [(root.trace_id, root.parent_id) for root in roots(captured)] == [expected]


@pytest.mark.parametrize("sampled", [0, 1])
@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_nearest_span_of_one_trace_is_the_parent(shape: str, setup: str, sampled: int) -> None:
    """If both continue one trace, OpenTelemetry's span is nearer, and sampling and baggage are the sender's."""
    with (
        capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured,
        opentelemetry.current(sampled=bool(sampled)) as outer,
    ):
        incoming(shape, outer.trace_id, sampled)
        chain().invoke("Hi", config())
    assert len(roots(captured)) == sampled
    if sampled:
        assert_below(captured, outer)
        headers = [Envelope.deserialize(raw).headers.get("trace") for raw in captured.envelopes]
        assert {float(trace["sample_rand"]) for trace in headers if trace} == {0.25}


@pytest.mark.parametrize("shape", BOTH_MODELS)
async def test_requests_without_a_span_of_sentry_are_in_opentelemetrys_trace(shape: str) -> None:
    """As the doctor advises: with `http_methods_to_capture=()` Sentry's integration makes no span of a request."""
    fastapi = pytest.importorskip("fastapi")
    from sentry_sdk.integrations.fastapi import FastApiIntegration
    from sentry_sdk.integrations.starlette import StarletteIntegration

    methods: Any = {"http_methods_to_capture": ()}
    otlp = opentelemetry.options(OTLP)["integrations"]
    ours = [*otlp, FastApiIntegration(**methods), StarletteIntegration(**methods)]
    seen: list[Spans] = []
    with capture_spans(**WIRE_SHAPES[shape], integrations=ours) as captured:
        app = fastapi.FastAPI()

        async def ask() -> str:
            with opentelemetry.current() as outer:  # as an instrumentation around the route does
                seen.append(outer)
                return str(await chain().ainvoke("Hi", config()))

        app.get("/ask")(ask)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
            (await client.get("/ask")).raise_for_status()
    assert_below(captured, seen[0])


# -- sampling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setup", "rate", "sampled", "number"),
    [
        (OTLP, 1.0, False, 0),
        (OTLP, 0.0, True, 1),
        (OTLP, 1.0, True, 1),
        (PLAIN, 1.0, False, 1),
        (PLAIN, 0.0, True, 0),
    ],
)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_root_is_sampled_as_what_sentry_shows_of_its_trace(
    shape: str, setup: str, rate: float, sampled: bool, number: int
) -> None:
    """OTLPIntegration sends sampled spans, so a root follows; spans that go elsewhere do not matter to Sentry."""
    options = {**WIRE_SHAPES[shape], **opentelemetry.options(setup), "traces_sample_rate": rate}
    with capture_spans(**options) as captured, opentelemetry.current(sampled=sampled):
        chain().invoke("Hi", config())
    assert len(roots(captured)) == number


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_sampler_has_the_last_word(shape: str, sampled: bool) -> None:
    """`traces_sampler` is called with OpenTelemetry's decision as `parent_sampled`, and may differ."""
    seen: list[object] = []

    def sampler(context: dict[str, Any]) -> float:
        told = context.get("span_context", context)  # that of streamed spans, before sentry-sdk 2.70
        seen.append(told["parent_sampled"])
        return float(not told["parent_sampled"])

    options = {**WIRE_SHAPES[shape], **opentelemetry.options(OTLP), "traces_sampler": sampler}
    with capture_spans(**options) as captured, opentelemetry.current(sampled=sampled):
        chain().invoke("Hi", config())
    assert seen == [sampled]
    assert len(roots(captured)) == int(not sampled)


# -- issues ---------------------------------------------------------------------------------------------------


class ModelError(Exception):
    """What the model fails with."""


def failing(at: int = 0) -> ScriptedModel:
    def before(number: int) -> None:
        if number == at:
            raise ModelError("the model failed")

    return ScriptedModel(before=before)


def trace_of_the_issue(captured: Captured) -> tuple[str, str]:
    (issue,) = captured.events
    trace = issue["contexts"]["trace"]
    return trace["trace_id"], trace["span_id"]


@in_pairs(shape=WIRE_SHAPES, setup=SETUPS, way=WAYS)
async def test_an_issue_is_linked_to_the_failed_span(shape: str, setup: str, way: Way) -> None:
    """The issue of a failed run is in OpenTelemetry's trace, at the span of the model."""
    with (
        capture_spans(**WIRE_SHAPES[shape], **opentelemetry.options(setup)) as captured,
        opentelemetry.current() as outer,
        contextlib.suppress(ModelError),
    ):
        await way.run(chain(failing()), "Hi", config())
    assert trace_of_the_issue(captured) == (outer.trace_id, captured.find(op="gen_ai.chat").span_id)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("setup", SETUPS)
async def test_without_tracing_it_is_linked_to_opentelemetrys_span(setup: str, way: Way) -> None:
    """Without a `traces_sample_rate`, as Sentry advises with OTLPIntegration, it is linked to the enclosing span."""
    with (
        capture_spans(**opentelemetry.options(setup), traces_sample_rate=None) as captured,
        opentelemetry.current() as outer,
        contextlib.suppress(ModelError),
    ):
        await way.run(chain(failing()), "Hi", config())
    assert captured.spans == []
    assert trace_of_the_issue(captured) == (outer.trace_id, outer.span_id)


@pytest.mark.parametrize("setup", SETUPS)
def test_a_stream_that_fails_elsewhere_is_linked_to_where_it_began(setup: str) -> None:
    """The consumer may pull the rest of a stream outside of the span."""
    with capture_spans(**opentelemetry.options(setup), traces_sample_rate=None) as captured:
        with opentelemetry.current() as outer:
            stream = chain(failing(at=1)).stream("Hi", config())
            next(stream)
        with opentelemetry.current("another"), contextlib.suppress(ModelError):
            next(stream)
    assert trace_of_the_issue(captured) == (outer.trace_id, outer.span_id)


def test_an_incoming_trace_wins_for_issues_too() -> None:
    """Without tracing and without OTLPIntegration, an issue is in the trace that has come with the request."""
    with capture_spans(traces_sample_rate=None) as captured:
        incoming("transaction", INCOMING)
        with opentelemetry.current(), contextlib.suppress(ModelError):
            chain(failing()).invoke("Hi", config())
    assert trace_of_the_issue(captured)[0] == INCOMING


@pytest.mark.parametrize("rate", [1.0, None])
def test_a_failure_that_opentelemetry_records_too_is_one_issue(rate: float | None) -> None:
    """OTLPIntegration can report what ends a span of OpenTelemetry: then the handler does not report it, too."""
    options = opentelemetry.options(OTLP)
    options["integrations"][0].capture_exceptions = True
    with (
        capture_spans(**options, traces_sample_rate=rate) as captured,
        contextlib.suppress(ModelError),
        opentelemetry.current(),
    ):
        chain(failing()).invoke("Hi", config())
    (issue,) = captured.events
    assert issue["exception"]["values"][-1]["mechanism"]["type"] == "otlp"


# -- propagation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_requests_inside_a_run_carry_the_trace_on(shape: str, setup: str) -> None:
    """An HTTP request in a run has the trace and Sentry's http span; OpenTelemetry's own headers are its span's."""
    from opentelemetry import propagate

    inside: dict[str, str] = {}
    outside: dict[str, str] = {}

    def ask(question: str) -> str:
        service.get("ask")
        propagate.inject(inside)
        return question

    options = {**WIRE_SHAPES[shape], **opentelemetry.options(setup)}
    with world() as service, capture_spans(**options) as captured, opentelemetry.current() as outer:
        propagate.inject(outside)
        (RunnableLambda(ask) | fake_model()).invoke("Hi", config())
    request = captured.find(op="http.client")
    assert request.parent_id == roots(captured)[0].span_id
    assert service.tracing["ask"] == f"{outer.trace_id}-{request.span_id}-1"
    assert inside == outside
    assert outside or setup == OTLP  # before sentry-sdk 2.48 its propagator sends nothing on


# -- instrumenter="otel" ----------------------------------------------------------------------------------------


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "sentry_langchain_stream"]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", [shape for shape in WIRE_SHAPES if shape != "stream"])
async def test_with_another_instrumenter_one_line_says_that_there_are_no_spans(
    shape: str, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of ours can be sent then. Runs work, their issues are linked to OpenTelemetry's span."""
    caplog.set_level(logging.WARNING)
    with capture_spans(**WIRE_SHAPES[shape], instrumenter="otel") as captured, opentelemetry.current() as outer:
        await way.run(chain(), "Hi", config())
        with contextlib.suppress(ModelError):
            await way.run(chain(failing()), "Hi", config())
    assert captured.spans == []
    assert trace_of_the_issue(captured) == (outer.trace_id, outer.span_id)
    (line,) = lines(caplog)
    assert "instrumenter='otel'" in line
    assert "OTLPIntegration" in line


def test_streamed_spans_are_sent_with_any_instrumenter(caplog: pytest.LogCaptureFixture) -> None:
    """The SDK asks for the instrumenter where it makes transactions only."""
    with capture_spans(**WIRE_SHAPES["stream"], instrumenter="otel") as captured, opentelemetry.current() as outer:
        chain().invoke("Hi", config())
    assert_below(captured, outer)
    assert lines(caplog) == []
