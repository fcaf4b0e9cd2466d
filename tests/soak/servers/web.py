"""Plays clients of an HTTP server: each asks for the same with the handler and without it, one after the other."""

from __future__ import annotations

import asyncio
import random
import signal
import tempfile
import time
from pathlib import Path

from . import books
from .books import HELD, SIDES
from .clients import Answer, Stream, ask
from .launch import PATIENCE, Running, Server, running
from .rows import Row, Run
from .sink import Sink

CLIENTS = 4
KINDS = {"whole": 6, "invoke": 1, "failing": 1, "flowing": 1, "held": 1}
"""What they ask for, and how often."""
OPEN = 5
"""Streams of each side that are open when the server is told to stop."""


def play(server: Server, way: str, run: Run) -> Row:
    """Measure a server with a sink that has this way."""
    row = Row(server.name, way, run, server.may_grow, killed=OPEN if run.signal in server.kills else 0)
    with tempfile.TemporaryDirectory() as folder, Sink(way) as sink:
        book = Path(folder) / "book"
        with running(server, sink.dsn, run.shape, book, recycled=run.recycled) as started:
            try:
                asyncio.run(_visits(started, row, sink, run))
            except ConnectionError as error:
                row.failures.append(str(error))
        count(row, sink, book)
    return row


def count(row: Row, sink: Sink, book: Path) -> None:
    """Add what was written down and what has arrived."""
    lines = books.read(book)
    row.calls += books.calls(lines)
    row.lost.update(books.losses(lines))
    row.arrived += sink.arrived()
    row.refused += sink.refused()
    errors = book.with_suffix(".stderr")
    said = errors.read_text(errors="replace") if errors.exists() else ""
    if "sentry_langchain_stream" in said:
        row.failures.append(f"it said: {said[-600:]}")


async def _visits(server: Running, row: Row, sink: Sink, run: Run) -> None:
    # Each of its workers is slow the first time.
    unmeasured = Row(row.server, row.sink, run)
    for kind in KINDS:
        await asyncio.gather(*(ask(server.port, side, kind) for side in SIDES for _ in range(CLIENTS)))
    await _clients(server.port, unmeasured, run.warm, timed=False)
    row.memory[0] = server.memory()
    await _clients(server.port, row, run.seconds, timed=not run.recycled)
    await asyncio.to_thread(drained, sink)
    row.memory[1] = server.memory()
    streams = {side: [Stream(server.port, f"/{side}/held") for _ in range(OPEN)] for side in SIDES}
    for side in SIDES:
        for stream in streams[side]:
            await stream.open()
            while stream.text.count(" ") < HELD:
                await asyncio.wait_for(stream.more(), PATIENCE)
    stopping = asyncio.create_task(asyncio.to_thread(server.stop, run.signal))
    for side in SIDES:
        for answer in await asyncio.gather(*(stream.rest() for stream in streams[side])):
            row.answers[side, signal.Signals(run.signal).name, answer.without_time()] += 1
    row.stopped = await stopping


async def _clients(port: int, row: Row, seconds: float, *, timed: bool) -> None:
    until = time.monotonic() + seconds
    rngs = [random.Random(f"{row.server}/{row.sink}/{each}") for each in range(CLIENTS)]
    await asyncio.gather(*(_client(port, row, rng, until, timed=timed) for rng in rngs))


async def _client(port: int, row: Row, rng: random.Random, until: float, *, timed: bool) -> None:
    while time.monotonic() < until:
        (kind,) = rng.choices(list(KINDS), list(KINDS.values()))
        for side in rng.sample(SIDES, 2):
            try:
                answer = await ask(port, side, kind)
            except (OSError, asyncio.IncompleteReadError) as error:
                answer = Answer("", "", type(error).__name__)
            row.answers[side, kind, answer.without_time()] += 1
            if kind == "whole" and timed:
                row.first[side].append(answer.first)


def drained(sink: Sink) -> None:
    """Let a sink that hangs answer, and wait until nothing more comes."""
    sink.gate.set()
    before, deadline = -1, time.monotonic() + PATIENCE
    while sink.requests != before and time.monotonic() < deadline:
        before = sink.requests
        time.sleep(0.5)
