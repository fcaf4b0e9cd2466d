"""One handler for a whole application at once: requests, threads, event loops in threads, and forked workers."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import FastAPI
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit import HANG
from tests.kit.async_context import needs_async_context
from tests.kit.fresh import Fresh
from tests.kit.helpers import Clock, handler_on
from tests.kit.processes import received, send_to
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel, active_span, child_span, content_allowed

SPANS_OF_A_RUN = 6
"""The pipeline, a model, a tool with a model in it, and the user's spans in a step and in the tool."""


@cache
def application(shape: str, name: str) -> Runnable[Any, Any]:
    """A chain that does some of everything; the spans of one run of it have its name.

    Make it before there are threads: LangChain silences warnings as it makes a tool, which is not safe for threads.
    """

    def step(given: Any) -> Any:
        with child_span(shape, f"step of {name}"):
            return {"given": str(given)}

    def look(given: str) -> str:
        """Look."""
        with child_span(shape, f"look of {name}"):
            return str(ScriptedModel(model_name=f"inner of {name}").invoke(given).content)

    async def alook(given: str) -> str:
        """Look."""
        with child_span(shape, f"look of {name}"):
            return str((await ScriptedModel(model_name=f"inner of {name}").ainvoke(given)).content)

    tool = StructuredTool.from_function(look, coroutine=alook, name=f"tool of {name}")
    asked = RunnableLambda(str) | ScriptedModel(model_name=f"outer of {name}")
    return RunnableLambda(step) | RunnableParallel(found=tool, asked=asked)


def call(handler: Any, shape: str, name: str, how: str) -> None:
    """Run it, inside a span of the application's own that has its name."""
    config: Any = {"callbacks": [handler], "run_name": f"pipeline of {name}"}
    with active_span(shape, name):
        if how == "stream":
            for _ in application(shape, name).stream("Hi", config):
                pass
        else:
            application(shape, name).invoke("Hi", config)


async def acall(handler: Any, shape: str, name: str, how: str) -> None:
    """Run it, inside a span of the application's own that has its name."""
    config: Any = {"callbacks": [handler], "run_name": f"pipeline of {name}"}
    with active_span(shape, name):
        if how == "stream":
            async for _ in application(shape, name).astream("Hi", config):
                await asyncio.sleep(0)
        else:
            await application(shape, name).ainvoke("Hi", config)


HOWS = ("stream", "invoke")


def assert_own_trees(captured: Captured, names: list[str]) -> None:
    """Each run has its whole tree, and nothing of another's."""
    spans = captured.spans
    by_id = {span.span_id: span for span in spans}
    assert len(by_id) == len(spans)

    def above(span: CapturedSpan) -> str | None:
        parent = by_id.get(span.parent_id or "")
        return parent.name if parent is not None else None

    found = {(span.name, above(span)) for span in spans if span.name.partition(" of ")[2] in names}
    expected = set()
    for name in names:
        pipeline, tool = f"pipeline of {name}", f"execute_tool tool of {name}"
        expected |= {
            (pipeline, name),
            (f"step of {name}", pipeline),
            (tool, pipeline),
            (f"look of {name}", tool),
            (f"chat inner of {name}", tool),
            (f"chat outer of {name}", pipeline),
        }
    assert found == expected, sorted(found ^ expected, key=str)
    ours = [span for span in spans if span.name.partition(" of ")[2] in names]
    assert len(ours) == SPANS_OF_A_RUN * len(names)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
