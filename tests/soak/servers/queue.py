"""Plays a Celery worker: each task is queued with the handler and without it, one after the other."""

from __future__ import annotations

import random
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from kombu.exceptions import DecodeError  # type: ignore[import-untyped, unused-ignore]

from . import books
from .books import SIDES
from .launch import PATIENCE, Running, Server, running
from .rows import Row, Run
from .sink import Sink
from .tasks import OUT, connect
from .web import count, drained

KINDS = {"whole": 6, "invoke": 1, "failing": 1}
AT_A_TIME = 8
"""Tasks that are queued before their results are read."""
OPEN = 1
"""Tasks of each side that run when the worker is told to stop."""


def play(server: Server, way: str, run: Run) -> Row:
    """Measure a worker with a sink that has this way."""
    row = Row(server.name, way, run, server.may_grow)
    with tempfile.TemporaryDirectory() as folder, Sink(way) as sink:
        book = Path(folder) / "book"
        queue = _Queue(Path(folder), row)
        with running(server, sink.dsn, run.shape, book, recycled=run.recycled) as worker:
            queue.play(list(KINDS) * AT_A_TIME, measured=False)
            row.memory[0] = worker.memory()
            rng = random.Random(f"{row.server}/{row.sink}")
            until = time.monotonic() + run.seconds
            while time.monotonic() < until:
                queue.play(rng.choices(list(KINDS), list(KINDS.values()), k=AT_A_TIME // 2))
            drained(sink)
            row.memory[1] = worker.memory()
            row.stopped = queue.stop(worker, run.signal, book)
        count(row, sink, book)
    return row


class _Queue:
    """The side of the queue that sends tasks."""

    def __init__(self, folder: Path, row: Row) -> None:
        self._app = connect(folder)
        self._row = row
        self._folder = folder

    def play(self, kinds: list[str], *, measured: bool = True) -> None:
        """Queue such tasks, on both sides, now the one first and now the other, and note their results."""
        sides = (SIDES[:: 1 - 2 * (place % 2)] for place in range(len(kinds)))
        sent = [(side, kind, self._send(side, kind)) for kind, both in zip(kinds, sides, strict=True) for side in both]
        for side, kind, result in sent:
            self._note(side, kind, result, measured=measured)

    def stop(self, worker: Running, number: int, book: Path) -> float:
        """End the worker while tasks run; they end first. Returns the seconds that it took."""
        sent = [(side, self._send(side, "slow")) for side in SIDES for _ in range(OPEN)]
        deadline = time.monotonic() + PATIENCE
        while sum(line["what"] == "slow" for line in books.read(book)) < len(sent) and time.monotonic() < deadline:
            time.sleep(0.05)
        seconds = worker.stop(number)
        for side, result in sent:
            self._note(side, signal.Signals(number).name, result)
        return seconds

    def _send(self, side: str, kind: str) -> Any:
        result = self._app.send_task("answer", (side, kind))
        for task in (self._folder / OUT).iterdir():
            task.rename(self._folder / "queue" / task.name)
        return result

    def _note(self, side: str, kind: str, result: Any, *, measured: bool = True) -> None:
        got: Any
        try:
            answer = _read(result)
            got = answer["text"]
            if measured and kind == "whole" and not self._row.run.recycled:
                self._row.first[side].append(answer["first"])
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
        if measured:
            self._row.answers[side, kind, got] += 1
        with suppress(FileNotFoundError):
            result.forget()


def _read(result: Any) -> Any:
    """A task's result. Its file may be half written."""
    for _ in range(100):
        with suppress(DecodeError):
            return result.get(timeout=PATIENCE, interval=0.02)
        time.sleep(0.01)
    raise ValueError("a result that cannot be read")
