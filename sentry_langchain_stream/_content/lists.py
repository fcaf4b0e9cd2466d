"""Makes lists within a limit. Items that do not fit are not read; a mark states how many are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from .budget import Budget, Full, spelled
from .cutting import mark, size
from .policy import Policy

T = TypeVar("T")
Part = dict[str, Any]
"""A part of a message, as defined by the conventions."""

MARK = 140
"""The maximum length of a mark in place of what was cut."""


def json_list(
    items: Sequence[T],
    entry: Callable[[T, Budget], dict[str, Any] | str],
    replacing: Callable[[Sequence[T]], dict[str, Any] | str],
    policy: Policy,
    *,
    shortcut: Callable[[T, int], str | None] | None = None,
    latest_first: bool = False,
    always: int | None = None,
) -> str:
    """Return a JSON list no longer than an attribute's limit.

    Args:
        items: The items to list.
        entry: Converts an item to an entry.
        replacing: Makes the entry that replaces items that were cut.
        policy: What may be recorded.
        shortcut: Makes the JSON of an item that is simple, given how many bytes it may have, or returns `None`.
        latest_first: Keep the last items rather than the first ones.
        always: The index of an item that is always kept. It gets at most half of the budget.
    """
    left = policy.limits.attribute - 2 - 2 * MARK
    order: Iterable[int] = range(len(items) - 1, -1, -1) if latest_first else range(len(items))
    kept: dict[int, str] = {}
    try:
        for index in order if always is None else (always, *order):
            if index not in kept:
                room = left // 2 if index == always and len(items) > 1 else left
                made = None if shortcut is None else shortcut(items[index], room)
                kept[index] = spelled(entry(items[index], Budget(policy, room))) if made is None else made
                left -= size(kept[index]) + 2
    except Full:
        pass
    if len(kept) == len(items):
        return f"[{', '.join([kept[index] for index in range(len(items))])}]"
    entries: list[str] = []
    previous = -1
    for index in (*sorted(kept), len(items)):
        if index > previous + 1:
            entries.append(spelled(replacing(items[previous + 1 : index])))
        if index < len(items):
            entries.append(kept[index])
        previous = index
    return f"[{', '.join(entries)}]"


def both_ends(items: Sequence[T], parts: Callable[[T, Budget], Iterable[Part]], budget: Budget) -> list[Part]:
    """Return the parts of the items, added from both ends inwards while the budget lasts. A mark replaces the middle.

    Each item gets at most half of what is left, except the last one to be added. So a long beginning leaves some of the
    budget for the end.

    Args:
        items: The items to convert to parts.
        parts: Makes the parts of an item.
        budget: The budget for all of them.

    Raises:
        Full: There is only one item, and the budget does not suffice for it.
    """
    count = len(items)
    reserve = MARK if count > 1 else 0
    budget.take(reserve)
    kept: dict[int, list[Part]] = {}
    try:
        for turn in range(count):
            index = count - 1 - turn // 2 if turn % 2 else turn // 2
            with budget.share(budget.left if turn == count - 1 else budget.left // 2) as share:
                kept[index] = list(parts(items[index], share))
    except Full:
        if count == 1:
            raise
    if len(kept) == count:
        budget.left += reserve
        return [part for index in range(count) for part in kept[index]]
    begun = (len(kept) + 1) // 2
    missing = {"type": "text", "content": mark(count - len(kept), "parts")}
    beginning = [part for index in range(begun) for part in kept[index]]
    return [*beginning, missing, *(part for index in sorted(kept) if index >= begun for part in kept[index])]
