"""Serves apps on loopback."""

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


def listening(port: int = 0) -> socket.socket:
    """Listen on a port of 127.0.0.1, or on any that is free.

    What is written is sent at once. asyncio does not see that such a socket is one of TCP, and leaves Nagle's algorithm
    on: on a connection that is kept, an answer would come 40 ms after its headers (Python 3.10 to 3.15).

    Raises:
        OSError: The port is taken.
    """
    listener = socket.create_server(("127.0.0.1", port))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it
    return listener


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve an ASGI app from a thread, on a free port of 127.0.0.1, until the block ends.

    When the block ends, open requests have two seconds to finish, then they are cancelled. After the block no request
    is running, so all their transactions have been passed to Sentry.

    Yields:
        The base URL, without a trailing slash.

    Raises:
        RuntimeError: The server did not start. Its `__cause__` is the reason, if that is known.
    """
    with listening() as listener:
        # No logging configuration, because the loggers are global and another server may run in this process.
        # Nor uvloop, which uvicorn prefers if it is installed: the demo and the tests are to run the same everywhere.
        config = uvicorn.Config(app, loop="asyncio", log_config=None, ws="none", timeout_graceful_shutdown=2)
        server = _Server(config)
        thread = threading.Thread(target=server.run_until_exit, args=(listener,), name="serving", daemon=True)
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
    """An app that acts as one on another machine: the Sentry client of this process does not trace it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with a Sentry client that has no integrations, so it neither traces nor reports."""
        # Sentry's integrations patch the class of FastAPI, so this app would also get transactions.
        with sentry_sdk.new_scope() as sentry_scope:
            sentry_scope.set_client(_blind_client())
            await super().__call__(scope, receive, send)


@cache
def _blind_client() -> sentry_sdk.Client:
    # The SDK reads options that are left out here from the environment.
    return sentry_sdk.Client(dsn="", spotlight=False, default_integrations=False)


class _Server(uvicorn.Server):
    """A server that reports when it has started, or why it has not."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()
        self.failure: BaseException | None = None

    def run_until_exit(self, listener: socket.socket) -> None:
        try:
            self.run(sockets=[listener])
        except BaseException as error:  # uvicorn raises SystemExit if the start-up of the app fails
            if self.started:
                raise
            self.failure = error
        finally:
            self.settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.settled.set()
