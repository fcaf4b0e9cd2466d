"""One field, text, id or number of a value that may be anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from math import inf
from typing import Any
from uuid import UUID


def field(thing: Any, name: str) -> Any:
    """A field of a mapping or an object, `None` if it has none or fails to give it."""
    try:
        return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
    except Exception:  # whatever a user's object does, it is not our failure
        return None


def as_id(value: Any) -> str | None:
    """An id as a text: a text, a number, a date or a UUID. What else is in its place may be anything but an id."""
    if isinstance(value, str):
        return value
    is_id = isinstance(value, (date, UUID)) or (isinstance(value, int) and value.bit_length() <= 128)
    return str(value) if is_id else None


def as_text(value: object) -> str | None:
    """A text, or a whole number as one; anything else, and the empty text, is `None`."""
    if isinstance(value, str):
        return value or None
    is_number = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 128
    return str(value) if is_number else None  # Python refuses to spell very large ones


def count(value: object) -> int | None:
    """The one door for numbers: a whole number of tokens, or `None` (bools, negatives, NaN, texts)."""
    if value.__class__ is int:
        return value if value >= 0 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if value >= 0 and value != inf and value == int(value) else None


def str_of(value: object) -> str | None:
    """The text of an object, or `None` if it fails to give one."""
    try:
        return str(value)
    except Exception:  # whatever a user's object does, it is not our failure
        return None


def text_or_type(value: object) -> str:
    """The text of an object, or its type if it fails to give one."""
    text = str_of(value)
    return f"[{type(value).__name__}]" if text is None else text
