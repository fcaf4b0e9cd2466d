"""What the application has made: handlers and model objects that are alive, with their names and settings."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM

from ..handler import SentryStreamHandler

_KINDS = (SentryStreamHandler, BaseChatModel, BaseLLM)


@dataclass(frozen=True, slots=True)
class Named:
    """An object of the application, and what to call it."""

    name: str
    """`module.variable`, or the name of its class if no variable of a module holds it."""
    value: Any

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Made:
    """What the application has made."""

    handlers: tuple[Named, ...] = ()
    models: tuple[Named, ...] = ()


class Watch:
    """Finds what has been made since this object was made. Nothing is registered for it: it asks the collector."""

    def __init__(self) -> None:
        gc.collect()
        self._before = {id(each): each for each in _alive()}  # held, so that no id is used again

    def made(self) -> Made:
        """Return what was made since then and is still alive."""
        gc.collect()
        new = [each for each in _alive() if id(each) not in self._before]
        names = _names({id(each) for each in new})
        named = [Named(names.get(id(each), type(each).__name__), each) for each in new]
        named.sort(key=lambda each: each.name)
        return Made(
            tuple(each for each in named if isinstance(each.value, SentryStreamHandler)),
            tuple(each for each in named if not isinstance(each.value, SentryStreamHandler)),
        )


def describe(handler: Named) -> str:
    """Return a handler's name, with the settings that are not the defaults."""
    settings = handler.value._settings
    chosen = [
        f"{each.name}={_value(getattr(settings, each.name))}"
        for each in fields(settings)
        if each.default is not MISSING and getattr(settings, each.name) != each.default
    ]
    return f"{handler.name} ({', '.join(chosen) or 'default settings'})"


def _value(value: object) -> str:
    return str(getattr(value, "__qualname__", "a function")) if callable(value) else repr(value)


def _alive() -> Iterator[Any]:
    """Yield the live objects of these kinds. Asks their type only: a proxy may do anything if it is asked."""
    return (each for each in gc.get_objects() if issubclass(type(each), _KINDS))


def _names(ids: set[int]) -> Mapping[int, str]:
    """Return where a module holds an object: `module.variable`."""
    found: dict[int, str] = {}
    for name, module in list(sys.modules.items()):
        for variable, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in ids:
                found.setdefault(id(value), f"{name}.{variable}")
    return found
