"""The values that property tests pass to the package: anything that a payload may contain, and more."""

from __future__ import annotations

import base64
import json
import random
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from math import isfinite
from types import SimpleNamespace
from typing import Any

from hypothesis import strategies as st

from sentry_langchain_stream._content.policy import Limits, Policy
from sentry_langchain_stream._runtime import containment

PLANTED = "PLANTED7"
"""Stands in texts that must not be found again."""


@contextmanager
def in_production() -> Iterator[None]:
    """Contain our own failures inside of the block, as in production. A fixture would hold for all examples at once."""
    before = containment.is_strict()
    containment.strict(False)
    try:
        yield
    finally:
        containment.strict(before)


class Broken:
    """An object that fails whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")

    def __repr__(self) -> str:
        return "Broken()"


class Thing(SimpleNamespace):
    """An object with any fields. Those may have no spelling, so it does not spell them."""

    def __repr__(self) -> str:
        return f"Thing({', '.join(vars(self))})"


@dataclass
class Point:
    """A plain object with fields."""

    x: Any
    y: Any = None


class Word(str):
    """A text that is more than a text."""

    __slots__ = ()


texts = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(codec=None), max_size=20),  # lone surrogates as well
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(1, 2_000)),
    st.builds(Word, st.text(max_size=5)),
)
"""Short and long, of whatever characters there are."""

numbers = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**63, 1e308, -0.0, float("nan"), float("inf")]),
    st.builds(pow, st.sampled_from([10, -10]), st.sampled_from([401, 5_001])),  # Python refuses to spell the larger
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    texts,
    st.binary(max_size=50),
    st.dates(max_value=date(2100, 1, 1)),
    st.decimals(),
    st.uuids(),
    st.builds(Broken),
)
keys = st.one_of(st.text(max_size=6), texts, st.integers(), st.none(), st.tuples(st.integers()), st.builds(Broken))
"""What may be a key of a dictionary, though JSON has texts only."""


class Deep(dict[str, Any]):
    """A dictionary that goes too deep to be printed, as a failing example would be."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"Deep({', '.join(self)})")


def _deep(value: Any, depth: int, name: str) -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {name: value}
    return Deep({name: value})


def _circle(names: list[str], value: Any) -> dict[str, Any]:
    circle: dict[str, Any] = {"value": value}
    for name in names:
        circle[name] = [circle] if len(name) % 2 else circle
    return circle


def values(names: st.SearchStrategy[str] | None = None, leaves: int = 7) -> st.SearchStrategy[Any]:
    """Anything at all: nested, deep, in circles, with odd keys, of odd types.

    Args:
        names: Keys to use besides odd ones; those that the package reads make it look.
        leaves: How large a value is.
    """
    known = names if names is not None else st.text(max_size=5)
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(known, inner, max_size=4),
            st.dictionaries(keys, inner, max_size=3),
            st.builds(tuple, st.lists(inner, max_size=2)),
            st.builds(deque, st.lists(inner, max_size=2)),
            st.builds(OrderedDict, st.dictionaries(known, inner, max_size=2)),
            st.builds(Point, inner, inner),
            st.builds(_deep, inner, st.sampled_from([3, 40, 3_000]), known),
            st.builds(_circle, st.lists(known, min_size=1, max_size=2), inner),
        ),
        max_leaves=leaves,
    )


def payloads(names: st.SearchStrategy[str], most: int = 6) -> st.SearchStrategy[dict[str, Any]]:
    """Dictionaries that have names which the package reads, with anything below them."""
    return st.dictionaries(names, values(names), max_size=most)


limits = st.builds(
    lambda part, attribute, span: Limits(part, max(part, attribute), max(part, attribute, span)),
    st.integers(100, 3_000),
    st.integers(2_000, 20_000),
    st.integers(8_000, 50_000),
)
policies = st.builds(lambda chosen: Policy(True, True, limits=chosen), limits)
"""Policies that allow everything, within limits."""


def encoded(seed: int, size: int) -> str:
    """Base64 of so many bytes of noise, as an image is."""
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


media_data = st.builds(encoded, st.integers(0, 2**32), st.integers(200, 3_000))
"""Base64 that is long enough not to be taken for a word."""


def quotes(text: str, data: str, window: int = 100) -> bool:
    """Whether a text has a piece of this length of the data in it."""
    return any(data[start : start + window] in text for start in range(0, len(data) - window + 1, window // 2))


def parsed(text: str) -> Any:
    """What a piece of JSON says; it must be JSON that every parser reads, in text that can be sent."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text.encode("utf-8")
    return json.loads(text, parse_constant=refuse)


def can_be_sent(value: object) -> bool:
    """Whether it may be the value of an attribute: a finite scalar or a flat list of texts."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, list):
        return all(isinstance(each, str) and can_be_sent(each) for each in value)
    if isinstance(value, str):
        return value == value.encode("utf-8", "replace").decode("utf-8")
    return isinstance(value, (int, bool))


def texts_of(value: Any) -> Iterator[str]:
    """The texts in a structure as it was parsed."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)
