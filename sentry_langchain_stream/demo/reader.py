"""The HTTP client of the service: reads the stream, and records when each token arrived."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from httpx_sse import connect_sse

PATIENCE = 5.0
"""How long the endpoint waits until a token has been read, in seconds."""


@dataclass(slots=True)
class Reading:
    """What the client has received."""

    tokens: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each token arrived, in seconds since the epoch."""
    failure: str | None = None
    """Why the stream was interrupted, if it was."""

    @property
    def text(self) -> str:
        """The answer, as far as it arrived."""
        return "".join(self.tokens)


def read(url: str, question: str, on_token: Callable[[str], None]) -> Reading:
    """Send a question to the service, and read the stream until it ends or is interrupted.

    Args:
        url: The service's base URL.
        question: The question.
        on_token: Called with each token when it arrives.
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
    """Makes the endpoint wait until the client has read the previous token.

    The endpoint then ends the answer only after the client has read the last token, so the check of the span's end does
    not depend on the timing of threads. If a token never arrives, the endpoint continues after `PATIENCE`, and the
    check reports that the span was closed too early.
    """

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._read = threading.Semaphore(0)

    def token_read(self) -> None:
        """Record that the client has read a token."""
        self._read.release()

    async def gate(self, chunk: int) -> None:
        """Wait before a chunk. Chunk 0 is the role, 1 the first token, `tokens + 1` the finish reason."""
        if 2 <= chunk <= self._tokens + 1:
            await asyncio.to_thread(self._read.acquire, timeout=PATIENCE)
