"""The handler in tasks and actors of Ray: pickled, in the trace of the caller, and nothing lost when a worker ends.

Played where Ray is installed: `nox --session ray`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

pytest.importorskip("ray")
import ray
from sentry_sdk.integrations.ray import RayIntegration

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit import HANG, REPOSITORY
from tests.kit.processes import received
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, active_span, fake_model

Trace = dict[str, str]


class Held(Transport):
    """A transport that sends nothing before it is flushed, as one with a slow network. The file is what was sent."""

    held: tuple[Envelope, ...] = ()

    def capture_envelope(self, envelope: Envelope) -> None:
        self.held += (envelope,)

    def flush(self, timeout: float, callback: Any = None) -> None:
        held, self.held = self.held, ()
        with Path(os.environ["SENT"]).open("ab", buffering=0) as file:
            for envelope in held:
                file.write(base64.b64encode(envelope.serialize()) + b"\n")


def start() -> None:
    """Set up Sentry in a worker."""
    options: Any = {**WIRE_SHAPES[os.environ["SHAPE"]], "transport": Held, "integrations": [RayIntegration()]}
    sentry_sdk.init(dsn="http://captured@127.0.0.1:9/1", traces_sample_rate=1.0, **options)


@pytest.fixture(scope="module", params=BOTH_MODELS)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Ray on this machine, whose workers have this wire shape, and the file to which they send."""
    file = tmp_path_factory.mktemp("ray") / "sent"
    environment = {"SENT": str(file), "SHAPE": request.param, "PYTHONPATH": str(REPOSITORY)}
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=80 * 1024**2,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": start, "env_vars": environment},
    )
    yield request.param, file
    ray.shutdown()


def ask(handler: SentryStreamHandler) -> str:
    """What tasks and actors do."""
    return fake_model().invoke("Hi", {"callbacks": [handler]}).text


@contextmanager
def continued(trace: Trace, flushes: bool = True) -> Iterator[None]:
    """A call of an actor, as the recipe has it."""
    shape = os.environ["SHAPE"]
    with sentry_sdk.isolation_scope():
        try:
            if shape == "stream":
                sentry_sdk.traces.continue_trace(trace)
                with sentry_sdk.traces.start_span(name="answer"):
                    yield
            else:
                with sentry_sdk.start_transaction(sentry_sdk.continue_trace(trace, op="task", name="answer")):
                    yield
        finally:
            if flushes:
                sentry_sdk.flush()


class Assistant:
    """An actor with a handler."""

    def __init__(self, handler: SentryStreamHandler) -> None:
        self.handler = handler

    def answer(self, trace: Trace, flushes: bool = True) -> str:
        with continued(trace, flushes):
            return ask(self.handler)

    def leave(self, trace: Trace) -> None:
        with continued(trace, flushes=False):
            ask(self.handler)
        ray.actor.exit_actor()


class Side:
    """An actor whose calls run side by side."""

    def __init__(self, handler: SentryStreamHandler) -> None:
        self.handler = handler
        self.both = asyncio.Barrier(2) if hasattr(asyncio, "Barrier") else None

    async def answer(self, trace: Trace) -> str:
        with continued(trace):
            if self.both is not None:
                await self.both.wait()
            return (await fake_model().ainvoke("Hi", {"callbacks": [self.handler]})).text


def headers() -> Trace:
    """What a caller passes along."""
    return {"sentry-trace": sentry_sdk.get_traceparent() or "", "baggage": sentry_sdk.get_baggage() or ""}


def sent(file: Path, pipeline: str, number: int = 1) -> tuple[list[CapturedSpan], list[CapturedSpan]]:
    """The model spans of a pipeline that workers have sent, and their parents, once there are so many."""
    until = time.monotonic() + HANG
    while True:
        spans = received(file).spans
        calls = [
            each for each in spans if each.op == "gen_ai.chat" and each.attributes["gen_ai.pipeline.name"] == pipeline
        ]
        if len(calls) >= number or time.monotonic() > until:
            assert len(calls) == number
            return calls, [next(above for above in spans if above.span_id == each.parent_id) for each in calls]
        time.sleep(0.1)


def test_a_task_is_in_the_trace_of_its_caller(cluster: tuple[str, Path]) -> None:
    """With Sentry's RayIntegration; what is left is sent when the worker exits after its last call."""
    shape, file = cluster
    pipeline = str(uuid4())
    with (
        capture_spans(**WIRE_SHAPES[shape], integrations=[RayIntegration()]) as captured,
        active_span(shape, "application"),
    ):
        task = ray.remote(max_calls=1)(ask)
        assert ray.get(task.remote(SentryStreamHandler(pipeline))) == "one two three"
    (call,), (work,) = sent(file, pipeline)
    submitted = captured.find(op="queue.submit.ray")
    assert work.op == "queue.task.ray"
    assert work.parent_id == submitted.span_id
    assert call.trace_id == work.trace_id == submitted.trace_id == captured.find(name="application").trace_id


@pytest.mark.parametrize("end", ["kill", "out of scope", "exit"])
def test_an_actor_is_in_the_trace_of_its_caller(cluster: tuple[str, Path], end: str) -> None:
    """The recipe loses nothing even if the actor is killed; without its flush, Ray's other ends send what is left."""
    shape, file = cluster
    pipeline = str(uuid4())
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
        actor = ray.remote(Assistant).remote(SentryStreamHandler(pipeline))
        if end == "exit":
            with pytest.raises(ray.exceptions.RayActorError):
                ray.get(actor.leave.remote(headers()))
        else:
            assert ray.get(actor.answer.remote(headers(), flushes=end == "kill")) == "one two three"
        if end == "kill":
            ray.kill(actor)
        del actor
    (call,), (work,) = sent(file, pipeline)
    application = captured.find(name="application")
    assert (work.name, work.parent_id) == ("answer", application.span_id)
    assert call.trace_id == work.trace_id == application.trace_id


def test_calls_of_an_actor_side_by_side(cluster: tuple[str, Path]) -> None:
    """Calls of an async actor that run at the same time are each in the trace of their caller."""
    shape, file = cluster
    pipeline = str(uuid4())
    traces, answers = [], []
    actor = ray.remote(Side).remote(SentryStreamHandler(pipeline))
    for _ in range(2):
        with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
            answers.append(actor.answer.remote(headers()))
        traces.append(captured.find(name="application"))
    assert ray.get(answers) == ["one two three"] * 2
    ray.kill(actor)
    calls, works = sent(file, pipeline, 2)
    assert sorted((each.trace_id, each.parent_id) for each in works) == sorted(
        (each.trace_id, each.span_id) for each in traces
    )
    assert sorted(each.trace_id for each in calls) == sorted(each.trace_id for each in traces)
