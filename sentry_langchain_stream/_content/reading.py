"""Reads a field, text, id or number from a value of unknown type."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any
from uuid import UUID

from .._runtime.containment import pass_on


def field(thing: Any, name: str) -> Any:
    """Return a field of a mapping or an object, or `None` if it is missing or reading it fails."""
    try:
        return thing.get(name) if isinstance(thing, (dict, Mapping)) else getattr(thing, name, None)
    except Exception as error:  # the user's object raised, which is not our failure
        pass_on(error)
        return None


def as_mapping(value: Any) -> Any:
    """Return an object of a client library as a mapping, and what is in it likewise. Any other value as it is.

    Pydantic objects, dataclasses and plain objects with fields become mappings of their fields that have a value.
    """
    return _as_mapping(value, 4)


def _as_mapping(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, int, float, bytes)) or not depth:
        return value
    if isinstance(value, Mapping):
        return {name: _as_mapping(each, depth - 1) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_mapping(each, depth - 1) for each in value]
    if isinstance(value, type):
        return value
    try:
        found = dumped(value)
    except Exception as error:  # not such an object, or it raised, which is not our failure
        pass_on(error)
        return value
    return {name: _as_mapping(each, depth - 1) for name, each in found.items() if each is not None}


def dumped(value: Any) -> Mapping[str, Any]:
    """Return the fields of a pydantic object that have a value, or those of any other object."""
    dump = getattr(value, "model_dump", None)
    if not callable(dump):
        return dict(vars(value))
    try:
        found = dump(exclude_none=True, warnings=False)  # a field of another type is no reason to warn the user
    except TypeError:  # not pydantic's method
        found = dump()
    return found if isinstance(found, Mapping) else {}


def as_id(value: Any) -> str | None:
    """Return an id as text if it is a string, a number, a date or a UUID. Any other value is not an id."""
    if isinstance(value, str):
        return value
    is_id = isinstance(value, (date, UUID)) or (isinstance(value, int) and value.bit_length() <= 128)
    return str(value) if is_id else None


def as_text(value: object) -> str | None:
    """Return a string, or an `int` as a string. Return `None` for anything else and for the empty string."""
    if type(value) is str:  # most often
        return value or None
    if isinstance(value, str):
        return str.__str__(value) or None  # a record must not keep the application's object
    is_number = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 128
    return str(value) if is_number else None  # Python refuses to convert very large numbers


def count(value: object) -> int | None:
    """Return a whole number of tokens, or `None` for bools, negative numbers, NaN, strings and anything else.

    A number beyond 2**53 is no number of tokens: Sentry cannot store it, and very large ones cannot be written as JSON.
    """
    if value.__class__ is int:
        return value if 0 <= value <= MOST else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= MOST and value == int(value) else None


MOST = 2**53
"""The largest number of tokens."""


def str_of(value: object) -> str | None:
    """Return `str(value)`, or `None` if that raises."""
    try:
        return str(value)
    except Exception as error:  # the user's object raised, which is not our failure
        pass_on(error)
        return None


def text_or_type(value: object) -> str:
    """Return `str(value)`, or the name of its type if that raises."""
    text = str_of(value)
    return f"[{type(value).__name__}]" if text is None else text
