"""`python -m benchmarks`: measure, and write `benchmarks/results.json`, `docs/performance.md`, `docs/benchmarks.md`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import details, report
from .breakdown import PROFILES, profile, show
from .contestants import BASELINES, BY_NAME
from .crowds import crowds, history, imports
from .earlier import after
from .environments import ROOT, prepare, told_versions
from .measuring import Pool, measure
from .pairs import pairs
from .plot import draw, draw_runs
from .production import QUICK, Load, production
from .sections import CROWD_SECTIONS, NAMES, SECTIONS
from .simulated import simulated
from .summary import Results

_ALWAYS = BASELINES | {"own", "unprepared"}


def main() -> None:
    """Parse the command line and do it."""
    asked = _arguments()
    if asked.profile:
        _show_profile(asked)
        return
    stored = asked.results
    if not asked.report:
        before = json.loads(stored.read_text()) if stored.is_file() else {}
        measured = _measured(asked)
        measured = merged(before, measured) if asked.keep else {**measured, "earlier": after(before)}
        stored.write_text(json.dumps(measured, indent=1) + "\n")
    write(json.loads(stored.read_text()), asked.page)
    print(f"wrote {asked.page} and {stored}", file=sys.stderr)


def write(results: dict[str, Any], page: Path) -> None:
    """Write the page, the page of the details beside it, and their pictures."""
    page.write_text(report.render(results))
    page.with_name("benchmarks.md").write_text(details.render(results))
    draw(Results(results["samples"]), page.with_suffix(".svg"))
    if results.get("earlier"):
        draw_runs(results, page.with_name(f"{page.stem}-runs.svg"))


def merged(before: dict[str, Any], again: dict[str, Any]) -> dict[str, Any]:
    """Stored results with some sections measured again. The page tells which run that was."""
    sections = {row["section"] for row in again["samples"]}
    kept = [row for row in before["samples"] if row["section"] not in sections]
    rest = {name: again[name] for name in CROWD_SECTIONS if name in again}
    how = f"with `{again['command']}`"
    runs = [run for run in before.get("again", ()) if not run.endswith(how)]  # of those nothing is left
    runs.append(f"on {again['date']} {how}")
    return {**before, **rest, "samples": [*kept, *again["samples"]], "again": runs}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure what the handler costs.")
    parser.add_argument("--quick", action="store_true", help="few rounds and small crowds, to see that it works")
    parser.add_argument("--rounds", type=int, help="samples per case (9; quick: 2)")
    parser.add_argument("--sections", nargs="+", choices=NAMES, default=NAMES, metavar="SECTION", help=", ".join(NAMES))
    parser.add_argument("--peers", nargs="*", choices=BY_NAME, metavar="PEER", help="instead of all peers")
    parser.add_argument("--crowds", nargs="+", type=int, default=[1_000, 10_000], metavar="N", help="streams at a time")
    parser.add_argument("--keep", action="store_true", help="keep the stored results of the other sections")
    parser.add_argument("--report", action="store_true", help="only write the pages again, from stored results")
    parser.add_argument(
        "--profile",
        nargs="+",
        choices=PROFILES,
        metavar="WORKLOAD",
        help=f"only print where the microseconds of a call go, by step: {', '.join(PROFILES)}",
    )
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results.json")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (2 if asked.quick else 9)
    return asked


def _show_profile(asked: argparse.Namespace) -> None:
    pythons, missing = prepare(frozenset({"own"}))
    if missing:
        sys.exit(f"could not be installed: {missing}")
    with Pool(pythons) as pool:
        show(profile(pool, asked.profile, 1 if asked.quick else 4))


def _measured(asked: argparse.Namespace) -> dict[str, Any]:
    chosen = frozenset(BY_NAME) if asked.peers is None else _ALWAYS | frozenset(asked.peers)
    pythons, missing = prepare(chosen)
    results: dict[str, Any] = {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "rounds": asked.rounds,
        "quick": asked.quick,
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
        if "pairs" in asked.sections:
            results["pairs"] = pairs(pool, Pool(pythons), asked.quick)
        if "profile" in asked.sections:
            results["profile"] = profile(pool, PROFILES, 1 if asked.quick else 4)
    fresh, quick = Pool(pythons), asked.quick
    few = chosen & _ALWAYS if quick and asked.peers is None else chosen
    if "crowd" in asked.sections:
        results["crowd"] = crowds(fresh, few, (100,) if quick else asked.crowds, 1 if quick else 2)
    if "history" in asked.sections:
        results["history"] = history(fresh, few, 200 if quick else 2_000)
    if "import" in asked.sections:
        results["import"] = imports(pythons, few, 1 if quick else min(asked.rounds, 5))
    if "production" in asked.sections:
        results["production"] = production(pythons, chosen, QUICK if quick else Load())
    if "simulated" in asked.sections:
        results["simulated"] = simulated(pythons, quick)
    return results


if __name__ == "__main__":
    main()
