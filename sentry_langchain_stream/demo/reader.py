"""The HTTP client of the service: reads the stream, and records when each chunk arrived."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from httpx_sse import connect_sse

PATIENCE = 5.0
"""How long the endpoint waits until a chunk has been read, in seconds."""


@dataclass(slots=True)
class Reading:
    """What the client has received."""

    chunks: list[str] = field(default_factory=list)
    """The text of each chunk: part of a word, a word or several. Its number of tokens is not known."""
    times: list[float] = field(default_factory=list)
    """When each chunk arrived, in seconds since the epoch."""
    failure: str | None = None
    """Why the stream was interrupted, if it was."""

    @property
    def text(self) -> str:
        """The answer, as far as it arrived."""
        return "".join(self.chunks)


def read(url: str, question: str, on_chunk: Callable[[str], None]) -> Reading:
    """Send a question to the service, and read the stream until it ends or is interrupted.

    Args:
        url: The service's base URL.
        question: The question.
        on_chunk: Called with the text of each chunk when it arrives.
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
                reading.chunks.append(event.data)
                reading.times.append(time.time())
                on_chunk(event.data)
    except httpx.HTTPError as error:
        reading.failure = f"{type(error).__name__}: {error}"
    return reading


class Pace:
    """Makes the endpoint wait until the client has read the previous chunk.

    The endpoint then ends the answer only after the client has read the last chunk, so the check of the span's end does
    not depend on the timing of threads. If a chunk never arrives, the endpoint continues after `PATIENCE`, and the
    check reports that the span was closed too early.
    """

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks
        self._read = threading.Semaphore(0)

    def chunk_read(self) -> None:
        """Record that the client has read a chunk."""
        self._read.release()

    async def gate(self, chunk: int) -> None:
        """Wait before a chunk. Chunk 0 is the role, 1 the first text, `chunks + 1` the finish reason."""
        if 2 <= chunk <= self._chunks + 1:
            await asyncio.to_thread(self._read.acquire, timeout=PATIENCE)
