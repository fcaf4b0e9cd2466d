"""LangSmith without its service: its tracer and `@traceable` work as ever, and what they record goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from langchain_core.tracers.context import tracing_v2_enabled
from langsmith import Client, tracing_context


class Offline(Client):
    """A client that sends nothing, and knows the names of the runs that it was given."""

    def __init__(self) -> None:
        super().__init__(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
        self.names: list[str] = []

    def create_run(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Note the name of a run that starts."""
        self.names.append(name)

    def update_run(self, *args: Any, **kwargs: Any) -> None:
        """Send nothing."""


@contextmanager
def langsmith(*, tracing: bool) -> Iterator[Offline]:
    """LangSmith's tracing on or off, for LangChain's runs and for functions with `@traceable`."""
    client = Offline()
    tracer = tracing_v2_enabled(client=client) if tracing else nullcontext()
    with tracing_context(enabled=tracing, client=client), tracer:
        yield client
