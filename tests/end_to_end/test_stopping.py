"""Servers that are told to stop while streams are open: the shutdown of docs/recipes.md loses no span."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
import sentry_sdk

from sentry_langchain_stream.testing import Captured
from tests.kit import HANG, REPOSITORY
from tests.kit.absent import needs
from tests.kit.apps import stopping
from tests.kit.sentry_server import Sentry, playing_sentry
from tests.kit.wire import BOTH_MODELS

STREAMS = 20
"""Of so many, some are lost without the recipe: what the SDK has not sent when uvicorn ends itself."""
SERVERS = {
    "uvicorn": "uvicorn tests.kit.apps.stopping:app --log-level error --timeout-graceful-shutdown 1 --port {}",
    "gunicorn": "gunicorn tests.kit.apps.stopping:app --worker-class tests.soak.servers.gunicorn_worker.Worker"
    " --log-level critical --graceful-timeout 30 --bind 127.0.0.1:{}",
}


@contextmanager
def server(name: str, sentry: Sentry, shape: str, *, flushes: bool) -> Iterator[str]:
    """A server; when the block is left it is told to stop, and has ended."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        stopping.DSN: sentry.dsn,
        stopping.FLUSHES: str(flushes),
        stopping.SHAPE: shape,
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", *SERVERS[name].format(port).split()]
    with subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=HANG)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def read_the_first_piece(streams: ExitStack, url: str) -> None:
    """Open a stream and read until its first piece is there; it stays open."""
    deadline = time.monotonic() + HANG
    while True:
        try:
            response = streams.enter_context(httpx.stream("GET", f"{url}/answer", timeout=HANG))
            break
        except httpx.TransportError:  # not there yet
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.05)
    pieces: Any = response.iter_text()
    streams.callback(pieces.close)  # a generator that nobody holds is closed, and with it the connection
    assert next(pieces) == "word "


def spans_after(name: str, shape: str, *, flushes: bool) -> list[str]:
    """The outcomes of the model spans that have arrived once the server has ended."""
    with playing_sentry() as sentry:
        with ExitStack() as streams, server(name, sentry, shape, flushes=flushes) as url:
            for _ in range(STREAMS):
                read_the_first_piece(streams, url)
        bodies = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in sentry.bodies]
    found = Captured(sentry_sdk.Client(), bodies).find_all(op="gen_ai.chat")
    return [str(span.attributes["langchain_stream.outcome"]) for span in found]


@needs("uvicorn")
@needs("fastapi")
@pytest.mark.parametrize(
    ("name", "shape"), [*(("uvicorn", shape) for shape in BOTH_MODELS), ("gunicorn", BOTH_MODELS[-1])]
)
def test_every_open_stream_is_told(name: str, shape: str) -> None:
    """With the flush at the end of the lifespan all open streams arrive, as cancelled or left."""
    if name == "gunicorn":
        pytest.importorskip("gunicorn")
        pytest.importorskip("uvicorn.workers")
    outcomes = spans_after(name, shape, flushes=True)
    assert len(outcomes) == STREAMS
    assert set(outcomes) <= {"cancelled", "abandoned"}


def test_the_app_does_what_the_recipe_says() -> None:
    """The recipe's line is the one that is tested."""
    recipe = (REPOSITORY / "docs" / "recipes.md").read_text(encoding="utf-8")
    line = re.compile(r"await asyncio\.sleep\(1\).*\n *await asyncio\.to_thread\(sentry_sdk\.flush\)")
    assert line.search(recipe)
    assert line.search((REPOSITORY / "tests" / "kit" / "apps" / "stopping.py").read_text(encoding="utf-8"))
