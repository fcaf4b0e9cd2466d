"""Draws `docs/performance.svg`: what each contestant adds per token, per call and per tree of runs."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from .contestants import BASELINES, BY_NAME
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
