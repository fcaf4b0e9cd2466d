"""With nobody to tell, the handler does nothing: no client, tracing off, or a trace that is not sampled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sentry_sdk

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, Way, active_span, current_span_id, fake_model


@contextmanager
def no_client() -> Iterator[None]:
    """A process in which `sentry_sdk.init` was never called."""
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    everywhere.set_client(None)
    try:
        yield
    finally:
        everywhere.set_client(before)


async def outputs(way: Way, callbacks: list[Any]) -> list[Any]:
    """What the user's own code gets from the model."""
    model = fake_model("one two three")
    if way.name == "astream":
        return [chunk.content async for chunk in model.astream("Hi", config={"callbacks": callbacks})]
    if way.name == "stream":
        return [chunk.content for chunk in model.stream("Hi", config={"callbacks": callbacks})]
    if way.name == "ainvoke":
        return [(await model.ainvoke("Hi", config={"callbacks": callbacks})).content]
    return [model.invoke("Hi", config={"callbacks": callbacks}).content]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_without_a_client_nothing_is_kept_and_the_stream_is_untouched(way: Way) -> None:
    """No client: the same chunks as without a handler, and not one run is followed."""
    handler = SentryStreamHandler()
    with no_client():
        seen: list[int] = []
        expected = await outputs(way, [])
        model = fake_model("one two three")
        async for _ in model.astream("Hi", config={"callbacks": [handler]}):
            seen.append(handler.live_runs)
        assert await outputs(way, [handler]) == expected
    assert set(seen) == {0}


OFF: dict[str, dict[str, Any]] = {
    "tracing off": {"traces_sample_rate": None},
    "unsampled": {"traces_sample_rate": 0.0},
    "unsampled by a sampler": {"traces_sampler": lambda context: 0.0},
}


@pytest.mark.parametrize("off", OFF)
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_when_nothing_is_traced_nothing_is_sent_or_kept(shape: str, way: Way, off: str) -> None:
    """Tracing off or unsampled: the same chunks, no envelope with a span, no run left, nothing made current."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], **OFF[off]) as captured:
        expected = await outputs(way, [])
        before = current_span_id()
        assert await outputs(way, [handler]) == expected
        assert current_span_id() == before
    assert [span for span in captured.spans if span.origin != "auto.ai.langchain"] == []
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_below_an_unsampled_request_nothing_is_sent(shape: str, way: Way) -> None:
    """A request that is not sampled has no model span either, and stays the current span."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.0) as captured:
        with active_span(shape):
            before = current_span_id()
            await outputs(way, [handler])
            assert current_span_id() == before
        assert current_span_id() is None
    assert captured.spans == []
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_unsampled_root_is_counted_by_the_sdk(shape: str) -> None:
    """The SDK's client reports know of the root that was not sampled, so Sentry's statistics stay right."""
    lost: list[tuple[str, str | None]] = []
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.0) as captured:
        captured.client.transport.record_lost_event = lambda reason, data_category=None, **_: lost.append(
            (reason, data_category)
        )
        fake_model().invoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert ("sample_rate", "span") in lost


def test_tracing_may_be_switched_on_while_the_process_runs() -> None:
    """What the options of a client say as a run starts is what counts, also for a handler that has met the client."""
    handler = SentryStreamHandler()
    with capture_spans(traces_sample_rate=None) as captured:
        for rate in (None, 1.0, None):
            sentry_sdk.get_client().options["traces_sample_rate"] = rate
            fake_model("one").invoke("Hi", config={"callbacks": [handler]})
    assert len(captured.find_all(op="gen_ai.chat")) == 1


def test_captured_spans_of_two_captures_do_not_mix() -> None:
    """A capture holds what was sent while it was open, and the client before it is the client after it."""
    before = sentry_sdk.get_global_scope().client
    captures: list[Captured] = []
    for name in ("first", "second"):
        with capture_spans() as captured:
            fake_model().invoke("Hi", config={"callbacks": [SentryStreamHandler(pipeline_name=name)]})
        captures.append(captured)
    assert [captured.find(op="function").name for captured in captures] == ["first", "second"]
    assert captures[0].spans[0].trace_id != captures[1].spans[0].trace_id
    assert sentry_sdk.get_global_scope().client is before
