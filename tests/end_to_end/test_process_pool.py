"""The handler in other processes: pickled to a worker that was spawned, and nothing lost when it exits."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import pytest
import sentry_sdk

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.inside import around
from tests.kit.processes import received, send_to
from tests.kit.wire import WIRE_SHAPES, fake_model

Trace = dict[str, str]


def start(file: Path, shape: str) -> None:
    """Set up Sentry in a worker."""
    import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`

    send_to(file, shape)


def work(handler: SentryStreamHandler, trace: Trace, shape: str, dies: bool) -> str:
    """A task: continues the trace, answers, and flushes before its worker may end."""
    try:
        if shape == "stream":
            sentry_sdk.traces.continue_trace(trace)
            with sentry_sdk.traces.start_span(name="work"):
                return fake_model().invoke("Hi", {"callbacks": [handler]}).text
        with sentry_sdk.start_transaction(sentry_sdk.continue_trace(trace, op="task", name="work")):
            return fake_model().invoke("Hi", {"callbacks": [handler]}).text
    finally:
        sentry_sdk.flush()
        if dies:
            os._exit(1)


@pytest.mark.parametrize("shape", ["stream"])
def test_a_pickled_handler_works_in_a_spawned_process(shape: str, tmp_path: Path) -> None:
    """The runs of a worker join the trace of the caller, also that of a worker that dies after its task."""
    handler = SentryStreamHandler("pool")
    with ProcessPoolExecutor(1, get_context("spawn"), start, (tmp_path / "sent", shape)) as pool:  # noqa: SIM117
        with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
            trace = {
                "sentry-trace": sentry_sdk.get_traceparent() or "",
                "baggage": sentry_sdk.get_baggage() or "",
            }
            assert pool.submit(work, handler, trace, shape, False).result() == "one two three"
            with pytest.raises(BrokenProcessPool):
                pool.submit(work, handler, trace, shape, True).result()
    caller = captured.find(name="application")
    there = received(tmp_path / "sent")
    calls, tasks = there.find_all(op="gen_ai.chat"), there.find_all(name="work")
    assert len(calls) == 2
    assert {each.trace_id for each in calls} == {caller.trace_id}
    assert {each.parent_id for each in tasks} == {caller.span_id}
    assert {each.attributes["gen_ai.pipeline.name"] for each in calls} == {"pool"}
