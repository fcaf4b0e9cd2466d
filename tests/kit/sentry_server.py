"""A server that plays Sentry, and an application's client for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import sentry_sdk

from sentry_langchain_stream.doctor import environment
from tests.kit import HANG

with suppress(ModuleNotFoundError):  # FastAPI reads annotations by the names of the file
    from fastapi import Request, Response

NOWHERE = "http://public@127.0.0.1:9/42"
VARIABLES = (*environment.ELSEWHERE, "SENTRY_DSN", "SENTRY_SPOTLIGHT", "LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2")


@contextmanager
def application(**options: Any) -> Iterator[Any]:
    """The process's client, as an application would have made it; the one from before comes back."""
    with kept_client():
        client = sentry_sdk.Client(**{"dsn": NOWHERE, "traces_sample_rate": 1.0, **options})
        sentry_sdk.get_global_scope().set_client(client)
        yield client
        client.close(timeout=0.0)


@contextmanager
def kept_client() -> Iterator[None]:
    """Whatever the block makes the process's client, afterwards it is the one from before."""
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    try:
        with sentry_sdk.isolation_scope() as isolation:
            isolation.set_client(None)
            sentry_sdk.get_current_scope().set_client(None)
            everywhere.set_client(None)
            yield
    finally:
        everywhere.set_client(before)


@dataclass
class Sentry:
    """A server that plays Sentry's envelope endpoint, and keeps what it received."""

    url: str
    paths: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return self.url.replace("://", "://public@") + "/42"


@contextmanager
def playing_sentry(
    status: int = 200,
    headers: dict[str, str] | None = None,
    body: str = '{"id": "abc"}',
    gate: threading.Event | None = None,
) -> Iterator[Sentry]:
    """Serve an endpoint that answers this to everything; with a gate, not before that opens."""
    pytest.importorskip("fastapi")
    from sentry_langchain_stream.demo.serve import Elsewhere, serving

    app = Elsewhere()
    sentry = Sentry("")

    async def ingest(path: str, request: Request) -> Response:
        sentry.bodies.append(await request.body())
        sentry.paths.append(path.strip("/"))
        return Response(body, status, headers)

    def wait(path: str) -> Response:
        assert gate is not None
        gate.wait(HANG)
        return Response()

    app.post("/{path:path}")(ingest if gate is None else wait)
    with serving(app) as url:
        sentry.url = url
        try:
            yield sentry
        finally:
            if gate is not None:
                gate.set()
