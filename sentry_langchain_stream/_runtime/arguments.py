"""Checks of arguments: what is wrong is refused with an error that names the argument and what is allowed."""

from __future__ import annotations


def check_text(name: str, value: object) -> None:
    """Refuse a value that is no text, or an empty one.

    Args:
        name: The name of the argument.
        value: Its value.

    Raises:
        TypeError: The value is no `str`.
        ValueError: It is empty, or has nothing but whitespace.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not value.strip():
        raise ValueError(f"{name} must not be empty")


def check_optional_text(name: str, value: object) -> None:
    """Refuse a value that is neither a text nor `None`, with a `TypeError`."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")


def check_callable(name: str, value: object) -> None:
    """Refuse a value that is neither a function of a text nor `None`, with a `TypeError`."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a callable that takes a str, or None, not {type(value).__name__}")
