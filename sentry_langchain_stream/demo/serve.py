"""Servers on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import sentry_sdk
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an ASGI app from a thread, on a free port of 127.0.0.1, until the block ends.

    At the end open requests have two seconds to finish, then they are cancelled. When the block has been
    left, no request runs any more, and so every transaction of theirs has been handed to Sentry.

    Yields:
        The base URL, without a trailing slash.

    Raises:
        RuntimeError: The server did not start; its `__cause__` is the reason, if it has one.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # No logging configuration: the loggers belong to the process, and another server may run in it.
        config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=2)
        server = _Server(config)
        thread = threading.Thread(target=server.run_until_told, args=(listener,), name="serving", daemon=True)
        thread.start()
        server.settled.wait()
        try:
            if not server.started:
                thread.join()
                raise RuntimeError("the server on 127.0.0.1 did not start") from server.failure
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


class Elsewhere(FastAPI):
    """An app that stands for another machine's: the Sentry client of this process does not see what it does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with a Sentry client that has no integrations, and so neither traces nor reports."""
        # Sentry's integrations patch FastAPI's class, so this app too would get transactions of its own.
        with sentry_sdk.new_scope() as sentry_scope:
            sentry_scope.set_client(_blind_client())
            await super().__call__(scope, receive, send)


@cache
def _blind_client() -> sentry_sdk.Client:
    # What is left out here the SDK would read from the environment.
    return sentry_sdk.Client(dsn="", spotlight=False, default_integrations=False)


class _Server(uvicorn.Server):
    """A server that says when it has started, or why it has not."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self.failure: BaseException | None = None

    def run_until_told(self, listener: socket.socket) -> None:
        try:
            self.run(sockets=[listener])
        except BaseException as error:  # uvicorn leaves with SystemExit when the app's start-up fails
            if self.started:
                raise
            self.failure = error
        finally:
            self.settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.settled.set()
