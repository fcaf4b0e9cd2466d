"""From samples to figures. Samples of one round belong together: they were taken moments apart."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A median, and the quartiles beside it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure | None:
        """The figure of some values, or `None` if there are none."""
        if not values:
            return None
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)

    def inverse(self) -> Figure:
        """The same of the values' reciprocals: of seconds per chunk, chunks per second."""
        return Figure(1 / self.median, 1 / self.high, 1 / self.low)


def added(values: Sequence[float], baseline: Sequence[float]) -> Figure | None:
    """What is added to the baseline: the differences of each round."""
    return _paired(values, baseline, lambda value, base: value - base)


def ratio(values: Sequence[float], baseline: Sequence[float]) -> Figure | None:
    """How many times the baseline: the ratios of each round."""
    return _paired(values, baseline, lambda value, base: value / base)


def _paired(values: Sequence[float], baseline: Sequence[float], of: Callable[[float, float], float]) -> Figure | None:
    if not values or len(values) != len(baseline):
        return None
    return Figure.of([of(value, base) for value, base in zip(values, baseline, strict=True)])


class Results:
    """The rows of `results.json`, by what they are about."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._rows = {(row["section"], row["case"], row["contestant"], row["variant"]): row for row in rows}

    def row(self, section: str, case: str, contestant: str, variant: str = "no content") -> dict[str, Any] | None:
        """One row, if it was measured."""
        return self._rows.get((section, case, contestant, variant))

    def values(self, section: str, case: str, contestant: str, variant: str, name: str = "per_unit") -> list[float]:
        """The samples of a row; none if its spans were wrong."""
        row = self.row(section, case, contestant, variant)
        return [] if row is None or row.get("problem") else list(row.get(name, ()))

    def added(self, section: str, case: str, contestant: str, variant: str, name: str = "per_unit") -> Figure | None:
        """What a contestant adds to no handler, in seconds."""
        return added(
            self.values(section, case, contestant, variant, name),
            self.values(section, case, "none", "no content", name),
        )

    def ratio(
        self, section: str, case: str, contestant: str, variant: str, to: str = "empty", name: str = "per_unit"
    ) -> Figure | None:
        """How many times as long everything takes with a contestant as with another one."""
        return ratio(
            self.values(section, case, contestant, variant, name), self.values(section, case, to, "no content", name)
        )

    def tells_tokens(self, section: str, case: str, contestant: str, variant: str = "no content") -> bool:
        """Whether the spans of a contestant say how many tokens a call took."""
        row = self.row(section, case, contestant, variant)
        return row is not None and bool(row.get("check", {}).get("tokens"))

    def problems(self) -> list[dict[str, Any]]:
        """The rows that were not timed."""
        return [row for row in self._rows.values() if row.get("problem")]

    def pairs(self, section: str) -> list[tuple[str, str]]:
        """The contestants and variants of a section, in the order in which they were measured."""
        return list(dict.fromkeys(key[2:] for key in self._rows if key[0] == section))
