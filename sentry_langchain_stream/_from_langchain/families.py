"""Wraps methods of a class and of all its subclasses, those that exist and those that are yet to be made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any
from weakref import WeakSet

from .._runtime.containment import contained
from .._runtime.interpreter import with_subclasses

_HOOK = "__init_subclass__"


class Family:
    """The methods of a class and its subclasses that are wrapped. That can be undone.

    A method that somebody else has wrapped since stays as it is. What is wrapped then has to do nothing: see `is_on`.

    Args:
        base: The class.
        wraps: Makes the function that takes the place of a method, by the method's name. Names that begin with "a" are
            coroutine functions.
    """

    def __init__(self, base: type, wraps: Mapping[str, Callable[[Any], Any]]) -> None:
        self._base = base
        self._wraps = wraps
        self._made: WeakSet[Any] = WeakSet()
        self._added: WeakSet[Any] = WeakSet()
        """Those that stand on a class of the family because a class outside of it has the method."""
        self._hook: Any = None
        self.is_on = False
        """Whether the methods are wrapped."""

    def install(self) -> None:
        """Wrap the methods."""
        if self.is_on:
            return
        self.is_on = True
        for cls in with_subclasses(self._base):
            self._wrap(cls)
        self._watch()

    def uninstall(self) -> None:
        """Put back the methods."""
        self.is_on = False
        for cls in with_subclasses(self._base):
            for name in self._wraps:
                found = cls.__dict__.get(name)
                if found is None or not self._is_ours(found):
                    continue
                if found in self._added:
                    delattr(cls, name)
                else:
                    setattr(cls, name, found.__wrapped__)
        if self._hook is not None and self._base.__dict__.get(_HOOK) is self._hook:
            delattr(self._base, _HOOK)
        self._hook = None

    def _wrap(self, cls: type) -> None:
        for name, wrap in self._wraps.items():
            owner = next((each for each in cls.__mro__ if name in each.__dict__), None)
            if owner is None or (owner is not cls and issubclass(owner, self._base)):
                continue
            method = owner.__dict__[name]
            if not isinstance(method, FunctionType) or getattr(method, "__isabstractmethod__", False):
                continue
            if iscoroutinefunction(method) is not name.startswith("a") or self._has(method):
                continue
            wrapped = wrap(method)
            self._made.add(wrapped)
            if owner is not cls:
                self._added.add(wrapped)
            setattr(cls, name, wrapped)

    def _has(self, method: Any) -> bool:
        """Whether a method is wrapped already, perhaps inside what somebody else has wrapped around it."""
        while method is not None:
            if self._is_ours(method):
                return True
            method = getattr(method, "__wrapped__", None)
        return False

    def _is_ours(self, method: Any) -> bool:
        return isinstance(method, FunctionType) and method in self._made

    def _watch(self) -> None:
        """Wrap the methods of later subclasses as soon as they are made."""
        base: Any = self._base
        wrap = self._wrap
        if _HOOK in base.__dict__:
            return  # langchain-core has a hook of its own by now: later subclasses are not reached

        def __init_subclass__(cls: Any, /, **kwargs: Any) -> None:
            super(base, cls).__init_subclass__(**kwargs)
            with contained("a new subclass"):
                wrap(cls)

        self._hook = classmethod(__init_subclass__)
        setattr(base, _HOOK, self._hook)