def test_threads_and_event_loops_at_once(shape: str) -> None:
    """Threads that call, and threads with a loop of their own that runs many tasks."""
    handler: Any = SentryStreamHandler()
    names = [f"{kind} {number} {how}" for kind in ("thread", "task") for number in range(6) for how in HOWS]
    start = threading.Barrier(6, timeout=HANG)
    for name in names:
        application(shape, name)

    def calls(worker: int) -> None:
        start.wait()
        for number in range(worker, 6, 3):
            for how in HOWS:
                call(handler, shape, f"thread {number} {how}", how)

    def loop(worker: int) -> None:
        async def tasks() -> None:
            names = [(f"task {number} {how}", how) for number in range(worker, 6, 3) for how in HOWS]
            await asyncio.gather(*(asyncio.create_task(one(name, how)) for name, how in names))

        async def one(name: str, how: str) -> None:
            with sentry_sdk.isolation_scope(), sentry_sdk.new_scope():  # as a web framework's integration does
                await acall(handler, shape, name, how)

        start.wait()
        asyncio.run(tasks())

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            with ThreadPoolExecutor(6) as threads:
                work = [threads.submit(each, worker) for worker in range(3) for each in (calls, loop)]
                for each in work:
                    each.result()
            assert_own_trees(captured, names)
    finally:
        sys.setswitchinterval(before)
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_many_requests_at_once(shape: str) -> None:
    """Sync and async routes of one application that are all served at the same time."""
    handler: Any = SentryStreamHandler()
    names = [f"{kind} {number} {how}" for kind in ("sync", "async") for number in range(10) for how in HOWS]
    for name in names:
        application(shape, name)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        app = FastAPI()

        @app.get("/sync/{name}/{how}")
        def sync_route(name: str, how: str) -> None:
            with child_span(shape, name):
                config: Any = {"callbacks": [handler], "run_name": f"pipeline of {name}"}
                list(application(shape, name).stream("Hi", config) if how == "stream" else ())
                if how == "invoke":
                    application(shape, name).invoke("Hi", config)

        @app.get("/async/{name}/{how}")
        async def async_route(name: str, how: str) -> None:
            with child_span(shape, name):
                config: Any = {"callbacks": [handler], "run_name": f"pipeline of {name}"}
                if how == "stream":
                    async for _ in application(shape, name).astream("Hi", config):
                        await asyncio.sleep(0)
                else:
                    await application(shape, name).ainvoke("Hi", config)

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
            paths = [f"/{name.split()[0]}/{name}/{name.split()[-1]}" for name in names]
            answers = await asyncio.gather(*(client.get(path) for path in paths))
    assert {answer.status_code for answer in answers} == {200}
    assert_own_trees(captured, names)
    assert handler.live_runs == 0


def test_a_run_that_is_just_starting_is_not_idle() -> None:
    """Whoever looks for idle runs while another starts leaves it alone. It shows in threads; here `redact` looks."""

    def redact(text: str) -> str:
        if text == "mine":
            ScriptedModel().invoke("Hi", {"callbacks": [handler]})
        return text

    handler: Any = handler_on(Clock(10_000.0), redact=redact)
    with capture_spans(**content_allowed(True)) as captured:
        RunnableLambda(str).invoke("Hi", {"callbacks": [handler], "run_name": "pipeline", "tags": ["mine"]})
    assert captured.find(name="pipeline").attributes["langchain_stream.outcome"] == "completed"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@needs_async_context()
def test_forked_workers(tmp_path: Path, fresh: Fresh) -> None:
    """Workers that are forked while the handler has a live run have their own runs, and no other process's."""
    script = f"""
        import pathlib, warnings
        warnings.simplefilter("ignore")
        from tests.end_to_end.test_whole_app import prefork
        prefork({BOTH_MODELS[-1]!r}, pathlib.Path({str(tmp_path / "sent")!r}))
    """
    done = fresh.run(script)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == 4
    names = [name for each in told for name in each["names"]]
    assert len(names) == len(set(names))
    assert {each["live"] for each in told} == {0}
    assert_own_trees(received(tmp_path / "sent"), names)


def prefork(shape: str, path: Path) -> None:
    """A process that has a run open while it forks three workers, which work at the same time."""
    send_to(path, shape)
    handler = SentryStreamHandler()

    def work(who: str) -> None:
        names = [f"{who} {number} {how}" for number in range(4) for how in HOWS]
        for name in names:
            application(shape, name)
        with ThreadPoolExecutor(2) as threads:
            for each in [threads.submit(call, handler, shape, name, name.split()[-1]) for name in names]:
                each.result()
        atasks = [f"{who} task {number} {how}" for number in range(4) for how in HOWS]

        async def tasks() -> None:
            for name in atasks:
                with sentry_sdk.isolation_scope(), sentry_sdk.new_scope():
                    await acall(handler, shape, name, name.split()[-1])

        asyncio.run(tasks())
        sentry_sdk.flush(timeout=HANG)
        told = json.dumps({"names": [*names, *atasks], "live": handler.live_runs - open_runs[who == "parent"]})
        os.write(1, f"{told}\n".encode())

    stream: Any = ScriptedModel(model_name="held").stream("Hi", config={"callbacks": [handler]})
    next(stream)
    open_runs = (0, handler.live_runs)
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            work(f"child {number}")
            os._exit(0)
        children.append(child)
    work("parent")
    stream.close()
    failed = [status for child in children if (status := os.waitpid(child, 0)[1])]
    sys.exit(1 if failed or handler.live_runs else 0)
