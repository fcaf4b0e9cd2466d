"""What a client does first when it is flushed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sentry_langchain_stream._to_sentry import client_flushes


class Client:
    """What is asked of one."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    def flush(self, timeout: float | None = None) -> None:
        """Send nothing."""

    async def flush_async(self, timeout: float | None = None) -> None:
        """The same."""


def test_two_threads_that_ask_for_the_first_time_both_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread asks a client for something else, while this one is about to replace its methods."""
    done: list[str] = []
    client, make = Client(), client_flushes._flushing

    def one(_: object, seconds: float) -> Iterator[None]:
        done.append("one")
        yield

    def other(_: object, seconds: float) -> Iterator[None]:
        done.append("other")
        yield

    def makes(*given: Any) -> Any:
        monkeypatch.setattr(client_flushes, "_flushing", make)
        client_flushes.begin_with(other, client)
        return make(*given)

    monkeypatch.setattr(client_flushes, "_flushing", makes)
    client_flushes.begin_with(one, client)
    client.flush()
    assert sorted(done) == ["one", "other"]
    asyncio.run(client.flush_async())
    assert sorted(done) == ["one", "one", "other", "other"]
