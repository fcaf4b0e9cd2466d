"""What a call executes: instructions, as valgrind counts them, and bytecodes of Python. No machine's speed is in them.

The section `simulated` counts no instructions without valgrind on the PATH.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType
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
"""What is counted, in which variant, and whose. Sentry's integration works in another thread in async calls; only its
instructions are counted there."""

_PATIENCE = 600.0
"""Seconds that a process may take under the simulator, where it is about fifty times slower."""


def simulated(pythons: Mapping[str, Path], quick: bool) -> list[dict[str, Any]]:
    """Count in all cases: a row per case and contestant, with the instructions and the bytecodes of a call."""
    has_valgrind = shutil.which("valgrind") is not None
    if not has_valgrind:
        print("simulated: instructions are left out, there is no valgrind on the PATH", file=sys.stderr)
    rows: list[dict[str, Any]] = [
        {"case": case.title, "contestant": name, "variant": variant}
        for case, variant, names in (CASES[:1] if quick else CASES)
        for name in names
        if BY_NAME[name].environment in pythons and variant in BY_NAME[name].variants
    ]
    cases = {case.title: case for case, _, _ in CASES}
    with TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as several:
        for number, row in enumerate(rows):
            out = Path(folder, str(number)) if has_valgrind else None
            several.submit(_count, row, cases[row["case"]], pythons, out)
    return rows


def _count(row: dict[str, Any], case: Case, pythons: Mapping[str, Path], out: Path | None) -> None:
    python, key = pythons[BY_NAME[row["contestant"]].environment], (row["contestant"], row["variant"])
    asked: dict[str, Any] = {"timeout": _PATIENCE, "workload": case.workload, "size": case.size}
    try:
        row |= _asked(Worker(python, key), do="bytecodes", times=1, **asked)
        if out is not None:
            options = ("--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}")
            within = ("valgrind", "--quiet", *options)
            _asked(Worker(python, key, within=within), do="simulate", times=case.times, **asked)
            row["instructions"] = round(totals(out.with_name(f"{out.name}.1").read_text())["Ir"] / case.times)
    except (Failed, OSError) as failed:
        row["problem"] = str(failed)
    print(f"simulated: {row}", file=sys.stderr)


def _asked(worker: Worker, **request: Any) -> dict[str, Any]:
    try:
        return worker.ask(**request)
    finally:
        worker.close()


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
    work()
    control("--dump")


def bytecodes(work: Callable[[int], object]) -> dict[str, int]:
    """How many bytecodes one call executes, and how many of them are different ones.

    Args:
        work: Makes so many calls in a request. What the request itself executes is in both of two counts.
    """
    for _ in range(3):
        _executed(
            partial(work, 1)
        )  # from Python 3.12 on, the bytecodes of a function are traced from its second call on
    one, two = _executed(partial(work, 1)), _executed(partial(work, 2))
    more = two - one
    return {"bytecodes": more.total(), "different": len(more)}


def _executed(work: Callable[[], object]) -> Counter[tuple[CodeType, int]]:
    found: Counter[tuple[CodeType, int]] = Counter()

    def seen(frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode":
            found[frame.f_code, frame.f_lasti] += 1
        return seen

    before = sys.gettrace()
    sys.settrace(seen)
    try:
        work()
    finally:
        sys.settrace(before)
    return found


ABOUT = """## Without the machine's speed

What the same calls execute, sending included. Thousands of instructions of the processor per call, as valgrind counts
them:
"""

ABOUT_BYTECODES = """And bytecodes of Python per call, in the caller's thread, and how many of them are different ones:
"""

AFTER = """Sentry's SDK executes few lines many times: for each attribute of each span. This handler executes less in
all, but more different lines, most of them once, because it checks what others do not. What comes for the first time in
a call takes a processor longer than what comes again. So the times above are closer to each other than these numbers,
and in another order. `make bench ARGS="--sections simulated --keep"` counts again.
"""


def render(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The section of the page."""
    counted = [row for row in rows if "bytecodes" in row]
    if not counted:
        return
    names = list(dict.fromkeys(row["contestant"] for row in counted))
    cases = list(dict.fromkeys(row["case"] for row in counted))
    of = {(row["case"], row["contestant"]): row for row in counted}
    head = ("", *(label(name, "no content") if name != "own" else BY_NAME[name].label for name in names))
    instructions, bytecodes = [], []
    for case in cases:
        of_case = [of.get((case, name), {}) for name in names]
        told = [row.get("instructions") for row in of_case]
        instructions.append([case, *("–" if each is None else f"{each / 1e3:,.0f}" for each in told)])
        bytecodes.append([case, *(f"{row['bytecodes']:,} / {row['different']:,}" if row else "–" for row in of_case)])
    yield ABOUT
    yield table(head, instructions)
    yield ABOUT_BYTECODES
    yield table(head, bytecodes)
    yield AFTER
