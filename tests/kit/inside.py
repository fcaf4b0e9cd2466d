"""What runs inside of runs in the tests of nesting: real HTTP requests, real SQL, spans of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import Request
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from sqlalchemy import create_engine, text
from sqlalchemy.pool import StaticPool

from sentry_langchain_stream.demo.serve import Elsewhere, serving
from sentry_langchain_stream.testing import Captured, CapturedSpan
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, active_span, child_span

SURROUNDINGS = [*((shape, True) for shape in WIRE_SHAPES), *((shape, False) for shape in BOTH_MODELS)]
"""Wire shapes, in a span of the application and without one."""


@dataclass
class World:
    """What is outside of the process, and the ways of the user's code to get there."""

    url: str
    sync: httpx.Client
    tracing: dict[str, str] = field(default_factory=dict)
    """The tracing header of the last request to each path."""

    def __post_init__(self) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        self.engine.connect().close()

    def get(self, path: str) -> None:
        """Send an HTTP request."""
        self.sync.get(f"{self.url}/{path}").raise_for_status()

    async def aget(self, path: str) -> None:
        """Send an HTTP request."""
        async with httpx.AsyncClient(verify=False) as client:
            (await client.get(f"{self.url}/{path}")).raise_for_status()

    def query(self) -> None:
        """Ask the database."""
        with self.engine.connect() as connection:
            connection.execute(text("select 1"))

    def work(self, shape: str, name: str) -> None:
        """Do what Sentry has spans for, and what the user has one for: `name`, and requests to the path `name`."""
        self.get(name)
        self.query()
        with child_span(shape, name):
            self.get(f"{name}/below")

    async def awork(self, shape: str, name: str) -> None:
        """As `work`."""
        await self.aget(name)
        self.query()
        with child_span(shape, name):
            await self.aget(f"{name}/below")


@contextmanager
def world() -> Iterator[World]:
    """A server on loopback that Sentry sees nothing of, and a database in memory."""
    app = Elsewhere()
    headers: dict[str, str] = {}

    @app.get("/{path:path}")
    async def any_path(path: str, request: Request) -> str:
        headers[path] = request.headers.get("sentry-trace", "")
        return path

    with serving(app) as url, httpx.Client() as client:
        found = World(url, client, tracing=headers)
        yield found
        found.engine.dispose()


def around(shape: str, application: bool) -> AbstractContextManager[Any]:
    """An active span of the application's, or none."""
    return active_span(shape, "application") if application else nullcontext()


def parent_of(captured: Captured, span: CapturedSpan) -> CapturedSpan | None:
    """The span that a span hangs below, if it was sent."""
    return next((each for each in captured.spans if each.span_id == span.parent_id), None)


def name_above(captured: Captured, name: str, op: str | None = None) -> str | None:
    """The name of what the only span of this name, or of a name that ends so, hangs below."""
    found = [span for span in captured.spans if span.name.endswith(name) and op in (None, span.op)]
    if len(found) != 1:
        raise LookupError(f"{len(found)} spans end in {name!r}; there are:\n{captured.tree()}")
    parent = parent_of(captured, found[0])
    return parent.name if parent is not None else None


def assert_worked_below(captured: Captured, name: str, above: str | None) -> None:
    """What `World.work(name)` did hangs below the span `above`, each request and query of it."""
    told = captured.tree()
    assert name_above(captured, f"/{name}", "http.client") == above, told
    assert name_above(captured, f"/{name}/below", "http.client") == name, told
    user = next(span for span in captured.spans if span.name == name)
    parent = parent_of(captured, user)
    assert (parent.name if parent is not None else None) == above, told
    queries = [span for span in captured.find_all(op="db") if span.parent_id == user.parent_id]
    assert queries, told


class Calling(BaseChatModel):
    """A model that has these tools called at once, and then answers."""

    calls: tuple[str, ...]

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage("Done.")
        if not isinstance(messages[-1], ToolMessage):
            message = AIMessage("", tool_calls=[ToolCall(name=name, args={}, id=name) for name in self.calls])
        return ChatResult(generations=[ChatGeneration(message=message)])
