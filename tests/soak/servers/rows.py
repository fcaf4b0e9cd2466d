"""A row of the table: what was counted and measured of one server with one kind of Sentry, and its rules."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

NOISE = {50: (0.005, 0.25), 99: (0.05, 0.75)}
"""By how much a percentile may be later with the handler: in seconds, or as a part of what it is without; the larger.

A percentile of a few hundred answers depends on few of them, which any other process may have delayed. So a difference
counts only if the answers above it are mostly of one side.
"""
ONE_SIDED = 0.7
"""The part of them that is mostly: of 100 equal coins, one in 25,000 throws has 70 heads."""


@dataclass(frozen=True, slots=True)
class Run:
    """How a server is run once for a row."""

    signal: int
    """What ends it."""
    shape: str
    """The wire shape."""
    seconds: float
    """How long its clients come."""
    warm: float = 2.0
    """How long they come before that, without being measured."""
    recycled: int = 0
    """After how many requests a worker is replaced: clients then wait, so the first bytes are not timed. 0 is never."""


@dataclass(slots=True)
class Row:
    """What was counted and measured."""

    server: str
    sink: str
    run: Run
    may_grow: float = 48.0
    """MB by which the largest process of the server may have grown since it was warm."""
    answers: Counter[tuple[str, str, Hashable]] = field(default_factory=Counter)
    """`(side, kind, what the client got)`."""
    first: dict[str, list[float]] = field(default_factory=lambda: {"with": [], "without": []})
    """Seconds to the first byte, by side."""
    calls: int = 0
    """Model calls with the handler."""
    arrived: int = 0
    """Spans that the sink has accepted."""
    refused: int = 0
    """Spans that the sink answered with 429, and counts itself."""
    killed: int = 0
    """Calls that were open in a worker that its server kills. Their spans may be missing."""
    lost: Counter[str] = field(default_factory=Counter)
    """Spans that the SDK counts as lost in its client report, by reason."""
    memory: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """MB when warm, and at the end."""
    stopped: float = 0.0
    """Seconds that the server took to stop; infinite if it did not."""
    failures: list[str] = field(default_factory=list)
    """What else went wrong."""

    HEADER = (
        f"{'server':15} {'Sentry':8} {'ends by':7} {'answers':>7} {'differ':>6} | "
        f"{'p50 ms':>6} {'with':>6} {'p99 ms':>6} {'with':>6} | "
        f"{'calls':>6} {'arrived':>7} {'429':>6} {'reported':>8} {'missing':>7} {'killed':>6} | "
        f"{'MB':>5} {'end':>5} {'stop s':>6}"
    )

    @property
    def differing(self) -> list[str]:
        """The answers that one side got more often, in words."""
        sides = {side: Counter[tuple[str, Hashable]]() for side in ("with", "without")}
        for (side, kind, got), times in self.answers.items():
            sides[side][kind, got] += times
        more = {"with": sides["with"] - sides["without"], "without": sides["without"] - sides["with"]}
        return [
            f"{times} x {kind} {side} the handler: {got}"
            for side, found in more.items()
            for (kind, got), times in found.items()
        ]

    @property
    def missing(self) -> int:
        """Calls of which there is neither a span nor a count; negative if there is more than one."""
        return self.calls - self.arrived - self.refused - self.lost.total()

    def broken(self) -> list[str]:
        """The rules that do not hold, in words."""
        found = [*self.failures, *self.differing]
        if not 0 <= self.missing <= self.killed:
            found.append(f"{self.missing} of {self.calls} calls have neither a span nor a count: {dict(self.lost)}")
        if not self.calls:
            found.append("no calls")
        for percent, (seconds, part) in NOISE.items():
            without, with_it = (percentile(self.first[side], percent) for side in ("without", "with"))
            if with_it > without + max(seconds, part * without) and self._slower(percent) >= ONE_SIDED:
                found.append(f"p{percent} of the first byte: {without * 1e3:.1f} ms became {with_it * 1e3:.1f} ms")
        warm, end = self.memory
        if end > warm + self.may_grow:
            found.append(f"memory: {warm:.0f} MB became {end:.0f} MB")
        if self.stopped == float("inf"):
            found.append("the server did not stop")
        return found

    def _slower(self, percent: int) -> float:
        """Which part of the answers above a percentile, at least 10 of both sides, has the handler."""
        both = sorted(((seconds, side) for side, times in self.first.items() for seconds in times), reverse=True)
        slower = both[: max(10, len(both) * (100 - percent) // 100)]
        return sum(side == "with" for _, side in slower) / max(1, len(slower))

    def __str__(self) -> str:
        name = signal.Signals(self.run.signal).name
        ms = [percentile(self.first[side], percent) * 1e3 for percent in NOISE for side in ("without", "with")]
        return (
            f"{self.server:15} {self.sink:8} {name:7} {self.answers.total():7} {len(self.differing):6} | "
            f"{ms[0]:6.1f} {ms[1]:6.1f} {ms[2]:6.1f} {ms[3]:6.1f} | "
            f"{self.calls:6} {self.arrived:7} {self.refused:6} "
            f"{self.lost.total():8} {self.missing:7} {self.killed:6} | "
            f"{self.memory[0]:5.0f} {self.memory[1]:5.0f} {self.stopped:6.1f}"
        )


def percentile(values: list[float], percent: int) -> float:
    """A percentile of the values; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
