"""HTTP clients of the soak: they note the answer as they got it, how it ended, and when its first byte came."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, replace

from .launch import PATIENCE

RETRIES = 6_000
PAUSE = 0.05
"""Seconds before a request is sent again that the server did not take, because its worker starts or is replaced."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: str
    text: str
    ending: str
    """`whole`, `broken` by the server, or `left` by the client."""
    first: float = 0.0
    """Seconds from the request to the first byte of the text."""

    def without_time(self) -> Answer:
        """The answer, to be compared."""
        return replace(self, first=0.0)


class Stream:
    """One request, on a connection of its own."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self.text = ""
        self.status = ""
        self.first = 0.0

    async def open(self) -> None:
        """Send the request and read the first piece. It is sent again as long as no worker takes it.

        Raises:
            ConnectionError: No worker takes it.
        """
        for _ in range(RETRIES):
            try:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(PAUSE)
                continue
            try:
                began = time.perf_counter()
                self._writer.write(f"GET {self._path} HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n".encode())
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
                self.status, _, headers = head.partition("\r\n")
                self._chunked = "chunked" in headers.lower()
                length = re.search(r"(?i)^content-length: *(\d+)", headers, re.MULTILINE)
                self._length = int(length[1]) if length is not None else 0
                await self.more()
                self.first = time.perf_counter() - began
                return
            except (OSError, asyncio.IncompleteReadError):  # before there was anything of an answer
                self._writer.close()
                if self.text:
                    raise
                await asyncio.sleep(PAUSE)
        raise ConnectionError(f"no worker answers {self._path}")

    async def more(self) -> bool:
        """Read a piece; false at the end of the answer."""
        if not self._chunked:
            self.text += (await self._reader.readexactly(self._length)).decode()
            self._length = 0
            return False
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        self.text += (await self._reader.readexactly(size + 2))[:-2].decode()
        return size > 0

    async def rest(self) -> Answer:
        """Read to the end."""
        ending = "whole"
        try:
            while (self._chunked or self._length) and await asyncio.wait_for(self.more(), PATIENCE):
                pass
        except (OSError, asyncio.IncompleteReadError):
            ending = "broken"
        self._writer.close()
        return Answer(self.status, self.text, ending, self.first)

    async def leave(self, pieces: int) -> Answer:
        """Read until so many words are there, and hang up."""
        while self.text.count(" ") < pieces and await asyncio.wait_for(self.more(), PATIENCE):
            pass
        self._writer.close()
        words = self.text.split(" ")[:pieces]  # a server may have sent more of it in one piece
        return Answer(self.status, " ".join(words), "left", self.first)


async def ask(port: int, side: str, kind: str) -> Answer:
    """A whole visit of a client; of what never ends, or not soon, it reads a little and leaves."""
    stream = Stream(port, f"/{side}/{kind}")
    await stream.open()
    return await (stream.leave(2) if kind in ("flowing", "held") else stream.rest())
