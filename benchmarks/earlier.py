"""What is kept of earlier runs: the medians of the first tables, so that a page can show how they went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .contestants import BY_NAME
from .summary import Results

WORKLOADS: dict[str, tuple[str, str]] = {
    "per token, astream": ("token", "token_astream/1000"),
    "per invoke": ("call", "call_invoke/8"),
    "per ainvoke": ("call", "call_ainvoke/8"),
    "5-deep chain": ("tree", "chain/5"),
    "agent": ("tree", "agent/1"),
}
"""Section and case of each workload."""

LONGEST = 5
"""How many runs are shown, the latest included."""


def summary(results: Mapping[str, Any]) -> dict[str, Any]:
    """The medians of a run: microseconds added, by workload and contestant."""
    found = Results(results.get("samples", ()))
    added: dict[str, dict[str, float]] = {}
    for title, (section, case) in WORKLOADS.items():
        figures = {name: found.added(section, case, name, each.variants[0]) for name, each in BY_NAME.items()}
        medians = {name: round(each.median * 1e6, 1) for name, each in figures.items() if each is not None}
        medians.pop("none", None)
        if medians:
            added[title] = medians
    return {"date": results["date"], "command": results["command"], "added": added}


def after(stored: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The earlier runs of a run that replaces the stored one. Quick runs are not worth keeping."""
    runs = list(stored.get("earlier", ()))
    if stored.get("samples") and not stored.get("quick"):
        runs.append(summary(stored))
    return runs[-(LONGEST - 1) :]
