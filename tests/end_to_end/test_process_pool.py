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
from sentry_langchain_stream._to_sentry import forks
from sentry_langchain_stream.testing import capture_spans
from tests.kit.fresh import Fresh
from tests.kit.processes import received, send_to
from tests.kit.wire import WIRE_SHAPES, active_span, fake_model

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
        with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
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


def answer(handler: SentryStreamHandler | None, is_late: bool) -> str:
    """A task without a transaction of its own, perhaps long after the fork."""
    if is_late:
        forks._LONGEST = -1.0
    try:
        return fake_model().invoke("Hi", {"callbacks": [handler or SentryStreamHandler("pool")]}).text
    finally:
        sentry_sdk.flush()


def fork_in_a_request(file: Path, shape: str, is_made_here: bool) -> None:
    """A process whose first request begins a pool of one worker, as a pool does with its first task."""
    send_to(file, shape)
    handler = SentryStreamHandler("pool") if is_made_here else None
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        for is_late in (False, False, True, True):
            with sentry_sdk.isolation_scope(), active_span(shape, "application"):
                assert pool.submit(answer, handler, is_late).result() == "one two three"
    sentry_sdk.flush()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("is_made_here", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_worker_that_is_forked_in_a_request_sends_its_runs(
    shape: str, is_made_here: bool, tmp_path: Path, fresh: Fresh
) -> None:
    """They are roots in the trace of the request at first, and later in traces of their own; none is lost."""
    done = fresh.run(f"""
        from pathlib import Path
        from tests.end_to_end.test_process_pool import fork_in_a_request
        fork_in_a_request(Path({str(tmp_path / "sent")!r}), {shape!r}, {is_made_here})
    """)
    assert done.returncode == 0, done.stderr
    sent = received(tmp_path / "sent")
    calls = {span.span_id: span for span in sent.find_all(op="gen_ai.chat")}
    requests = {span.span_id: span for span in sent.find_all(name="application")}
    assert (len(calls), len(requests)) == (4, 4)
    tops = sent.find_all(name="pool") if shape != "stream" else [*calls.values()]
    (first,) = {top.parent_id for top in tops if top.parent_id in requests}
    joined = [top for top in tops if top.parent_id == first]
    assert [top.trace_id for top in joined] == [requests[str(first)].trace_id] * 2
    own = [span for span in sent.spans if span.parent_id is None and span.span_id not in requests]
    assert len({span.trace_id for span in own} - {span.trace_id for span in requests.values()}) == len(own) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_is_not_sent_does_not_grow(tmp_path: Path, fresh: Fresh) -> None:
    """The copy of a request's transaction that a forked worker has gets none of the worker's spans."""
    done = fresh.run(f"""
        import os, sentry_sdk
        from pathlib import Path
        from tests.end_to_end.test_process_pool import SentryStreamHandler, fake_model, send_to

        send_to(Path({str(tmp_path / "sent")!r}), "transaction")
        with sentry_sdk.start_transaction(name="application") as transaction:
            child = os.fork()
            if not child:
                for _ in range(5):
                    fake_model().invoke("Hi", {{"callbacks": [SentryStreamHandler()]}})
                print(len(transaction._span_recorder.spans), flush=True)
                os._exit(0)
            os.waitpid(child, 0)
    """)
    assert done.stdout == "0\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_no_transaction_of_the_parent_process_is_joined_by_spans(tmp_path: Path, fresh: Fresh) -> None:
    """A worker may leave the block in which it was forked, and be in another one of the parent process's."""
    done = fresh.run(f"""
        import os, sentry_sdk
        from pathlib import Path
        from tests.end_to_end.test_process_pool import SentryStreamHandler, fake_model, send_to

        send_to(Path({str(tmp_path / "sent")!r}), "transaction")
        with sentry_sdk.start_transaction(name="outer"):
            with sentry_sdk.start_transaction(name="inner"):
                child = os.fork()
            if not child:
                fake_model().invoke("Hi", {{"callbacks": [SentryStreamHandler("pool")]}})
                sentry_sdk.flush()
                os._exit(0)
            os.waitpid(child, 0)
        sentry_sdk.flush()
    """)
    assert done.returncode == 0, done.stderr
    sent = received(tmp_path / "sent")
    assert sent.find(name="pool").parent_id == sent.find(name="outer").span_id


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("started", ["datetime.now()", "datetime.now(timezone.utc) - timedelta(hours=1)", "begun"])
def test_a_job_that_is_said_to_have_started_earlier_has_its_spans(started: str, tmp_path: Path, fresh: Fresh) -> None:
    """A forked worker's transaction is its own, though it has the time at which its job was enqueued."""
    done = fresh.run(f"""
        import os, time, sentry_sdk
        from datetime import datetime, timedelta, timezone
        from pathlib import Path
        from tests.end_to_end.test_process_pool import SentryStreamHandler, fake_model, send_to

        send_to(Path({str(tmp_path / "sent")!r}), "transaction")
        begun = time.time()
        child = os.fork()
        if not child:
            with sentry_sdk.start_transaction(name="job", start_timestamp={started}):
                fake_model().invoke("Hi", {{"callbacks": [SentryStreamHandler("pool")]}})
            sentry_sdk.flush()
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert done.returncode == 0, done.stderr
    sent = received(tmp_path / "sent")
    assert sent.find(op="gen_ai.chat").parent_id == sent.find(name="job").span_id
