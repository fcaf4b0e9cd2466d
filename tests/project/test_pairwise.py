"""The choice of cells that stands for a whole table."""

from __future__ import annotations

from itertools import combinations

import pytest

from tests.kit.pairwise import Cell, pairwise, parameters, table

TABLES = {
    "one axis": table(range(4)),
    "two axes": table(range(3), "ab"),
    "five axes": table(range(9), range(7), range(5), "abc", (True, False)),
    "not hashable": table(({"a": 1}, {"b": 2}), ([], [1]), "abc"),
    "with gaps": table(
        range(8), range(6), "abc", possible=lambda one, two, three: one > two and (two, three) != (1, "b")
    ),
    "nothing": [],
}


def pairs(cells: list[Cell]) -> set[str]:
    """Every pair of values of two axes that is in a cell, as text: values need not be hashable."""
    return {repr(pair) for cell in cells for pair in combinations(enumerate(cell), 2)}


def values(cells: list[Cell]) -> set[str]:
    """Every value of an axis that is in a cell, as text."""
    return {repr(value) for cell in cells for value in enumerate(cell)}


@pytest.mark.parametrize("cells", TABLES.values(), ids=TABLES)
def test_every_pair_of_values_is_chosen(cells: list[Cell]) -> None:
    """Every two values that stand together in the table, and every value, stand in a cell that was chosen."""
    chosen = pairwise(cells)
    assert all(cell in cells for cell in chosen)
    assert pairs(chosen) == pairs(cells)
    assert values(chosen) == values(cells)


def test_few_cells_are_chosen() -> None:
    """The choice is hardly larger than the two longest axes make it, in the table's order, and always the same."""
    cells = TABLES["five axes"]
    chosen = pairwise(cells)
    assert 63 <= len(chosen) < 90 < len(cells) == 1_890
    assert chosen == sorted(chosen, key=cells.index)
    assert chosen == pairwise(cells)


def test_a_cell_is_named_by_its_values() -> None:
    """The ids of tests say which values a cell has."""
    assert [each.id for each in parameters([(len, "a", True), (min, "b", None)])] == ["len-a-yes", "min-b-none"]
