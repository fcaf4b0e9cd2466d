"""What of a run's content may be recorded and how much of it, decided once per run, before anything is kept."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import islice
from math import isfinite
from typing import Any, TypeVar

from . import media
from .containment import contained

_T = TypeVar("_T")

_LEAST_ATTRIBUTE = 2_000

Path = tuple[str, ...]
"""The names above a value in a structure; a place in a list is an empty one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much content is recorded, in characters.

    A character is at most 4 bytes of UTF-8, so a span's content is at most 800 kB with the defaults. Relay trims a
    span to 1 MiB and refuses one above 10 MiB (`max_span_size`, getsentry/relay#5780). An event, and with it a
    transaction together with the spans in it, it refuses above 1 MiB (`max_event_size`): where model spans are part of
    the transaction (`stream_gen_ai_spans=False`, sentry-sdk before 2.64), lower limits may be in place.

    Args:
        part: One text: a message's text block, a tool's argument, a document.
        attribute: One attribute, as the string that is sent.
        span: All attributes of a span that hold content.

    Raises:
        TypeError: A limit is no int.
        ValueError: A limit is too small to say anything, or larger than the one around it.
    """

    part: int = 20_000
    attribute: int = 100_000
    span: int = 200_000

    def __post_init__(self) -> None:
        for name, least in (("part", 100), ("attribute", _LEAST_ATTRIBUTE), ("span", 4 * _LEAST_ATTRIBUTE)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, a number of characters, not {type(value).__name__}")
            if value < least:
                raise ValueError(f"{name} must be at least {least} characters, not {value}")
        for name, around in (("part", "attribute"), ("attribute", "span")):
            if getattr(self, name) > getattr(self, around):
                raise ValueError(
                    f"{name} must be at most {around} ({getattr(self, around)} characters), not {getattr(self, name)}"
                )


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be recorded of a run.

    Args:
        inputs: Prompts and whatever else goes into a run.
        outputs: Answers and whatever else comes out of it.
        redact: Called once with every whole piece of text that is recorded.
        limits: How much is recorded.
    """

    inputs: bool = False
    outputs: bool = False
    redact: Callable[[str], str] | None = None
    limits: Limits = Limits()

    @classmethod
    def decide(
        cls,
        *,
        client_inputs: bool,
        client_outputs: bool,
        include_prompts: bool,
        redact: Callable[[str], str] | None,
        limits: Limits | None = None,
    ) -> Policy:
        """Content is recorded only if the client allows it and `include_prompts` does not veto it."""
        if not include_prompts:
            return NOTHING
        return cls(client_inputs, client_outputs, redact, limits or Limits())

    def beside(self, *told: str | None, ahead: int = 0) -> Policy:
        """The policy for one more attribute of a span, so that all of them together keep to the span's limit.

        A model's span has up to four: system instructions, tools, the prompt and the answer. Each of those still to
        come is sure of a quarter of the span's limit (or of an attribute's, if that is less).

        Args:
            told: The attributes that the span has already, `None` for those that say nothing.
            ahead: How many are still to come.
        """
        left = self.limits.span - sum(len(each) for each in told if each)
        left -= ahead * min(self.limits.attribute, self.limits.span // 4)
        attribute = max(min(self.limits.attribute, left), _LEAST_ATTRIBUTE)
        if attribute == self.limits.attribute:
            return self
        limits = replace(self.limits, part=min(self.limits.part, attribute), attribute=attribute)
        return replace(self, limits=limits)

    def text(self, text: str) -> str | None:
        """A piece of text as it may be kept: redacted, without binary data, then cut.

        `redact` sees the whole text, however long: what it looks for may stand across the cut.

        Returns:
            The text, or `None` if `redact` failed: an unredacted text is dropped, not sent.
        """
        redacted = self.redacted(text)
        return None if redacted is None else fitted(redacted, self.limits.part)

    def redacted(self, text: str) -> str | None:
        """A text as `redact` leaves it, or `None` if that failed. What is nothing but data is replaced unseen."""
        data = media.substitute(text)
        if data is not None or self.redact is None:
            return data or text
        redacted: object = None
        with contained("redact"):
            redacted = self.redact(text)
            if not isinstance(redacted, str):
                raise TypeError(f"redact must return a str, not {type(redacted).__name__}")
        return redacted if isinstance(redacted, str) else None


NOTHING = Policy()
"""Nothing may be recorded."""


def cut(text: str, limit: int) -> str:
    """Cut the middle out of a text longer than `limit` characters, and say how much is missing.

    What is left is no longer than `limit`, the mark included.
    """
    if len(text) <= limit:
        return text
    half = max(limit - len(_mark(len(text), "characters")), 0) // 2
    if not half:
        return text[:limit]
    return f"{text[:half]}{_mark(len(text) - 2 * half, 'characters')}{text[-half:]}"


def fitted(text: str, limit: int) -> str:
    """A text without binary data and lone surrogates, cut to `limit` characters. Costs no more than a few limits."""
    short = len(text) <= 4 * limit  # of a longer one the rest is looked at, and data in it counted as it was cut
    kept = cut(media.scrubbed(text), limit) if short else media.scrubbed(cut(text, limit))
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode("utf-8")


class Full(Exception):
    """There is no room for what was to be recorded."""


class Room:
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

    def frame(self, **structure: Any) -> dict[str, Any]:
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

    def text(self, text: str, reserve: int = 0) -> str | None:
        """A piece of text as it may be kept, see `Policy.text`, cut to the room as well.

        Raises:
            Full: There is no room worth speaking of. Then the text was not looked at.
        """
        room = self.left - reserve
        if room < _LEAST:
            raise Full
        redacted = self.policy.redacted(text)
        if redacted is None:
            self.left -= len("null, ")
            return None
        limit = min(self.policy.limits.part, room - 2)
        kept = fitted(redacted, limit)
        while (length := len(spelled(kept))) > room:  # quotes and line ends take two characters
            limit = min(limit * room // length, limit - 1)
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
        return self.text(_str(value), reserve)

    def _object(self, entries: Iterable[tuple[Any, Any]], path: Path, spoken: Callable[[Path], bool] | None) -> Any:
        found: dict[str, Any] = {}
        self.left -= 4
        for key, each in _unbroken(entries):
            if isinstance(key, str) and key in _LEFT_OUT:
                continue
            name = self._name(_str(key))
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
                found.append(self._counted(_mark(count - len(found), "items")))
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


def _mark(count: int, what: str) -> str:
    return f"[... {count} {what} cut ...]"


def _str(value: object) -> str:
    """The text of an object, or its type if it has none to give."""
    try:
        return str(value)
    except Exception:  # whatever a user's object does, it is not our failure
        return f"[{type(value).__name__}]"


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
