"""A graph on a LangGraph server: its runs continue the trace of the client, whose graph calls it.

The server itself is played where `langgraph-cli[inmem]` is installed: `nox --session served`.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk

pytest.importorskip("langgraph")
from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG, REPOSITORY
from tests.kit.absent import needs
from tests.kit.sentry_server import kept_client, playing_sentry
from tests.kit.wire import DEFAULT_SHAPE, WIRE_SHAPES

QUESTION: Any = {"messages": [("user", "Where is order 7?")]}
EXAMPLE = REPOSITORY / "examples" / "langgraph_server"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[None]:
    """An endpoint that answers like OpenAI's API, which a plain `ChatOpenAI()` asks."""
    # langchain-openai keeps its HTTP clients. One that another test has used has connections of a loop that is closed.
    kept = importlib.import_module("langchain_openai.chat_models._client_utils")
    kept._cached_async_httpx_client.cache_clear()
    sys.modules.pop("examples.langgraph_server.agent", None)
    app = create_endpoint(Answer())

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            # The example's model lives on from one test to the next, and so would its connections, but not their loop.
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        await app(scope, receive, told)

    with serving(closing) as url, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OPENAI_BASE_URL", f"{url}/v1")
        environment.setenv("OPENAI_API_KEY", "x")
        environment.delenv("SENTRY_DSN", raising=False)
        yield


@pytest.mark.usefixtures("endpoint")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_run_continues_the_trace_of_its_request(shape: str) -> None:
    """As the server calls the example: two runs at a time each join their client's trace, below the client's span."""
    with kept_client():
        agent = importlib.import_module("examples.langgraph_server.agent")
    traces = {"a" * 32: "1" * 16, "b" * 32: "2" * 16}
    made: list[Any] = []
    all_made = asyncio.Event()

    async def run(trace: str, span: str) -> None:
        headers = {"sentry-trace": f"{trace}-{span}-1", "baggage": f"sentry-trace_id={trace},sentry-sampled=true"}
        async with agent.served(
            {"configurable": {**headers, "thread_id": trace, "__pregel_checkpointer": None}}
        ) as graph:
            made.append(graph)
            if len(made) == len(traces):
                all_made.set()
            await all_made.wait()
            await graph.ainvoke(QUESTION)

    with capture_spans(**WIRE_SHAPES[shape], integrations=[SentryStreamIntegration(providers=False)]) as captured:
        await asyncio.gather(*(asyncio.create_task(run(*each)) for each in traces.items()))
    runs = captured.find_all(name="invoke_agent support")
    assert {each.trace_id: each.parent_id for each in runs} == traces
    assert sorted(each.trace_id for each in captured.find_all(op="gen_ai.chat")) == sorted(traces)


@contextmanager
def server(folder: Path, **environment: str) -> Iterator[str]:
    """LangGraph's development server, with the graphs of a folder, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false", "PYTHONPATH": str(REPOSITORY)}
    command = ["-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, env={**os.environ, **quiet, **environment}, stdout=log, stderr=log
        )
    try:
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + HANG
        while not _answers(url):
            is_starting = process.poll() is None and time.monotonic() < until
            assert is_starting, (folder / "log").read_text()
            time.sleep(0.1)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(HANG)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ok").is_success
    except httpx.TransportError:
        return False


@pytest.mark.usefixtures("endpoint")
@needs("langgraph_api", "langgraph_cli")
@pytest.mark.parametrize("call", ["invoke", "stream"])
def test_one_trace_over_client_and_server(call: str, tmp_path: Path) -> None:
    """The run on the server is in the trace of the client's graph, below the span of its request."""
    from examples.langgraph_server.client import desk

    folder = tmp_path / "served"
    shutil.copytree(EXAMPLE, folder)
    given: Any = {"callbacks": [SentryStreamHandler("desk")]}
    with (
        playing_sentry() as sentry,
        capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured,
        server(folder, SENTRY_DSN=sentry.dsn) as url,
    ):
        if call == "invoke":
            assert desk(url).invoke(QUESTION, given)["messages"][-1].text == Answer().text
        else:
            assert list(desk(url).stream(QUESTION, given))
    bodies = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in sentry.bodies]
    there = Captured(sentry_sdk.Client(), bodies)
    near, far = captured.find(name="invoke_agent desk"), there.find(name="invoke_agent support")
    request = next(each for each in captured.spans if each.span_id == far.parent_id)
    assert far.trace_id == near.trace_id
    assert request.op == "http.client"
    assert request.parent_id == near.span_id
    assert there.find(op="gen_ai.chat").parent_id == far.span_id
    assert there.events == []
