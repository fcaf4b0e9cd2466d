"""The budget of a JSON attribute: every value is added through it, so the attribute cannot exceed its limit."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from itertools import islice
from math import isfinite
from typing import Any, TypeVar

from .._runtime.containment import pass_on
from . import encoded
from .cutting import fitted, mark, size
from .policy import Policy
from .reading import text_or_type

_T = TypeVar("_T")

Path = tuple[str, ...]
"""The keys that lead to a value in a structure. A position in a list is an empty string."""


class Full(Exception):
    """The budget does not suffice for a value."""


class Budget:
    """The number of bytes left for a piece of JSON.

    Every value is counted by its size in JSON, so the JSON of everything that was added fits.

    Args:
        policy: What may be recorded.
        left: The number of bytes of UTF-8. The default is an attribute's limit.
        lean: Whether keys without a value (`None`) are left out, as of the schemas of tools.
    """

    __slots__ = ("lean", "left", "policy")

    def __init__(self, policy: Policy, left: int | None = None, *, lean: bool = False) -> None:
        self.policy = policy
        self.lean = lean
        self.left = policy.limits.attribute if left is None else left

    def frame(self, /, **structure: Any) -> dict[str, Any]:
        """Make a JSON object from structure, not content: types, ids, names. They are not redacted.

        Raises:
            Full: The object does not fit, or would leave too little for anything else.
        """
        framed = {name: self._name(value) if isinstance(value, str) else value for name, value in structure.items()}
        self.take(size(spelled(framed)) + 2, _LEAST)
        return framed

    def take(self, length: int, reserve: int = 0) -> None:
        """Use up `length` bytes.

        Raises:
            Full: Fewer than `length + reserve` bytes are left.
        """
        if self.left < length + reserve:
            raise Full
        self.left -= length

    @contextmanager
    def share(self, allowed: int) -> Iterator[Budget]:
        """Lend out a part of the budget, at most `allowed` bytes. What the part uses is taken from this budget.

        If `Full` is raised inside, nothing is taken from this budget.
        """
        part = Budget(self.policy, allowed, lean=self.lean)
        yield part
        self.left -= allowed - part.left

    def text(self, text: str, reserve: int = 0) -> str | None:
        """Return a text as it may be recorded (see `Policy.text`), also cut to the budget.

        Raises:
            Full: Too few bytes are left. The text has not been read then.
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
        while (length := size(spelled(kept))) > available:  # in JSON a quote or a line end takes two characters
            limit = min(limit * available // length, limit - 1)
            kept = fitted(redacted, limit)
        self.left -= length
        return kept

    def value(self, value: Any, is_content: Callable[[Path], bool] | None = None) -> Any:
        """Convert any value to plain JSON, bounded in depth, items and size. Texts in it become what may be recorded.

        Embeddings are left out, bytes become a placeholder, and an object without a JSON type becomes its fields or
        its text. What does not fit is replaced with a mark.

        Args:
            value: Any value that a user's tool takes or returns.
            is_content: Whether the texts at a path are content. Texts that are not content are not redacted. By default
                all texts are content.

        Raises:
            Full: Too few bytes are left.
        """
        return self._value(value, (), is_content)

    def _value(self, value: Any, path: Path, is_content: Callable[[Path], bool] | None) -> Any:
        # Each enclosing object or list may still need a mark for the rest of it that was cut.
        reserve = _LEAST * (len(path) + 1)
        if self.left < reserve + _LEAST:
            raise Full
        if isinstance(value, str):
            if is_content is not None and not is_content(path):
                return self._counted(self._name(value))
            return self.text(value, reserve)
        if value is None or isinstance(value, bool):
            return self._counted(value)
        if isinstance(value, int):
            # Python refuses to convert very large numbers to a string.
            return self._counted(
                int(value) if value.bit_length() <= 128 else f"[a number of {value.bit_length()} bits]"
            )
        if isinstance(value, float) and isfinite(value):
            return self._counted(float(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._counted(encoded.binary(value))
        if len(path) >= _DEPTH:
            return self._counted(_CUT)
        if self.lean and isinstance(value, Mapping) and "_value_" in value and isinstance(value.get("_name_"), str):
            # langchain-google-genai 4 passes the enum of a type as a mapping of the enum's attributes. The parameters
            # of a tool may have these names, too, but then their values are schemas.
            return self._value(value["_value_"], (*path, ""), is_content)
        entries = _entries(value)
        if entries is not None:
            return self._object(entries, path, is_content)
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            return self._list(value, path, is_content)
        return self.text(text_or_type(value), reserve)

    def _object(self, entries: Iterable[tuple[Any, Any]], path: Path, is_content: Callable[[Path], bool] | None) -> Any:
        found: dict[str, Any] = {}
        self.left -= 4
        for key, each in _unbroken(entries):
            if (isinstance(key, str) and key in _LEFT_OUT) or (each is None and self.lean):
                continue
            name = self._name(text_or_type(key))
            length = size(spelled(name)) + 4
            if len(found) >= _ITEMS or self.left < length + _LEAST * (len(path) + 3):
                found["..."] = self._counted(_CUT)
                self.left -= 8
                break
            self.left -= length
            found[name] = self._value(each, (*path, name), is_content)
        return found

    def _list(self, items: Collection[Any], path: Path, is_content: Callable[[Path], bool] | None) -> Any:
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
            found.append(self._value(each, (*path, ""), is_content))
        return found

    def _counted(self, scalar: Any) -> Any:
        self.left -= size(spelled(scalar)) + 2
        return scalar

    @staticmethod
    def _name(text: str) -> str:
        return text if len(text) <= _NAME and text.isascii() else fitted(text, _NAME)


_NAME = 200  # maximum length of an id, a name or a type
_DEPTH = 16
_ITEMS = 200
_EMBEDDING = 64  # a list of at least this many floats is treated as an embedding
_LEAST = 48  # with fewer bytes left, nothing more is added; a mark is shorter than this
_CUT = "[... cut ...]"
# Large values without use for a human: embeddings, and data that a provider encrypted for itself.
_LEFT_OUT = frozenset({"embedding", "embeddings", "encrypted_content", "thought_signature", "thoughtSignature"})
# Fields of LangChain's messages that are not content.
_NO_CONTENT = frozenset({"additional_kwargs", "response_metadata", "artifact", "usage_metadata"})


def spelled(value: object) -> str:
    """Return a plain value as JSON, without escaping non-ASCII characters."""
    return _JSON.encode(value)


_JSON = json.JSONEncoder(ensure_ascii=False)  # `json.dumps` with this option makes an encoder per call


def _entries(value: Any) -> Iterable[tuple[Any, Any]] | None:
    """Return the entries of a mapping, or the fields in the repr of a dataclass or pydantic model, else `None`."""
    if isinstance(value, Mapping):
        return _items(value)
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        return _fields(value, [field.name for field in fields(value) if field.repr])
    models = getattr(type(value), "model_fields", None)
    if isinstance(models, Mapping):
        shown = [name for name, field in models.items() if not field.exclude and field.repr and name not in _NO_CONTENT]
        return _fields(value, shown)
    return None


def _items(value: Mapping[Any, Any]) -> Iterator[tuple[Any, Any]]:
    yield from value.items()


def _fields(value: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        yield name, getattr(value, name, None)


def _unbroken(items: Iterable[_T]) -> Iterator[_T]:
    """Yield the items until reading them fails. Another thread may be changing the collection."""
    try:
        yield from items
    except Exception as error:  # for example "changed size during iteration"
        pass_on(error)
        return
