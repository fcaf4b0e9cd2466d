"""Processes that send what they have for Sentry to a file, and reading it back.

`python -m tests.kit.processes WIRE_SHAPE FILE` is a service: it prints its port and serves until its input is closed.
"""

from __future__ import annotations

import base64
import sys
import threading
from pathlib import Path
from typing import Any

import sentry_sdk
import uvicorn
from langchain_core.runnables import RunnableLambda
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.serve import listening
from sentry_langchain_stream.testing import Captured
from sentry_langchain_stream.testing.internals import complete_flushes
from tests.kit import HANG
from tests.kit.wire import WIRE_SHAPES, fake_model


def sending_to(path: Path) -> type[Transport]:
    """A transport to a file, which several processes may share."""

    class File(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            with path.open("ab", buffering=0) as file:
                file.write(base64.b64encode(envelope.serialize()) + b"\n")

    return File


def send_to(path: Path, shape: str) -> None:
    """Set up Sentry so that its envelopes go to a file."""
    options: dict[str, Any] = WIRE_SHAPES[shape]
    sentry_sdk.init(dsn="http://captured@127.0.0.1:9/1", traces_sample_rate=1.0, transport=sending_to(path), **options)
    complete_flushes(sentry_sdk.get_client())  # else what such a process has sent last may be lost: by the SDK


def received(path: Path) -> Captured:
    """What was sent to a file."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return Captured(sentry_sdk.Client(), [base64.b64decode(line) for line in lines])


def serve_until_closed(app: Any) -> None:
    """Serve an application on a free port, which is printed, until standard input is closed."""
    with listening() as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=2))

        def until_closed() -> None:
            sys.stdin.read()
            server.should_exit = True

        threading.Thread(target=until_closed, daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        server.run(sockets=[listener])


def serve(shape: str, path: Path) -> None:
    """Serve a route that runs a chain."""
    send_to(path, shape)
    from fastapi import FastAPI  # after `init`, as in an application

    app = FastAPI()
    handler = SentryStreamHandler(pipeline_name="service")
    chain: Any = RunnableLambda(str) | fake_model("one two")

    @app.get("/answer")
    async def answer(question: str) -> str:
        found = await chain.ainvoke(question, {"callbacks": [handler]})
        return str(found.content)

    serve_until_closed(app)
    sentry_sdk.flush(timeout=HANG)


if __name__ == "__main__":
    import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`

    serve(sys.argv[1], Path(sys.argv[2]))
