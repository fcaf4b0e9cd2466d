"""Processes that fork, and processes that end while streams are open."""

from __future__ import annotations

import contextlib
import gzip
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk

from sentry_langchain_stream.testing import Captured
from tests.kit import HANG, REPOSITORY
from tests.kit.absent import needs
from tests.kit.apps import prefork
from tests.kit.fresh import Fresh
from tests.kit.processes import received
from tests.kit.sentry_server import playing_sentry
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES

GUNICORN = "gunicorn tests.kit.apps.prefork:wsgi --preload --workers 2 --log-level error --bind 127.0.0.1:{}"
UVICORN = "uvicorn tests.kit.apps.prefork:asgi --workers 2 --log-level error --port {}"


SHAPES = pytest.mark.parametrize("shape", ["transaction and spans", "stream"])


def environment_of(shape: str, path: Path) -> dict[str, str]:
    """The environment of a process with this wire shape. An SDK that does not have it says so here, not there."""
    sentry_sdk.Client(**WIRE_SHAPES[shape])
    return {**os.environ, prefork.SHAPE: shape, prefork.SENT: str(path)}


@contextmanager
def server(command: str, shape: str, path: Path) -> Iterator[str]:
    """A server with two workers; when the block is left, it has ended as a server does that is told to."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**environment_of(shape, path), "PYTHONWARNINGS": "ignore"}
    arguments = ["-m", *command.format(port).split()]
    options: Any = {"cwd": REPOSITORY, "env": environment, "stderr": subprocess.PIPE, "start_new_session": True}
    with subprocess.Popen([sys.executable, *arguments], **options) as process:
        try:
            yield f"http://127.0.0.1:{port}"
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=HANG)
            assert b"Traceback" not in errors, errors.decode()
        finally:
            # The workers, too: of a server that is killed they would stay.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ask_both(url: str) -> list[tuple[str, int, str]]:
    """Ask until both workers have answered twice: who answered, its live runs, and the text."""
    answers: list[tuple[str, int, str]] = []
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        workers = Counter(worker for worker, _, _ in answers)
        if len(workers) == 2 and min(workers.values()) >= 2:
            return answers
        try:
            # A connection for each, so that the workers take turns.
            worker, live, text = httpx.get(url, timeout=HANG).raise_for_status().text.split(" ", 2)
        except httpx.TransportError:  # not there yet
            time.sleep(0.05)
        else:
            answers.append((worker, int(live), text))
    raise AssertionError(f"only one worker answered: {Counter(worker for worker, _, _ in answers)}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@needs("gunicorn")
@SHAPES
def test_workers_forked_with_the_handler_in_them(shape: str, tmp_path: Path) -> None:
    """Below gunicorn with `--preload` each answer is one span; a stream that is open at the fork is told once."""
    with server(GUNICORN, shape, tmp_path / "sent") as url:
        answers = ask_both(url)
    assert {(live, text) for _, live, text in answers} == {(0, "one two three")}
    models = received(tmp_path / "sent").find_all(op="gen_ai.chat")
    told = Counter(
        (span.attributes.get("gen_ai.request.model") == "held", span.attributes["langchain_stream.outcome"])
        for span in models
    )
    assert told == {(False, "completed"): len(answers), (True, "abandoned"): 1}


@needs("uvicorn")
def test_workers_that_start_anew(tmp_path: Path) -> None:
    """Below uvicorn with `--workers` each answer is one span. What no request has open is lost: it ends by a signal."""
    with server(UVICORN, "stream", tmp_path / "sent") as url:
        answers = ask_both(url)
    assert {(live, text) for _, live, text in answers} == {(1, "one two three")}
    models = received(tmp_path / "sent").find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in models] == ["completed"] * len(answers)


SCRIPT = """
    import asyncio, os, signal, sys, threading
    from sentry_langchain_stream import track_stream
    from tests.kit.apps.prefork import handler, ScriptedModel

    config = {{"callbacks": [handler]}}
    in_a_cycle = [track_stream(iter(("one", "two")), model="tracked")]
    next(in_a_cycle[0])
    in_a_cycle.append(in_a_cycle)

    async def main():
        global in_a_loop
        in_a_loop = ScriptedModel().astream("Hi", config)
        await anext(in_a_loop)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())

    def read():
        global in_a_thread
        in_a_thread = ScriptedModel().stream("Hi", config)
        next(in_a_thread)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    {end}
"""


@pytest.mark.parametrize(
    ("end", "code", "complaint"),
    [
        ("pass", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("raise RuntimeError('of the application')", 1, "RuntimeError: of the application"),
        ("os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait()", -signal.SIGTERM, ""),
    ],
    ids=["end", "exit", "exception", "SIGTERM"],
)
@pytest.mark.parametrize("shape", ["stream"])
def test_a_process_that_ends_with_open_streams(
    shape: str, end: str, code: int, complaint: str, tmp_path: Path, fresh: Fresh
) -> None:
    """Open streams are told as abandoned, but by a process that is killed; exit code and complaints stay the same."""
    done = fresh.run(textwrap.dedent(SCRIPT).format(end=end), environment_of(shape, tmp_path / "sent"))
    assert done.returncode == code, done.stderr
    assert done.stderr.rstrip().endswith(complaint)
    assert done.stderr.count("Traceback") == (1 if complaint else 0), done.stderr
    assert "Exception ignored" not in done.stderr
    spans = received(tmp_path / "sent").find_all(op="gen_ai.chat")
    told = [span.attributes["langchain_stream.outcome"] for span in spans]
    assert told == ([] if code == -signal.SIGTERM else ["abandoned"] * 4)


PENDING = "Sentry is attempting to send 2 pending events\nWaiting up to 2 seconds\nPress Ctrl-C to quit\n"
NO_THREADS = """
    import atexit, threading
    import sentry_sdk
    from sentry_langchain_stream import SentryStreamHandler
    from tests.kit.wire import ScriptedModel

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    sentry_sdk.init(dsn={dsn!r}, traces_sample_rate=1.0, auto_enabling_integrations=False, **{options!r})
    stream = ScriptedModel().stream("Hi", {{"callbacks": [SentryStreamHandler()]}})
    next(stream)
    atexit.register(setattr, threading.Thread, "start", refuse)  # runs first
"""


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_what_ends_at_the_exit_is_sent_though_no_thread_can_be_started(shape: str, fresh: Fresh) -> None:
    """Python 3.12 starts none in exit functions: the SDK's threads are there already when the first run ends there."""
    with playing_sentry() as sentry:
        done = fresh.run(textwrap.dedent(NO_THREADS).format(dsn=sentry.dsn, options=WIRE_SHAPES[shape]))
        assert (done.returncode, done.stderr) in ((0, ""), (0, PENDING))  # if the machine is busy
        bodies = [gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body for body in sentry.bodies]
    spans = Captured(sentry_sdk.Client(), bodies).find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in spans] == ["abandoned"]
