"""One trace across processes: a second service that a tool calls, and a background worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import celery.exceptions  # type: ignore[import-untyped, unused-ignore]
import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit import HANG, REPOSITORY
from tests.kit.apps import celery_worker
from tests.kit.inside import Calling, around, parent_of
from tests.kit.processes import received
from tests.kit.wire import BOTH_MODELS, DEFAULT_SHAPE, WAYS, WIRE_SHAPES


@contextmanager
def service(shape: str, path: Path) -> Iterator[str]:
    """A second service, in a process of its own; when the block is left, it has sent what it had."""
    command = [sys.executable, "-m", "tests.kit.processes", shape, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
            process.stdin.close()
            process.wait(HANG)
        finally:
            process.kill()


def asking(url: str) -> StructuredTool:
    """A tool that asks the second service."""

    def ask() -> str:
        """Ask."""
        with httpx.Client() as client:
            return client.get(f"{url}/answer", params={"question": "Why?"}).raise_for_status().text

    async def aask() -> str:
        """Ask."""
        async with httpx.AsyncClient() as client:
            return (await client.get(f"{url}/answer", params={"question": "Why?"})).raise_for_status().text

    return StructuredTool.from_function(ask, coroutine=aask, name="ask")


APPLICATIONS: dict[str, Any] = {
    "agent": (
        lambda url: create_agent(Calling(calls=("ask",)), [asking(url)], name="scout"),
        {"messages": [("user", "Hi")]},
    ),
    "chain": (lambda url: RunnableLambda(lambda given: {}) | asking(url), "Hi"),
}


def chain_of(spans: list[CapturedSpan], span: CapturedSpan) -> list[str]:
    """The ops of the spans above a span, the nearest first, across processes."""
    by_id = {each.span_id: each for each in spans}
    found: list[str] = []
    above = by_id.get(span.parent_id or "")
    while above is not None:
        found.append(above.op)
        above = by_id.get(above.parent_id or "")
    return found


async def test_a_service_that_a_tool_calls_continues_the_trace(tmp_path: Path) -> None:
    """Its request hangs below the HTTP request in the tool's span, and its chain below that: one trace."""
    handler: Any = SentryStreamHandler()
    calls: list[Captured] = []
    with service(DEFAULT_SHAPE, tmp_path / "sent") as url:
        for here, (make, question), way in product(WIRE_SHAPES, APPLICATIONS.values(), WAYS[1:3]):
            with capture_spans(**WIRE_SHAPES[here]) as captured, around(here, True):
                await way.run(make(url), question, {"callbacks": [handler]})
            calls.append(captured)
    there = received(tmp_path / "sent")
    requests = there.find_all(op="http.server")
    assert len(requests) == len(calls) == 4 * len(WIRE_SHAPES)
    for captured in calls:
        tool, request = captured.find(op="gen_ai.execute_tool"), captured.find(op="http.client")
        assert parent_of(captured, request) == tool
        (served,) = [span for span in requests if span.parent_id == request.span_id]
        model = next(span for span in there.find_all(op="gen_ai.chat") if span.trace_id == tool.trace_id)
        assert {span.trace_id for span in captured.spans} == {model.trace_id} == {served.trace_id}
        # Older SDKs make a span of each middleware.
        above = [op for op in chain_of([*captured.spans, *there.spans], model) if op != "middleware.starlette"]
        assert above[:4] == ["function", "http.server", "http.client", "gen_ai.execute_tool"]
        assert model.attributes["gen_ai.pipeline.name"] == "service"


Answer = Callable[[Any], Any]


@contextmanager
def worker(shape: str, folder: Path) -> Iterator[Answer]:
    """A real worker; when the block is left, it has sent what it had. Yields what waits for its answer.

    Tasks are enqueued before: kombu's queue of files may take a file that another process is still writing.
    """
    app = ["-A", "tests.kit.apps.celery_worker"]
    command = [sys.executable, "-m", "celery", *app, "worker", "-P", "solo", "-l", "ERROR"]
    environment = {**os.environ, celery_worker.FOLDER: str(folder), celery_worker.SHAPE: shape}
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]

    def answer(result: Any) -> Any:
        while True:
            with suppress(celery.exceptions.TimeoutError):
                return result.get(timeout=5, interval=0.05)
            # Nobody else answers.
            assert process.poll() is None, complaints.read_text()

    complaints = folder / "complaints"
    with (
        complaints.open("w") as written,
        subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=written, stderr=written) as process,
    ):
        try:
            yield answer
            process.send_signal(signal.SIGTERM)
            process.wait(HANG)
        finally:
            process.kill()


def test_a_background_task_continues_the_trace(tmp_path: Path) -> None:
    """A task that was enqueued in a request: its transaction is of the same trace, and its chain hangs below it."""
    app = celery_worker.connect(tmp_path)
    enqueue = app.tasks["answer"]
    calls: list[Captured] = []
    results = []
    for here in WIRE_SHAPES:
        with capture_spans(**WIRE_SHAPES[here]) as captured, around(here, True):
            results.append(enqueue.delay("Hi"))
        calls.append(captured)
    with worker(BOTH_MODELS[-1], tmp_path) as answer:
        assert [answer(result) for result in results] == ["one two"] * len(WIRE_SHAPES)
    there = received(tmp_path / celery_worker.SENT)
    for captured in calls:
        spans = [span for span in there.spans if span.trace_id == captured.find(name="application").trace_id]
        (model,) = [span for span in spans if span.op == "gen_ai.chat"]
        above = [op for op in chain_of([*captured.spans, *spans], model) if op != "queue.process"]
        assert above[:3] == ["function", "queue.task.celery", "queue.submit.celery"]
        assert above[-1] == captured.find(name="application").op
        assert model.attributes["gen_ai.pipeline.name"] == "worker"


def test_a_failed_task_is_celerys_issue(tmp_path: Path) -> None:
    """In a real worker the last attempt is one event, Celery's, linked to its model call, with the task's frame."""
    app = celery_worker.connect(tmp_path)
    result = app.tasks["fail"].delay("Hi")
    with worker(BOTH_MODELS[0], tmp_path) as answer, pytest.raises(ConnectionError):
        answer(result)
    there = received(tmp_path / celery_worker.SENT)
    (event,) = there.events
    value = event["exception"]["values"][-1]
    assert value["mechanism"] == {"type": "celery", "handled": False}
    assert [frame["function"] for frame in value["stacktrace"]["frames"] if frame.get("in_app")] == [
        "fail",
        "_generate",
        "refuse",
    ]
    attempts = there.find_all(op="gen_ai.chat")
    assert len(attempts) == 2
    assert event["contexts"]["trace"]["span_id"] == attempts[-1].span_id


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_tool_may_enqueue_a_task(shape: str, tmp_path: Path) -> None:
    """What a tool hands to a queue hangs below the tool."""
    app = celery_worker.connect(tmp_path)

    def hand_over() -> str:
        """Hand over."""
        app.tasks["answer"].delay("Hi")
        return "done"

    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        StructuredTool.from_function(hand_over).invoke({}, {"callbacks": [SentryStreamHandler()]})
    submitted = captured.find_all(op="queue.submit.celery")
    assert parent_of(captured, submitted[0]) == captured.find(op="gen_ai.execute_tool")
