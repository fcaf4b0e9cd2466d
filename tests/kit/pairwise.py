"""Few cells of a table of many axes, in which every two values that can meet do meet.

A fault that shows in one value, or in two values together, shows in these cells too. A table of five axes has thousands
of cells, and this choice of them about as many as its two longest axes have pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush
from itertools import combinations, product
from typing import Any

import pytest

Cell = tuple[Any, ...]


def table(*axes: Iterable[Any], possible: Callable[..., bool] = lambda *values: True) -> list[Cell]:
    """All cells of a table.

    Args:
        axes: The values of each axis.
        possible: Whether values can stand together; it is called with one of each axis.
    """
    return [cell for cell in product(*axes) if possible(*cell)]


def pairwise(cells: Iterable[Cell]) -> list[Cell]:
    """Some of these cells, in their order: every pair of values that is in any of them is in one that was chosen.

    The choice is the same in every run. It is greedy: next comes the cell with most pairs that are not there yet.
    """
    every = list(cells)
    pairs = [_pairs(cell) for cell in _numbered(every)]
    missing = set().union(*pairs)
    heap = [(-len(each), index) for index, each in enumerate(pairs)]
    heapify(heap)
    chosen = []
    while missing:
        promised, index = heappop(heap)
        new = len(pairs[index] & missing)
        if new == -promised:
            chosen.append(index)
            missing -= pairs[index]
        elif new:
            heappush(heap, (-new, index))
    return [every[index] for index in sorted(chosen)]


def parameters(cells: Iterable[Cell]) -> list[Any]:
    """The cells for `pytest.mark.parametrize`, each with its values' names as its id."""
    return [pytest.param(*cell, id="-".join(map(_name, cell))) for cell in cells]


def in_pairs(**axes: Iterable[Any]) -> pytest.MarkDecorator:
    """Run a test with some of all combinations of its parameters, so that every two values meet."""
    return pytest.mark.parametrize(tuple(axes), parameters(pairwise(table(*axes.values()))))


def _numbered(cells: Sequence[Cell]) -> Iterable[Cell]:
    """The cells with a number for each value, as values need not be hashable."""
    known: dict[int, list[Any]] = {}

    def number(axis: int, value: Any) -> int:
        values = known.setdefault(axis, [])
        for index, each in enumerate(values):
            if each is value or each == value:
                return index
        values.append(value)
        return len(values) - 1

    return [tuple(number(axis, value) for axis, value in enumerate(cell)) for cell in cells]


def _pairs(cell: Cell) -> set[tuple[Any, Any]]:
    """The pairs of values in a cell, each value with its axis. A cell of one value is a pair with itself."""
    values = list(enumerate(cell))
    return set(combinations(values, 2)) or {(each, each) for each in values}


def _name(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return getattr(value, "__name__", None) or str(value)
