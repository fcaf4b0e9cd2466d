"""Compares prompts by their content without keeping it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .reading import field

_MOST = 4_000_000
"""The characters of a prompt that are read. That takes ten milliseconds at most."""
_EACH = 200
"""What a value costs of these besides its characters."""
_END = 1_000
"""The characters that are read at both ends of a text that is longer than what is left."""
_DEEPEST = 12

_OF_MESSAGES = ("type", "role", "content", "tool_calls", "tool_call_id", "additional_kwargs")


def digest(messages: Sequence[object]) -> int:
    """Return a number that is equal for prompts of equal content, in this process.

    The latest message is read first, because that is where the calls of one conversation differ. What does not fit into
    the limit counts with its length only, and a long text with its beginning and its end.
    """
    return hash((len(messages), _Reading().all(reversed(messages), _DEEPEST)))


class _Reading:
    """Reads values up to the limit."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _MOST

    def all(self, values: Iterable[object], depth: int) -> int:
        found = 0
        for value in values:
            if self._left <= 0:
                break
            found = hash((found, self._of(value, depth)))
        return found

    def _of(self, value: object, depth: int) -> int:
        self._left -= _EACH
        if isinstance(value, (str, bytes)):
            return self._text(value)
        if value is None or isinstance(value, (int, float)):
            return hash(value)
        if not depth:  # the value may contain itself
            return 0
        if isinstance(value, (dict, Mapping)):
            return hash((len(value), self.all((each for item in value.items() for each in item), depth - 1)))
        if isinstance(value, (list, tuple)):
            return hash((len(value), self.all(value, depth - 1)))
        return hash((type(value).__name__, self.all((field(value, name) for name in _OF_MESSAGES), depth - 1)))

    def _text(self, text: str | bytes) -> int:
        size = len(text)
        is_whole = size <= max(self._left, 2 * _END)
        self._left -= size if is_whole else 2 * _END
        # A string keeps the hash that Python has worked out once.
        return hash(text) if is_whole else hash((size, text[:_END], text[-_END:]))
