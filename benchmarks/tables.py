"""What both pages are made of: Markdown tables, and figures in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .contestants import BASELINES, BY_NAME
from .summary import Figure


def label(contestant: str, variant: str) -> str:
    """A row's name."""
    known = BY_NAME[contestant].label
    return known if contestant in BASELINES and variant == "no content" else f"{known}, {variant}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, numbers to the right."""
    lines = [list(head), ["---", *["---:"] * (len(head) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def figure(found: Figure | None, scale: float = 1e6, digits: int = 1) -> str:
    """A median with its quartiles."""
    if found is None:
        return "–"
    middle, low, high = (f"{value * scale:,.{digits}f}" for value in (found.median, found.low, found.high))
    return f"{middle} ({low}–{high})"


def short(seconds: float) -> str:
    """Microseconds, with a digit behind the point where that says something."""
    return f"{seconds * 1e6:,.1f}" if abs(seconds) < 1e-4 else f"{seconds * 1e6:,.0f}"
