"""A service for servers that fork their workers, or start them anew. What is open when it is imported stays open.

Its environment names the wire shape and the file that takes what would be sent to Sentry.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing.internals import complete_flushes
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, fake_model

SHAPE, SENT = "PREFORK_SHAPE", "PREFORK_SENT"


def init() -> None:
    """Set up Sentry, without the integrations that take seconds to look for, so that it sends to the file."""
    path = Path(os.environ[SENT])

    class File(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            with path.open("ab", buffering=0) as file:
                file.write(base64.b64encode(envelope.serialize()) + b"\n")

    sentry_sdk.init(
        dsn="http://captured@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        transport=File,
        auto_enabling_integrations=False,
        **WIRE_SHAPES[os.environ[SHAPE]],
    )
    complete_flushes(sentry_sdk.get_client())  # else what a worker has sent last may be lost: by the SDK


if SENT in os.environ:  # in a server's process, not in that of the tests
    import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`

    init()
    handler: Any = SentryStreamHandler()
    held: Any = ScriptedModel(model_name="held").stream("Hi", {"callbacks": [handler]})
    next(held)


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with the process, the runs that were live before this one, and what the model says."""
    live = handler.live_runs
    text = "".join(str(each.content) for each in fake_model().stream("Hi", {"callbacks": [handler]}))
    body = f"{os.getpid()} {live} {text}".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The same, async."""
    if scope["type"] != "http":
        return
    live = handler.live_runs
    text = "".join([str(each.content) async for each in fake_model().astream("Hi", {"callbacks": [handler]})])
    body = f"{os.getpid()} {live} {text}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})
