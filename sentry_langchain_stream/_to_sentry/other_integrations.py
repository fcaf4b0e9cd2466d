"""Avoids duplicates with Sentry's own integrations: one span per model call and per agent."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from inspect import iscoroutinefunction
from types import ModuleType
from typing import Any

import sentry_sdk

from .._runtime.containment import contained, warn_once
from . import internals

INTEGRATION = "langchain_stream"
"""The identifier of our own integration."""


def has_integration() -> bool:
    """Whether the client has `SentryStreamIntegration`, which follows every run."""
    return INTEGRATION in sentry_sdk.get_client().integrations


# -- Integrations of the providers ------------------------------------------------------------------------------------


def warn_of_rival(integration: str | None) -> None:
    """Warn once if a Sentry integration traces the client library of this provider too.

    Sentry's LangchainIntegration is on by default and keeps some of these integrations off. If it is disabled, they are
    active.
    """
    if integration not in sentry_sdk.get_client().integrations or not traces_models(integration):
        return
    warn_once(
        f"rival {integration}",
        "Sentry's %r integration is active too, so model calls appear twice in Sentry, and their tokens and cost count "
        "twice. Pass it in disabled_integrations=[...] to sentry_sdk.init. If it is openai, anthropic or google_genai, "
        "you can enable Sentry's LangchainIntegration instead, which keeps it off.",
        integration,
    )


@cache
def traces_models(integration: str | None) -> bool:
    """Whether the Sentry integration of a provider's client library makes spans for model calls.

    The boto3 integration makes spans for HTTP requests only, except in SDK versions where it is a package that has a
    module for Bedrock.
    """
    if integration != "boto3":
        return integration is not None
    found = find_spec("sentry_sdk.integrations.boto3")
    return found is not None and found.submodule_search_locations is not None


# -- LangchainIntegration ---------------------------------------------------------------------------------------------


@cache
def deduplication_base() -> type | None:
    """Return Sentry's handler class, as a base class for ours.

    Sentry's LangchainIntegration adds its own handler to every LangChain call, which would make a second model span. It
    does not do so if the call has an instance of its handler class already. So our handler is made an instance of it.
    """
    return internals.langchain_handler_class()


def is_sentrys_handler(handler: object) -> bool:
    """Whether Sentry's LangchainIntegration treats a handler as its own."""
    base = deduplication_base()
    return base is not None and isinstance(handler, base)


def deduplicated(cls: type, *others: type) -> type:
    """Return a subclass of this handler class, Sentry's handler class and others, or the class itself if it is one."""
    base = deduplication_base()
    return _joined(cls, *(() if base is None else (base,)), *others)


@cache
def _joined(cls: type, *bases: type) -> type:
    missing = tuple(base for base in bases if not issubclass(cls, base))
    if not missing:
        return cls
    return type(cls.__name__, (cls, *missing), {"__module__": cls.__module__, "__doc__": cls.__doc__})


# -- LanggraphIntegration ---------------------------------------------------------------------------------------------

Follows = Callable[[Any, Any], bool]
"""Whether a `SentryStreamHandler` will follow the call of a graph with a config."""

_MODULE = "sentry_sdk.integrations.langgraph"
_WRAPPERS = {"invoke": "_wrap_pregel_invoke", "ainvoke": "_wrap_pregel_ainvoke"}
_undo: list[Callable[[], None]] = []


def install(follows: Follows) -> None:
    """Bypass Sentry's LanggraphIntegration for graphs that a `SentryStreamHandler` follows.

    The integration wraps `invoke` and `ainvoke` of every graph in a span that becomes a child of the active one. The
    agent would then appear twice, the second time with messages that did not pass the user's `redact`. After this call
    the integration's wrapper is called only for graphs that no handler of ours follows.

    Called once, when the module of our handler is imported. If the integration's module is imported later, its wrappers
    are replaced right after that import, before `sentry_sdk.init` uses them. `uninstall` reverts all of it.
    """
    if _undo:
        return
    loaded = sys.modules.get(_MODULE)
    if loaded is not None:
        _replace_wrappers(loaded, follows)
    else:
        finder = _AfterImport(follows)
        sys.meta_path.insert(0, finder)
        _undo.append(finder.withdraw)


def uninstall() -> None:
    """Restore Sentry's LanggraphIntegration to its state before `install`."""
    while _undo:
        _undo.pop()()


class _AfterImport(MetaPathFinder):
    """Replaces the wrappers right after their module is imported, and removes itself then."""

    def __init__(self, follows: Follows) -> None:
        self._follows = follows
        self._asking = threading.local()

    def withdraw(self) -> None:
        """Find nothing any more."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as the other finders do, and have its wrappers replaced when it is executed."""
        if fullname != _MODULE or getattr(self._asking, "others", False):
            return None
        self._asking.others = True
        try:
            spec = find_spec(fullname)
        finally:
            self._asking.others = False
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.withdraw()
            with contained("langgraph"):
                _replace_wrappers(module, self._follows)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # this loader is of this module only
        return spec


def _replace_wrappers(module: ModuleType, follows: Follows) -> None:
    pregel: Any = getattr(module, "Pregel", None)  # the class of every graph
    if pregel is None or not all(hasattr(module, wrap) for wrap in _WRAPPERS.values()):
        warn_once(
            "langgraph",
            "This version of Sentry's LanggraphIntegration is unknown, so agents may appear twice in Sentry. "
            "Pass it in disabled_integrations=[...] to sentry_sdk.init.",
        )
        return
    for method, wrap in _WRAPPERS.items():
        # The integration wraps the methods in its set-up, which may be before or after this.
        _set(module, wrap, _choosing(getattr(module, wrap), follows))
        present = getattr(pregel, method)
        if getattr(getattr(present, "__code__", None), "co_filename", None) == module.__file__:
            _set(pregel, method, _either(present, present.__wrapped__, follows))


def _set(owner: Any, name: str, value: Any) -> None:
    before = getattr(owner, name)
    setattr(owner, name, value)
    _undo.append(lambda: setattr(owner, name, before))


def _choosing(wrap: Callable[[Any], Any], follows: Follows) -> Callable[[Any], Any]:
    return lambda original: _either(wrap(original), original, follows)


def _either(theirs: Any, original: Any, follows: Follows) -> Any:
    """Return a method that calls the original for graphs that we follow, and the integration's for all others."""

    def chosen(graph: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        config = kwargs["config"] if "config" in kwargs else args[1] if len(args) > 1 else None
        return original if follows(graph, config) else theirs

    if iscoroutinefunction(original):

        @wraps(original)
        async def arun(self: Any, *args: Any, **kwargs: Any) -> Any:
            return await chosen(self, args, kwargs)(self, *args, **kwargs)

        return arun

    @wraps(original)
    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return chosen(self, args, kwargs)(self, *args, **kwargs)

    return run
