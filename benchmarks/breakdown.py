"""Where the microseconds of a call go, by step: `--profile` prints it, a normal run stores it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .contestants import BY_NAME
from .measuring import Failed, Pool
from .sections import Case
from .steps import AROUND, ordered

PROFILES: dict[str, Case] = {
    "invoke": Case("call_invoke", 8, 30, "`invoke`"),
    "ainvoke": Case("call_ainvoke", 8, 30, "`ainvoke`"),
    "chain": Case("chain", 5, 20, "5-deep chain", check=5),
    "agent": Case("agent", 1, 10, "agent", check=1),
    "stream": Case("token_astream", 200, 1, "`astream`, per chunk of 200"),
}
"""What can be profiled."""

CONTESTANTS = (("own", "no content"), ("own", "content"), ("full", "no content"), ("none", "no content"))
"""Who is. "No handler" shows what the rows outside of the handler would be without it."""

Line = tuple[str, str, list[tuple[float, float] | None]]
"""Phase, step, and seconds and function calls of each contestant."""


def profile(pool: Pool, names: Iterable[str], turns: int) -> list[dict[str, Any]]:
    """The steps of some workloads: a row per workload and contestant, seconds and function calls per unit.

    The contestants take turns, and of each the turn in which it was fastest is shown: that was disturbed least.
    """
    rows: list[dict[str, Any]] = []
    for name in names:
        of_name = [{"workload": name, "contestant": who, "variant": variant} for who, variant in CONTESTANTS]
        for _ in range(turns):
            for row in of_name:
                _add(pool, row, PROFILES[name])
        rows += of_name
        print(f"profile: {name}", file=sys.stderr)
    return rows


def _add(pool: Pool, row: dict[str, Any], case: Case) -> None:
    worker = pool.worker(BY_NAME[row["contestant"]].environment, (row["contestant"], row["variant"]))
    try:
        found = worker.ask(do="profile", workload=case.workload, size=case.size, times=case.times, rounds=_ROUNDS)
    except Failed as failed:
        row["problem"] = str(failed)
        return
    units = case.size if row["workload"] == "stream" else case.times
    if found["seconds"] / units < row.get("seconds", float("inf")):
        row["seconds"] = float(f"{found['seconds'] / units:.5g}")
        row["steps"] = [
            [phase, step, float(f"{seconds / units:.4g}"), round(calls / units, 2)]
            for phase, step, seconds, calls in found["steps"]
        ]


_ROUNDS = 5
"""Profiles per turn, of which the medians are taken."""


def lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    """The steps of one workload in the order of a call, the small ones left out, and the sum of all.

    Args:
        rows: The rows of the contestants to show side by side.
    """
    found = [{(phase, step): (seconds, calls) for phase, step, seconds, calls in row.get("steps", ())} for row in rows]
    order = list(ordered())
    others = dict.fromkeys(step for each in found for step in each if step not in order)
    for phase, step in [*order[:-1], *others, order[-1]]:
        cells = [each.get((phase, step)) for each in found]
        if any(cell is not None and (cell[0] >= 5e-8 or cell[1] >= 0.5) for cell in cells):
            yield phase, step, cells
    whole: list[tuple[float, float] | None] = [
        (row["seconds"], sum(calls for *_, calls in row["steps"])) if "steps" in row else None for row in rows
    ]
    yield "", "all", whole


def title(phase: str, step: str) -> str:
    """A row's name."""
    return f"{phase}: {step}" if phase and step != AROUND else step


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the steps of each workload as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.width = max(console.width, 130)
    for name in dict.fromkeys(row["workload"] for row in rows):
        shown = [row for row in rows if row["workload"] == name]
        table = Table(title=f"{PROFILES[name].title.replace('`', '')}: µs, and calls of Python functions")
        table.add_column("step", no_wrap=True)
        for row in shown:
            table.add_column(f"{BY_NAME[row['contestant']].label}\n{row['variant']}", justify="right")
            table.add_column("calls", justify="right")
        for phase, step, cells in lines(shown):
            texts = [f"{c[0] * 1e6:,.1f} {c[1]:,.1f}".split() if c is not None else ["", ""] for c in cells]
            table.add_row(title(phase, step), *(text for pair in texts for text in pair))
        console.print(table)
        for row in shown:
            if "problem" in row:
                console.print(f"{row['contestant']}, {row['variant']}: {row['problem']}")
