"""The sections that want fresh processes: many streams at a time, what finished runs leave, and imports."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from .contestants import CONTESTANTS, SAME_SPANS, Contestant
from .measuring import Failed, Pool, problem


def crowds(pool: Pool, chosen: frozenset[str], sizes: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """Throughput and memory of many concurrent streams, a row per size and contestant."""
    rows = []
    for streams in sizes:
        tokens = 10 if streams <= 1_000 else 5
        for workload, length in (("throughput", tokens), ("memory", tokens), ("memory", 100)):
            if length == 100 and streams != sizes[0]:
                continue
            # The long and the large ones are slow under `tracemalloc`: they are asked of this package only.
            few = workload == "memory" and (length == 100 or streams > 1_000)
            repeated = workload == "throughput" and streams == sizes[0]
            for done in range(rounds if repeated else 1):
                rows += [
                    {**_asked(pool, each, variant, workload, streams, length), "round": done}
                    for each, variant in _in_crowd(chosen)
                    if pool.has(each.environment) and (not few or each.environment == "own")
                ]
            print(f"crowd: {workload}, {streams} streams of {length} tokens", file=sys.stderr)
    return rows


def history(pool: Pool, chosen: frozenset[str], calls: int) -> list[dict[str, Any]]:
    """What finished runs leave behind."""
    return [
        _asked(pool, each, variant, "history", calls, 0)
        for each, variant in _in_crowd(chosen)
        if pool.has(each.environment)
    ]


def _in_crowd(chosen: frozenset[str]) -> list[tuple[Contestant, str]]:
    # They make their spans the active ones in the scope that they find, which streams at a time share.
    names = chosen.difference(SAME_SPANS)
    found = [each for each in CONTESTANTS if each.only_in is None and each.name in names]
    both = [(each, variant) for each in found if each.name == "own" for variant in ("no content", "content")]
    return [*((each, each.variants[0]) for each in found if each.name != "own"), *both]


def _asked(pool: Pool, each: Contestant, variant: str, workload: str, size: int, tokens: int) -> dict[str, Any]:
    row: dict[str, Any] = {"contestant": each.name, "variant": variant, "workload": workload, "size": size}
    row["tokens"] = tokens
    worker = pool.fresh(each.environment, (each.name, variant))
    try:
        check = worker.ask(do="check", workload="throughput", size=8)  # as many spans as streams, though side by side
        wrong = problem(check, each.name, variant)
        if wrong is not None:
            raise Failed(wrong)
        row.update(worker.ask(do="crowd", workload=workload, size=size, times=tokens, timeout=300.0))
    except Failed as failed:
        row["problem"] = str(failed)
    finally:
        worker.close()
    return row


_TIMED = """
import sys, time
sys.argv = ["-"]
import {beside}
begun = time.perf_counter()
{imports}
print(time.perf_counter() - begun)
"""


_WITH_BYTECODE = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
"""The environment of a process that may write bytecode, as an installation does. Else it would compile each module."""


def imports(pythons: dict[str, Path], chosen: frozenset[str], rounds: int) -> list[dict[str, Any]]:
    """Seconds that importing each contestant takes beside what its users import anyway, in a new process each time."""
    found = [each for each in CONTESTANTS if each.imports and each.name in chosen and each.environment in pythons]
    asked = [(each, beside, statement) for each in found for beside, statement in each.imports]
    rows: dict[tuple[str, str], dict[str, Any]] = {
        (beside, statement): {"contestant": each.name, "import": statement, "beside": beside, "seconds": []}
        for each, beside, statement in asked
    }
    order = random.Random(20)
    for _ in range(rounds + 1):
        order.shuffle(asked)
        for each, beside, statement in asked:
            code = _TIMED.format(beside=beside, imports=statement)
            python = pythons[each.environment]
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, env=_WITH_BYTECODE)
            if done.returncode:
                rows[beside, statement]["problem"] = done.stderr.strip().splitlines()[-1][:200]
            else:
                rows[beside, statement]["seconds"].append(float(done.stdout.split()[-1]))
    for row in rows.values():
        del row["seconds"][:1]  # the first one writes the bytecode
    return list(rows.values())
