"""What tracing costs a service: answers of a realistic speed, streamed to many clients at once through uvicorn."""

from __future__ import annotations

import asyncio
import os
import random
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from .contestants import BY_NAME
from .environments import QUIET, ROOT
from .measuring import Failed
from .receiver import Receiver


@dataclass(frozen=True, slots=True)
class Service:
    """A row of the table: a contestant, and what becomes of what it sends.

    Args:
        name: The contestant.
        variant: Its variant.
        sink: `"answers"`, `"hangs"` (it accepts connections and never answers), or `"refuses"` (no connection).
    """

    name: str
    variant: str
    sink: str = "answers"


SERVICES = (
    Service("none", "no content"),
    Service("bare", "no content"),
    Service("own", "no content"),
    Service("own", "content"),
    Service("own", "content", "hangs"),
    Service("own", "content", "refuses"),
    Service("sentry", "content"),
    Service("langfuse", "content"),
    Service("openinference", "content"),
)


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked of each service.

    Args:
        rounds: How often all services are asked, in turns.
        clients: Requests at a time.
        tokens: Length of an answer.
        per_second: Tokens per second of an answer.
    """

    rounds: int = 3
    clients: int = 20
    tokens: int = 300
    per_second: float = 50.0


QUICK = Load(rounds=1, clients=5, tokens=50)


def production(pythons: dict[str, Path], chosen: frozenset[str], load: Load) -> list[dict[str, Any]]:
    """CPU seconds per request and seconds to the first byte: a row per service."""
    services = [each for each in SERVICES if each.name in chosen and BY_NAME[each.name].environment in pythons]
    rows: list[dict[str, Any]] = [
        {
            "contestant": each.name,
            "variant": each.variant,
            "sink": each.sink,
            "clients": load.clients,
            "tokens": load.tokens,
            "per_second": load.per_second,
            "cpu": [],
            "first_byte": [],
        }
        for each in services
    ]
    with Receiver() as receiver, _dead_ends() as ends:
        running = [
            _Server(pythons[BY_NAME[each.name].environment], each, ends.get(each.sink, receiver.address), load)
            for each in services
        ]
        try:
            for server, each, row in zip(running, services, rows, strict=True):
                row["problem"] = _check(server, each, receiver)
            order = random.Random(20)
            for done in range(load.rounds):
                turns = [pair for pair in zip(running, rows, strict=True) if pair[1]["problem"] is None]
                order.shuffle(turns)
                for server, row in turns:
                    _sample(server, row, load)
                print(f"production: round {done + 1} of {load.rounds}, {len(turns)} services", file=sys.stderr)
        finally:
            for server in running:
                server.close()
    return rows


def _check(server: _Server, service: Service, receiver: Receiver) -> str | None:
    """Ask once, and see whether what should arrive arrives. Return what is wrong."""
    receiver.watch()
    try:
        asyncio.run(_stream(server.port, 0.0, "/?8"))
        server.cpu()
    except (Failed, OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    models, prompts = receiver.seen()
    if service.name == "none" or service.sink != "answers":
        return "spans where none was expected" if models else None
    if not models:
        return "no span"
    if prompts != (service.variant == "content"):
        return "no content recorded" if not prompts else "prompt recorded though switched off"
    return None


def _sample(server: _Server, row: dict[str, Any], load: Load) -> None:
    """Ask as many requests as there are clients, spread over half a second as clients come, and add what they took."""
    try:
        before = server.cpu()
        stagger = 0.5 / load.clients
        row["first_byte"] += asyncio.run(_clients(server.port, load.clients, stagger))
        row["cpu"].append(float(f"{(server.cpu() - before) / load.clients:.5g}"))
    except (Failed, OSError, ValueError) as error:
        row["problem"] = f"{type(error).__name__}: {error}"[:200]


async def _clients(port: int, clients: int, stagger: float) -> list[float]:
    found = await asyncio.gather(*(_stream(port, place * stagger) for place in range(clients)))
    return [float(f"{seconds:.5g}") for seconds in found]


async def _stream(port: int, wait: float, path: str = "/") -> float:
    """One request: the seconds to the first byte of the answer, which is then read to its end."""
    await asyncio.sleep(wait)
    begun = perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    first = await reader.read(1)
    seconds = perf_counter() - begun
    rest = await reader.read()
    writer.close()
    if not first or not rest.endswith(b"0\r\n\r\n"):
        raise ValueError("the answer broke off")
    return seconds


async def _get(port: int, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer.partition(b"\r\n\r\n")[2]


class _Server:
    """A contestant's service, in a process of its own."""

    def __init__(self, python: Path, service: Service, address: str, load: Load) -> None:
        arguments = [service.name, service.variant, address, str(load.tokens), str(load.per_second)]
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.server", *arguments],
            cwd=ROOT,
            env={**os.environ, **QUIET},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._port: int | None = None

    @property
    def port(self) -> int:
        """Its port.

        Raises:
            Failed: It did not start.
        """
        if self._port is None:
            stdout = self._process.stdout
            assert stdout is not None
            line = stdout.readline() if select.select([stdout], [], [], 60)[0] else ""
            if not line:
                raise Failed("the service did not start")
            self._port = int(line)
        return self._port

    def cpu(self) -> float:
        """Send what is waiting, and return the seconds of the processor that the process has used, in all threads."""
        return float(asyncio.run(_get(self.port, "/cpu")))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def _dead_ends() -> Iterator[dict[str, str]]:
    """Addresses where nothing answers, and where nothing listens."""
    with socket.socket() as hanging, socket.socket() as closed:
        for each in (hanging, closed):
            each.bind(("127.0.0.1", 0))
        hanging.listen(128)  # connections are accepted by the system, and nobody ever reads from them
        yield {
            name: f"http://127.0.0.1:{each.getsockname()[1]}"
            for name, each in (("hangs", hanging), ("refuses", closed))
        }
