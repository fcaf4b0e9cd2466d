"""What a process is left with when nothing is at work in it."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import sentry_sdk
from sentry_sdk.tracing import Span

from sentry_langchain_stream._runs.run import Run
from sentry_langchain_stream._to_sentry.streamed_spans import CAN_STREAM

from .ledger import Settled

SPANS = (Span, sentry_sdk.traces.StreamedSpan) if CAN_STREAM else (Span,)
"""The SDK's classes of spans."""

MORE_OBJECTS = 0.01
"""By which part the number of objects may differ: caches of Python, LangChain and the SDK are never quite full."""

MORE_MEMORY = 64.0
"""By how many MB the process may have grown: the allocator keeps what it once had, in pieces."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What was measured at rest."""

    live: int
    """Live runs of the handler."""
    runs: int
    """Records of runs that somebody still holds."""
    spans: int
    """Spans of the SDK that somebody still holds."""
    objects: int
    """All objects that garbage collection knows."""
    memory: float
    """Resident memory in MB; 0 where the platform does not tell."""
    threads: int
    files: int
    """Open files; 0 where the platform does not tell."""
    kinds: Counter[str]
    """The objects by type."""

    HEADER = (
        f"{'streams':>8} {'seconds':>7} {'live':>5} {'runs':>5} {'spans':>6} {'objects':>8} {'MB':>6} {'threads':>7} "
        f"{'files':>5} | {'started':>8} {'arrived':>8} {'compl.':>7} {'cancel.':>7} {'aband.':>7} {'failed':>7} | "
        f"{'lost':>5} {'doubled':>7} {'wrong':>5} {'strays':>6} {'dropped':>7} {'raised':>6}"
    )

    def row(self, streams: int, settled: Settled, seconds: float) -> str:
        """A line of the table."""
        came = settled.arrived
        return (
            f"{streams:8} {seconds:7.0f} {self.live:5} {self.runs:5} {self.spans:6} {self.objects:8} "
            f"{self.memory:6.1f} {self.threads:7} {self.files:5} | {settled.started:8} {came.total():8} "
            f"{came['completed']:7} {came['cancelled']:7} {came['abandoned']:7} {came['failed']:7} | "
            f"{settled.lost:5} {settled.doubled:7} {settled.wrong:5} {settled.strays:6} {settled.dropped:7} "
            f"{settled.raised:6}"
        )

    def grown_since(self, before: Numbers) -> list[str]:
        """What is more than it was, a line each."""
        found = [
            f"{name}: {was} became {now}"
            for name, was, now in (
                ("live runs", 0, self.live),
                ("records of runs", before.runs, self.runs),
                ("spans", before.spans, self.spans),
                ("threads", before.threads, self.threads),
                ("open files", before.files, self.files),
            )
            if now > was
        ]
        if self.objects > before.objects * (1 + MORE_OBJECTS):
            most = ", ".join(f"{kind} +{more}" for kind, more in (self.kinds - before.kinds).most_common(12))
            found.append(f"objects: {before.objects} became {self.objects}: {most}")
        if self.memory > before.memory + MORE_MEMORY:
            found.append(f"memory: {before.memory:.1f} MB became {self.memory:.1f} MB")
        return found


def measure(live: int) -> Numbers:
    """Measure now."""
    objects = gc.get_objects()
    return Numbers(
        live=live,
        runs=sum(type(each) is Run for each in objects),
        spans=sum(issubclass(type(each), SPANS) for each in objects),
        objects=len(objects),
        memory=resident(),
        threads=threading.active_count(),
        kinds=Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects),
        files=len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0,
    )


def resident() -> float:
    """Resident memory in MB; 0 where the platform does not tell."""
    told = Path("/proc/self/statm")
    return int(told.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if told.exists() else 0.0
