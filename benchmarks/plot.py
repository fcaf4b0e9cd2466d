"""Draws what each contestant adds per token, per call and per tree of runs: in this run, and in the last runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .contestants import BASELINES, BY_NAME
from .earlier import WORKLOADS, summary
from .summary import Figure, Results

_PANELS = (
    ("token", "token_astream/1000", "per token, astream"),
    ("token", "token_stream/1000", "per token, stream"),
    ("call", "call_ainvoke/8", "per ainvoke"),
    ("tree", "chain/5", "per 5-deep chain"),
)


def draw(found: Results, path: Path) -> None:
    """Bars of the medians with the quartiles, on a logarithmic scale, in µs above no handler."""
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks"})
    figure, axes = plt.subplots(1, len(_PANELS), figsize=(14, 4), sharey=True, layout="constrained")
    names = [name for name, each in BY_NAME.items() if name != "none"][::-1]
    for axis, (section, case, title) in zip(axes, _PANELS, strict=True):
        for place, name in enumerate(names):
            added = _first(found, section, case, name)
            if added is None or added.median <= 0:
                continue
            low, high = (abs(each - added.median) * 1e6 for each in (added.low, added.high))
            color = "#c2410c" if name == "own" else "#94a3b8" if name in BASELINES else "#475569"
            axis.barh(place, added.median * 1e6, color=color)
            axis.errorbar(added.median * 1e6, place, xerr=[[low], [high]], color="black", linewidth=1)
        axis.set_xscale("log")
        axis.set_title(title)
        axis.set_xlabel("µs above no handler")
        axis.set_yticks(range(len(names)), [BY_NAME[name].label for name in names])
    # No date inside: the picture changes when the numbers do.
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _first(found: Results, section: str, case: str, name: str) -> Figure | None:
    shown = (found.added(section, case, name, variant) for variant in BY_NAME[name].variants[:1])
    return next(shown, None)


def draw_runs(results: Mapping[str, Any], path: Path) -> None:
    """A line per contestant over the last runs, a panel per workload."""
    runs = [*results.get("earlier", ()), summary(results)]
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks"})
    figure, axes = plt.subplots(1, len(WORKLOADS), figsize=(14, 2.8), layout="constrained")
    days = [f"{place}. {run['date'][5:]}" for place, run in enumerate(runs, 1)]
    for axis, title in zip(axes, WORKLOADS, strict=True):
        for name, (color, width) in _LINES.items():
            values = [run["added"].get(title, {}).get(name) for run in runs]
            if any(value is not None for value in values):
                heights = [float("nan") if value is None else value for value in values]
                axis.plot(days, heights, color=color, linewidth=width, marker="o", label=BY_NAME[name].label)
        axis.set_title(title)
        axis.set_ylim(bottom=0)
        axis.tick_params(axis="x", labelrotation=45)
    axes[0].set_ylabel("µs above no handler")
    handles, labels = axes[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(_LINES))
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


_LINES = {
    "own": ("#c2410c", 2.5),
    "full": ("#94a3b8", 1.5),
    "sentry": ("#475569", 1.5),
    "openllmetry": ("#0f766e", 1.5),
}
"""Who is drawn, in which color and width."""
