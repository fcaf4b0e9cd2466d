"""Sentry's profilers start and stop with a root run as with a root span of the application's own."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.profiler import continuous_profiler, transaction_profiler

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, active_span

CONTINUOUS: dict[str, Any] = {"profile_session_sample_rate": 1.0, "profile_lifecycle": "trace"}
NAME = "sentry.profiler.ThreadContinuousScheduler"
pytestmark = pytest.mark.filterwarnings("ignore:Transaction-based profiling:DeprecationWarning")

TRANSACTIONS = [shape for shape in WIRE_SHAPES if shape != "stream"]


@pytest.fixture(autouse=True)
def profilers() -> Iterator[None]:
    """The SDK has one profiler for the process: none is left for the next test.

    A profiler's thread asks for the frames of all threads. If garbage is collected meanwhile, Python 3.11 may wait for
    itself for ever (python/cpython#106883), as it would without us.
    """
    gc.disable()
    yield
    if (continuous := continuous_profiler._scheduler) is not None:
        continuous.teardown()  # ends its thread, which in trace mode `stop_profiler` does not
    continuous_profiler.teardown_continuous_profiler()
    transaction_profiler.teardown_profiler()
    gc.enable()


def payloads(captured: Captured, kind: str) -> list[Any]:
    """The payloads of all items of this type."""
    captured.client.flush()
    items = [item for raw in captured.envelopes for item in Envelope.deserialize(raw).items]
    return [json.loads(item.payload.get_bytes()) for item in items if item.type == kind]


def goes_on() -> bool:
    """Whether the continuous profiler goes on, once it has had the time to stop."""
    found = [thread for thread in threading.enumerate() if thread.name == NAME]
    for thread in found:
        thread.join(2.0)
    return any(thread.is_alive() for thread in found)


def profiler_id(captured: Captured) -> Any:
    """What the root span says of its profile."""
    (root,) = [span for span in captured.spans if span.is_root]
    if root.shape == "transaction":
        ((_, event),) = [(kind, payload) for kind, payload in captured.items if kind == "transaction"]
        return event["contexts"]["profile"]["profiler_id"]
    return root.attributes["sentry.profiler_id"]


async def of_ours(way: Way, model: Any, shape: str) -> None:
    await way.run(model, "Hi", {"callbacks": [SentryStreamHandler()]})


async def without_handler(way: Way, model: Any, shape: str) -> None:
    with active_span(shape):
        await way.run(model, "Hi", {})


BOTH = pytest.mark.parametrize("run", [of_ours, without_handler])


@BOTH
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", WAYS[::3], ids=str)
async def test_the_continuous_profiler_runs_with_the_root(way: Way, shape: str, run: Any) -> None:
    """It runs while the root run does, its chunk has the id that the root tells, and it stops after the run."""
    seen = []

    def before(_: int) -> None:
        seen.append(continuous_profiler.get_profiler_id())

    with capture_spans(**WIRE_SHAPES[shape], **CONTINUOUS) as captured:
        await run(way, ScriptedModel(before=before), shape)
        assert not goes_on()
    assert None not in seen
    assert {chunk["profiler_id"] for chunk in payloads(captured, "profile_chunk")} == {profiler_id(captured)}


@pytest.mark.parametrize("ending", ["failed", "left", "late", "not sampled"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_no_ending_leaves_the_profiler_running(shape: str, ending: str) -> None:
    """It stops after a run that fails, is left, outlives its request's transaction, or is not sampled."""

    def fail(number: int) -> None:
        if ending == "failed" and number:
            raise ValueError

    sampled = 0.0 if ending == "not sampled" else 1.0
    with capture_spans(**WIRE_SHAPES[shape], **CONTINUOUS, traces_sample_rate=sampled):
        stream = ScriptedModel(before=fail).astream("Hi", config={"callbacks": [SentryStreamHandler()]})
        if ending == "late":
            with active_span(shape):
                await anext(stream)
        if ending == "left":
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]
        else:
            with suppress(ValueError):
                async for _ in stream:
                    pass
        assert not goes_on()


@BOTH
@pytest.mark.parametrize("shape", TRANSACTIONS)
@pytest.mark.parametrize("way", WAYS[::3], ids=str)
async def test_a_root_run_has_a_transactions_profile(way: Way, shape: str, run: Any) -> None:
    """With `profiles_sample_rate` the transaction of a root run brings a profile of the thread that it ran in."""

    def before(_: int) -> None:
        sampler: Callable[[], Any] = transaction_profiler._scheduler.sampler  # type: ignore[union-attr]
        for _ in range(3):
            sampler()

    with capture_spans(**WIRE_SHAPES[shape], profiles_sample_rate=1.0) as captured:
        await run(way, ScriptedModel(before=before), shape)
    (profile,) = payloads(captured, "profile")
    (root,) = [span for span in captured.spans if span.is_root]
    (of,) = profile["transactions"]
    assert of["trace_id"] == root.trace_id
    assert of["active_thread_id"] == str(threading.get_ident())
    assert len(profile["profile"]["samples"]) > 1


@pytest.mark.parametrize("shape", TRANSACTIONS)
def test_a_late_span_keeps_the_sample_rate(shape: str) -> None:
    """What is sent late belongs to a trace that was sampled at a rate, and Sentry is told that rate."""
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.5) as captured:
        sent: list[Any] = []
        while not sent:  # every other is sampled
            stream = ScriptedModel().stream("Hi", config={"callbacks": [SentryStreamHandler()]})
            with active_span(shape):
                next(stream)
                sampled = sentry_sdk.get_current_span().sampled  # type: ignore[union-attr]
            for _ in stream:
                pass
            sent = [sampled] if sampled else []
        captured.client.flush()
        rates = [Envelope.deserialize(raw).headers["trace"]["sample_rate"] for raw in captured.envelopes]
    assert set(rates) == {"0.5"}
    assert len(rates) == 2
