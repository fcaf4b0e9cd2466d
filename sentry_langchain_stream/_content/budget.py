"""The room for a piece of JSON: whatever is recorded gets into it through here, and so keeps to its limit."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from itertools import islice
from math import isfinite
from typing import Any, TypeVar

from . import media
from .cutting import fitted, mark
from .policy import Policy
from .reading import text_or_type

_T = TypeVar("_T")

Path = tuple[str, ...]
"""The names above a value in a structure; a place in a list is an empty one."""


class Full(Exception):
    """There is no room for what was to be recorded."""


class Budget:
    """The characters that are left for a piece of JSON, and the only way for anything to get into it.

    What is taken is counted as it will be spelled in JSON, so what went through here always fits.

    Args:
        policy: What may be recorded.
        left: How many characters there are; an attribute's limit if not told.
    """

    __slots__ = ("left", "policy")

    def __init__(self, policy: Policy, left: int | None = None) -> None:
        self.policy = policy
        self.left = policy.limits.attribute if left is None else left

    def frame(self, /, **structure: Any) -> dict[str, Any]:
        """A JSON object of what is structure, not content: types, ids, names. They are not redacted.

        Raises:
            Full: It does not fit, or nothing else would.
        """
        told = {name: self._name(value) if isinstance(value, str) else value for name, value in structure.items()}
        self.take(len(spelled(told)) + 2, _LEAST)
        return told

    def take(self, length: int, besides: int = 0) -> None:
        """Use up so many characters.

        Raises:
            Full: There are not as many left, and those that are needed besides.
        """
        if self.left < length + besides:
            raise Full
        self.left -= length

    @contextmanager
    def share(self, allowed: int) -> Iterator[Budget]:
        """A part of the budget, of at most `allowed` characters. What is taken from it is taken from the whole.

        If it does not suffice, and `Full` is raised, nothing has been taken.
        """
        part = Budget(self.policy, allowed)
        yield part
        self.left -= allowed - part.left

    def text(self, text: str, reserve: int = 0) -> str | None:
        """A piece of text as it may be kept, see `Policy.text`, cut to the room as well.

        Raises:
            Full: There is no room worth speaking of. Then the text was not looked at.
        """
        available = self.left - reserve
        if available < _LEAST:
            raise Full
        redacted = self.policy.redacted(text)
        if redacted is None:
            self.left -= len("null, ")
            return None
        limit = min(self.policy.limits.part, available - 2)
        kept = fitted(redacted, limit)
        while (length := len(spelled(kept))) > available:  # quotes and line ends take two characters
            limit = min(limit * available // length, limit - 1)
            kept = fitted(redacted, limit)
        self.left -= length
        return kept

    def value(self, value: Any, spoken: Callable[[Path], bool] | None = None) -> Any:
        """Any value as plain JSON: bounded in depth, in items and in size, and every text in it as it may be kept.

        Embeddings are left out, bytes become a placeholder, an object that JSON has no type for becomes its fields
        or its text. What would not fit is cut, and that is said in place of it.

        Args:
            value: Whatever a user's tool takes or returns.
            spoken: Whether the texts at a path are content; those that are not are not redacted. All are, if not told.

        Raises:
            Full: There is no room worth speaking of.
        """
        return self._value(value, (), spoken)

    def _value(self, value: Any, path: Path, spoken: Callable[[Path], bool] | None) -> Any:
        # What is around this value may still have to say that the rest of it was cut.
        reserve = _LEAST * (len(path) + 1)
        if self.left < reserve + _LEAST:
            raise Full
        if isinstance(value, str):
            if spoken is not None and not spoken(path):
                return self._counted(self._name(value))
            return self.text(value, reserve)
        if value is None or isinstance(value, bool):
            return self._counted(value)
        if isinstance(value, int):
            # Python refuses to spell very large numbers.
            return self._counted(
                int(value) if value.bit_length() <= 128 else f"[a number of {value.bit_length()} bits]"
            )
        if isinstance(value, float) and isfinite(value):
            return self._counted(float(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._counted(media.binary(value))
        if len(path) >= _DEPTH:
            return self._counted(_CUT)
        entries = _entries(value)
        if entries is not None:
            return self._object(entries, path, spoken)
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            return self._list(value, path, spoken)
        return self.text(text_or_type(value), reserve)

    def _object(self, entries: Iterable[tuple[Any, Any]], path: Path, spoken: Callable[[Path], bool] | None) -> Any:
        found: dict[str, Any] = {}
        self.left -= 4
        for key, each in _unbroken(entries):
            if isinstance(key, str) and key in _LEFT_OUT:
                continue
            name = self._name(text_or_type(key))
            length = len(spelled(name)) + 4
            if len(found) >= _ITEMS or self.left < length + _LEAST * (len(path) + 3):
                found["..."] = self._counted(_CUT)
                self.left -= 8
                break
            self.left -= length
            found[name] = self._value(each, (*path, name), spoken)
        return found

    def _list(self, items: Collection[Any], path: Path, spoken: Callable[[Path], bool] | None) -> Any:
        count = len(items)
        if count >= _EMBEDDING and all(isinstance(each, float) for each in islice(items, 8)):
            return self._counted(f"[{count} numbers left out]")
        found: list[Any] = []
        self.left -= 4
        for each in _unbroken(items):
            if len(found) >= _ITEMS or self.left < _LEAST * (len(path) + 3) + 2:
                found.append(self._counted(mark(count - len(found), "items")))
                break
            self.left -= 2
            found.append(self._value(each, (*path, ""), spoken))
        return found

    def _counted(self, scalar: Any) -> Any:
        self.left -= len(spelled(scalar)) + 2
        return scalar

    @staticmethod
    def _name(text: str) -> str:
        return text if len(text) <= _NAME and text.isascii() else fitted(text, _NAME)


_NAME = 200  # characters of an id, a name or a type
_DEPTH = 16
_ITEMS = 200
_EMBEDDING = 64  # as many floats are no argument, but an embedding
_LEAST = 48  # characters below which there is no use in going on; a mark is shorter
_CUT = "[... cut ...]"
# What may be large and is nothing to read: embeddings, and what a provider has encrypted for itself.
_LEFT_OUT = frozenset({"embedding", "embeddings", "encrypted_content", "thought_signature", "thoughtSignature"})
# Fields of LangChain's messages that are not what anybody said.
_UNSAID = frozenset({"additional_kwargs", "response_metadata", "artifact", "usage_metadata"})


def spelled(value: object) -> str:
    """A plain value as JSON, in its own script."""
    return _JSON.encode(value)


_JSON = json.JSONEncoder(ensure_ascii=False)  # `json.dumps` would make one per call


def _entries(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """The entries of a mapping, or the fields of a dataclass or a pydantic model that it shows itself."""
    if isinstance(value, Mapping):
        return _items(value)
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return _fields(value, [field.name for field in fields(value) if field.repr])
    models = getattr(type(value), "model_fields", None)
    if isinstance(models, Mapping):
        shown = [name for name, field in models.items() if not field.exclude and field.repr and name not in _UNSAID]
        return _fields(value, shown)
    return None


def _items(value: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    yield from value.items()


def _fields(value: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        yield name, getattr(value, name, None)


def _unbroken(items: Iterable[_T]) -> Iterator[_T]:
    """The items up to where they cannot be read any further: another thread may be changing them."""
    try:
        yield from items
    except Exception:  # as above
        return
