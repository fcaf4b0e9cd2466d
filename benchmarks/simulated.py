"""Instructions and cache misses of a call, on a processor that valgrind simulates: no machine's speed is in them.

The section `simulated` needs valgrind on the PATH, and is left out without it.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .contestants import BY_NAME
from .measuring import Failed, Worker
from .sections import Case
from .tables import label, table

CASES: tuple[tuple[Case, str, tuple[str, ...]], ...] = (
    *(
        (case, "no content", ("own", "least", "full", "sentry", "ddtrace"))
        for case in (
            Case("call_invoke", 8, 30, "`invoke`"),
            Case("call_ainvoke", 8, 30, "`ainvoke`"),
            Case("chain", 5, 20, "5-deep chain"),
        )
    ),
    (Case("call_ainvoke", 8, 30, "`ainvoke`, unsampled"), "unsampled", ("own", "bare")),
    (Case("chain", 5, 20, "5-deep chain, unsampled"), "unsampled", ("own", "bare")),
)
"""What is simulated, in which variant, and whose."""

CACHES = {"512 kB": 8, "1 MB": 16}
"""The sizes of the second-level cache, and how many lines a set of it has."""

_SETS, _LINE = 1024, 64
_PATIENCE = 600.0
"""Seconds that a process may take under the simulator, where it is about fifty times slower."""


def simulated(pythons: Mapping[str, Path], quick: bool) -> list[dict[str, Any]]:
    """Simulate all cases: a row per case and contestant, with the instructions and the misses of a call."""
    if shutil.which("valgrind") is None:
        print("simulated: left out, there is no valgrind on the PATH", file=sys.stderr)
        return []
    rows: list[dict[str, Any]] = [
        {"case": case.title, "contestant": name, "variant": variant, "misses": {}}
        for case, variant, names in (CASES[:1] if quick else CASES)
        for name in names
        if BY_NAME[name].environment in pythons and variant in BY_NAME[name].variants
    ]
    cases = {case.title: case for case, _, _ in CASES}
    jobs = [(row, size) for row in rows for size in CACHES]
    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as several:
        for number, (row, size) in enumerate(jobs):
            several.submit(_simulate, row, size, cases[row["case"]], pythons, Path(folder, str(number)))
    return rows


def _simulate(row: dict[str, Any], size: str, case: Case, pythons: Mapping[str, Path], out: Path) -> None:
    key = row["contestant"], row["variant"]
    cache = f"--LL={_SETS * _LINE * CACHES[size]},{CACHES[size]},{_LINE}"
    options = ("--tool=callgrind", "--instr-atstart=no", "--cache-sim=yes", cache, f"--callgrind-out-file={out}")
    worker = Worker(pythons[BY_NAME[key[0]].environment], key, within=("valgrind", "--quiet", *options))
    try:
        worker.ask(timeout=_PATIENCE, do="simulate", workload=case.workload, size=case.size, times=case.times)
        counted = totals(out.with_name(f"{out.name}.1").read_text())
    except (Failed, OSError) as failed:
        row["problem"] = str(failed)
        return
    finally:
        worker.close()
    row["instructions"] = round(counted["Ir"] / case.times)
    row["misses"][size] = round((counted["ILmr"] + counted["DLmr"] + counted["DLmw"]) / case.times)
    print(f"simulated: {row['case']}, {label(*key)}: {row['instructions']:,}, {row['misses']}", file=sys.stderr)


def totals(counted: str) -> dict[str, int]:
    """The sums of all events in a file of callgrind's."""
    said = dict(line.split(":", 1) for line in counted.splitlines() if line.startswith(("events:", "totals:")))
    return dict(zip(said["events"].split(), map(int, said["totals"].split()), strict=True))


def watched(work: Callable[[], object]) -> None:
    """Do it in a process that runs under callgrind, and have what it counts meanwhile written down."""

    def control(*options: str) -> None:
        subprocess.run(["callgrind_control", *options, str(os.getpid())], check=True, capture_output=True)

    for _ in range(3):
        work()  # imports and caches, and what Python specialises
    gc.collect()
    gc.freeze()
    control("--instr=on")
    work()  # the simulated caches are empty at first
    control("--zero")
    work()
    control("--dump")


ABOUT = """## Without the machine's speed

The same calls on a simulated processor. What it counts depends on no machine and on nothing that runs beside. Thousands
of instructions per call, sending included:
"""

ABOUT_MISSES = """And how often a call misses the second-level cache, with one of 512 kB and with one of 1 MB:
"""

AFTER = """The processor of the figures above has a second-level cache of 512 kB per core, as AMD's have before Zen 4.
The code and data of this handler, which checks more than others, do not fit into it beside LangChain's. So both are
fetched again in each call, and it takes longer there than some that execute more. With 1 MB, which newer processors of
servers have, most of these misses are gone. `make bench ARGS="--sections simulated --keep"` counts again, with
valgrind.
"""


def render(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The section of the page."""
    counted = [row for row in rows if "instructions" in row]
    if not counted:
        return
    names = list(dict.fromkeys(row["contestant"] for row in counted))
    cases = list(dict.fromkeys(row["case"] for row in counted))
    of = {(row["case"], row["contestant"]): row for row in counted}
    head = ("", *(label(name, "no content") if name != "own" else BY_NAME[name].label for name in names))
    tables: list[list[list[str]]] = [[], []]
    for case in cases:
        found = [of.get((case, name)) for name in names]
        tables[0].append([case, *("–" if row is None else f"{row['instructions'] / 1e3:,.0f}" for row in found)])
        misses = [None if row is None else [row["misses"].get(size) for size in CACHES] for row in found]
        tables[1].append([case, *("–" if two is None else " / ".join(map(_count, two)) for two in misses)])
    yield ABOUT
    yield table(head, tables[0])
    yield ABOUT_MISSES
    yield table(head, tables[1])
    yield AFTER


def _count(misses: int | None) -> str:
    return "–" if misses is None else f"{misses:,}"
