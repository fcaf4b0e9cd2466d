"""The public names with their signatures, and the attribute keys, as `tests/project/public.txt` keeps them.

`python -m tests.project.public` writes the file. What changes in it, users may notice: see `docs/stability.md`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from langchain_core.callbacks import BaseCallbackHandler

import sentry_langchain_stream
import sentry_langchain_stream.testing
from sentry_langchain_stream._runs.environment import PREFIX, READERS
from sentry_langchain_stream._vocabulary.keys import KEYS, LEFT_OUT, METADATA, TAGS
from tests.kit import REPOSITORY

KEPT = REPOSITORY / "tests" / "project" / "public.txt"
MODULES = (sentry_langchain_stream, sentry_langchain_stream.testing)
MADE = {"SentryStreamHandler", "SentryStreamIntegration", "Limits"}
"""The classes that users make themselves. They get objects of the others from us."""

OTHERS = {LEFT_OUT, METADATA, TAGS}
"""Attribute keys, and a prefix of keys, that are no facts. Both dialects have them."""


def lines() -> Iterator[str]:
    """A line per public name, member, environment variable and attribute key, each in the order of the alphabet."""
    for module in MODULES:
        for name in sorted(module.__all__):
            yield from _of(module, name)
    yield from sorted(f"{PREFIX}{argument.upper()}" for argument in READERS)
    for dialect, keys in KEYS.items():
        found = {key for each in keys.values() for key in each} | OTHERS
        yield from sorted(f"{dialect}: {key}" for key in found)


def _of(module: ModuleType, name: str) -> Iterator[str]:
    value = getattr(module, name)
    path = f"{module.__name__}.{name}"
    if isinstance(value, type):
        yield f"{path}{_signature(vars(value)['__init__'])}" if name in MADE else path
        yield from (f"{path}.{line}" for line in _members(value))
    elif inspect.isfunction(value):
        yield f"{path}{_signature(value)}"
    elif get_args(value):
        yield f"{path} = {' | '.join(map(repr, get_args(value)))}"
    else:
        yield path


def _members(cls: type) -> Iterator[str]:
    """The public members that our own classes give a class, without LangChain's callbacks."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(sentry_langchain_stream.__name__):
            found.update(dict.fromkeys(inspect.get_annotations(base), None))
            found.update(vars(base))
    for name, value in sorted(found.items()):
        if name.startswith(("_", "on_")) or hasattr(BaseCallbackHandler, name):
            continue
        plain = value.__func__ if isinstance(value, (classmethod, staticmethod)) else value
        yield f"{name}{_signature(plain)}" if inspect.isfunction(plain) else name


def _signature(value: Any) -> str:
    """Arguments with their defaults, in one spelling for all versions of Python. Types are checked in `api.py`."""
    arguments = []
    star = False
    for each in inspect.signature(value).parameters.values():
        if each.name == "self":
            continue
        if each.kind is each.KEYWORD_ONLY and not star:
            arguments.append("*")
        star = star or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        prefix = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
        default = "" if each.default is each.empty else f"={each.default!r}"
        arguments.append(f"{prefix}{each.name}{default}")
    return f"({', '.join(arguments)})"


def text() -> str:
    """The whole file."""
    return "\n".join(lines()) + "\n"


def main(kept: Path = KEPT) -> None:
    """Write the file."""
    kept.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
