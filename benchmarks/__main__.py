"""`python -m benchmarks`: measure, and write `benchmarks/results.json` and `docs/performance.md`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .contestants import BY_NAME
from .crowds import crowds, history, imports
from .environments import ROOT, prepare, told_versions
from .measuring import Pool, measure
from .plot import draw
from .report import render
from .sections import CROWD_SECTIONS, NAMES, SECTIONS
from .summary import Results

_ALWAYS = frozenset({"none", "empty", "bare", "full", "own", "unprepared"})


def main() -> None:
    """Parse the command line and do it."""
    asked = _arguments()
    stored = asked.results
    if not asked.report:
        measured = _measured(asked)
        if asked.keep:
            measured = merged(json.loads(stored.read_text()), measured)
        stored.write_text(json.dumps(measured, indent=1) + "\n")
    results = json.loads(stored.read_text())
    asked.page.write_text(render(results))
    draw(Results(results["samples"]), asked.page.with_suffix(".svg"))
    print(f"wrote {asked.page} and {stored}", file=sys.stderr)


def merged(before: dict[str, Any], again: dict[str, Any]) -> dict[str, Any]:
    """Stored results with some sections measured again. The page tells which run that was."""
    sections = {row["section"] for row in again["samples"]}
    kept = [row for row in before["samples"] if row["section"] not in sections]
    rest = {name: again[name] for name in CROWD_SECTIONS if name in again}
    runs = [*before.get("again", ()), f"on {again['date']} with `{again['command']}`"]
    return {**before, **rest, "samples": [*kept, *again["samples"]], "again": runs}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the handler costs.")
    parser.add_argument("--quick", action="store_true", help="few rounds and small crowds, to see that it works")
    parser.add_argument("--rounds", type=int, help="samples per case (9; quick: 2)")
    parser.add_argument("--sections", nargs="+", choices=NAMES, default=NAMES, metavar="SECTION", help=", ".join(NAMES))
    parser.add_argument("--peers", nargs="*", choices=BY_NAME, metavar="PEER", help="instead of all peers")
    parser.add_argument("--keep", action="store_true", help="keep the stored results of the other sections")
    parser.add_argument("--report", action="store_true", help="only write the page again, from stored results")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (2 if asked.quick else 9)
    return asked


def _measured(asked: argparse.Namespace) -> dict[str, Any]:
    chosen = frozenset(BY_NAME) if asked.peers is None else _ALWAYS | frozenset(asked.peers)
    pythons, missing = prepare(chosen)
    results: dict[str, Any] = {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "rounds": asked.rounds,
        "machine": f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores",
        "versions": told_versions(pythons),
        "missing": missing,
        "samples": [],
    }
    with Pool(pythons) as pool:
        for section in SECTIONS:
            if section.name in asked.sections:
                rounds = max(2, asked.rounds // 2) if section.name == "growth" else asked.rounds
                results["samples"] += measure(pool, section, chosen, rounds, asked.quick)
    fresh, quick = Pool(pythons), asked.quick
    few = chosen & _ALWAYS if quick else chosen
    if "crowd" in asked.sections:
        results["crowd"] = crowds(fresh, few, (100,) if quick else (1_000, 10_000), 1 if quick else 2)
    if "history" in asked.sections:
        results["history"] = history(fresh, few, 200 if quick else 2_000)
    if "import" in asked.sections:
        results["import"] = imports(pythons, few, 1 if quick else min(asked.rounds, 5))
    return results


if __name__ == "__main__":
    main()
