"""The service's client: reads the stream, and notes when each token came."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from httpx_sse import connect_sse

PATIENCE = 5.0
"""Seconds for which the endpoint waits until a token has been read."""


@dataclass(slots=True)
class Reading:
    """What the client has read."""

    tokens: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each token came, in seconds since the epoch."""
    failure: str | None = None
    """Why the stream broke off, if it did."""

    @property
    def text(self) -> str:
        """The answer, as far as it came."""
        return "".join(self.tokens)


def read(url: str, question: str, on_token: Callable[[str], None]) -> Reading:
    """Ask the service at `url` and read its stream to the end, or to where it breaks off.

    Args:
        url: The service's base URL.
        question: What to ask.
        on_token: Called with each token as it comes.
    """
    reading = Reading()
    try:
        # A proxy from the environment could not reach this machine's loopback.
        with (
            httpx.Client(trust_env=False, timeout=60.0) as client,
            connect_sse(client, "GET", f"{url}/answer", params={"question": question}) as source,
        ):
            source.response.raise_for_status()
            for event in source.iter_sse():
                reading.tokens.append(event.data)
                reading.times.append(time.time())
                on_token(event.data)
    except httpx.HTTPError as error:
        reading.failure = f"{type(error).__name__}: {error}"
    return reading


class Pace:
    """Holds the endpoint back until the client has read the token before.

    So that the verdict on the span's end rests on an order of events, not on which thread was faster: the endpoint
    ends the answer only after the client has read the last token. If a token never comes, the endpoint goes on
    after `PATIENCE`, and the verdict finds the span closed before its time.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._read = threading.Semaphore(0)

    def token_read(self) -> None:
        """The client has read one more token."""
        self._read.release()

    async def gate(self, chunk: int) -> None:
        """Wait before a chunk: number 0 is the role, 1 the first token, `tokens + 1` the finish reason."""
        if 2 <= chunk <= self._tokens + 1:
            await asyncio.to_thread(self._read.acquire, timeout=PATIENCE)
