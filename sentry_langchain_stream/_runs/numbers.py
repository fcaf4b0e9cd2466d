"""The numbers of runs, by which tables know them: to hash a `UUID`, Python calls a function each time."""

from __future__ import annotations

from typing import Any, NewType
from uuid import UUID

Number = NewType("Number", int)
"""The number of a run's id."""


def number(id: UUID) -> Number:
    """Return the number of a run's id. What is no `UUID` stands for itself, because LangChain lets any id pass."""
    found: Any = getattr(id, "int", id)
    return found  # type: ignore[no-any-return]
