"""A span that outlives what it hangs below reaches Sentry all the same, in the same trace, with the right parent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._vocabulary.keys import Dialect
from sentry_langchain_stream.testing import capture_spans
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import SLACK, WIRE_SHAPES, ScriptedModel, active_span, fake_model

STREAMED = [subject for subject in SUBJECTS if subject.streams]


@pytest.mark.parametrize("dialect", ["gen_ai", "ai"])
@pytest.mark.parametrize("subject", STREAMED, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_stream_that_outlives_its_request_is_not_lost(shape: str, subject: Subject, dialect: Dialect) -> None:
    """A stream that is read on after the request's transaction was sent arrives whole, where it belongs."""
    handler = SentryStreamHandler(dialect=dialect)
    app = subject.make(ScriptedModel(usage={"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with active_span(shape) as request:
            stream = app.astream(subject.question, config={"callbacks": [handler]})
            await anext(stream)
        async for _ in stream:
            pass
    ours = [span for span in captured.spans if span.origin == "auto.ai.langchain_stream"]
    models = [span for span in ours if "gen_ai.request.model" in span.attributes or span.op.startswith("gen_ai.")]
    assert len(models) == subject.calls
    above = {span.span_id: span for span in ours}
    (sent,) = [span for span in captured.spans if span.span_id == request]
    for span in ours:
        assert span.trace_id == sent.trace_id
        assert span.parent_id == request or span.parent_id in above
        assert span.attributes["langchain_stream.outcome"] == "completed"
        assert sent.start <= span.start + SLACK
        assert span.start - SLACK < sent.end <= span.end + SLACK
    assert [span.attributes["ai.total_tokens"] for span in models] == [12] * subject.calls
    assert len({span.span_id for span in ours}) == len(ours)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_break_in_a_request_loses_no_span(shape: str) -> None:
    """LangChain hears of a `break` on later loop turns, after the request ended; the span arrives with what it had."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with active_span(shape) as request:
            async for _ in ScriptedModel().astream("Hi", config={"callbacks": [handler]}):
                break
        while handler.live_runs:
            await asyncio.sleep(0)
    span = captured.find(op="gen_ai.chat")
    assert span.parent_id == request
    assert (span.attributes["langchain_stream.outcome"], span.attributes["langchain_stream.chunks"]) == ("abandoned", 1)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_stream_that_is_left_after_its_request_is_cancelled(shape: str) -> None:
    """A late span is a transaction, which has a status for that. Only a span that is sent apart has none."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with active_span(shape):
            stream: Any = ScriptedModel().astream("Hi", config={"callbacks": [SentryStreamHandler()]})
            await anext(stream)
        await stream.aclose()
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["langchain_stream.outcome"] == "abandoned"
    assert span.status == ("cancelled" if span.shape == "transaction" else "ok")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_stream_that_fails_after_its_request_is_marked_so(shape: str) -> None:
    """The span has the status of a failure, and its envelope the sampling facts of the request that was sent."""
    resume = asyncio.Event()

    async def refuse() -> None:
        await resume.wait()
        raise ConnectionError

    model = ScriptedModel(before=lambda number: refuse() if number == 1 else None)
    with capture_spans(**WIRE_SHAPES[shape], release="shop@1.2") as captured:
        with active_span(shape, "handle"):
            stream = model.astream("Hi", config={"callbacks": [SentryStreamHandler(capture_errors=False)]})
            await anext(stream)
        resume.set()
        with pytest.raises(ConnectionError):
            await anext(stream)
    span = captured.find(op="gen_ai.chat")
    assert span.status in ("error", "internal_error")
    assert (span.status == "internal_error") is (span.shape == "transaction")
    assert span.attributes["langchain_stream.outcome"] == "failed"
    if shape == "stream":  # what a batch of spans says of the sampling is the SDK's affair
        return
    facts = {tuple(sorted(Envelope.deserialize(each).headers["trace"].items())) for each in captured.envelopes}
    (same,) = facts
    assert {"release": "shop@1.2", "transaction": "handle", "sampled": "true"}.items() <= dict(same).items()


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_background_task_that_starts_after_its_request_stays_in_its_trace(shape: str, sampled: bool) -> None:
    """A call made by a task with a scope of its own, after the request, hangs below the request's span, if sampled."""
    handler = SentryStreamHandler()
    sent = asyncio.Event()

    async def background() -> None:
        with sentry_sdk.isolation_scope():
            await sent.wait()
            await fake_model().ainvoke("Hi", config={"callbacks": [handler]})

    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=1.0 if sampled else 0.0) as captured:
        with active_span(shape) as request:
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
        sent.set()
        await task
    if not sampled:
        assert captured.spans == []
        return
    (above,) = [span for span in captured.spans if span.span_id == request]
    ours = [span for span in captured.spans if span.origin == "auto.ai.langchain_stream"]
    assert {span.trace_id for span in ours} == {above.trace_id}
    assert ours[0].parent_id == request
    assert captured.find(op="gen_ai.chat").parent_id in (request, ours[0].span_id)


@pytest.mark.parametrize("shape", ["transaction", "transaction and spans"])
async def test_a_late_span_of_an_unsampled_request_is_not_sent(shape: str) -> None:
    """What hung below a request that is not sampled does not come to light by being late."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.0) as captured:
        with active_span(shape):
            stream = ScriptedModel().astream("Hi", config=config)
            await anext(stream)
        async for _ in stream:
            pass
    assert captured.spans == []


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_next_root_has_no_stale_parent(shape: str) -> None:
    """After a run that was left early, the next root span of the process has no parent."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        async for _ in ScriptedModel().astream("Hi", config={"callbacks": [handler]}):
            break
        with active_span(shape, "next") as following:
            pass
        while handler.live_runs:
            await asyncio.sleep(0)
        assert sentry_sdk.get_current_span() is None
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "abandoned"
    (span,) = [span for span in captured.spans if span.span_id == following]
    assert span.parent_id is None
