"""Keeps Sentry's own integrations silent where we record the call: one span per model call and per agent.

Every integration of the SDK asks its client first whether it is on (`Client.get_integration`, sentry-sdk 2.44 to 2.75),
and does nothing if it is not. So for the one call that a handler of ours follows, the answer is that it is off. Before
and after, in other threads and tasks, it is on as ever. Nothing else of the integration is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache, wraps
from types import FrameType
from typing import Any

import sentry_sdk

from .._runtime.containment import contain, contained, warn_once
from . import internals

INTEGRATION = "langchain_stream"
"""The identifier of our own integration."""

Rule = Callable[[FrameType], bool]
"""Whether an integration is to be silent, for the call of one of its functions, whose frame is given."""

Decide = Callable[[Any, str, Any], Any]
"""Which integration a client is to have, given the client, an identifier, and the one that the SDK has for it."""

_rules: dict[str, Rule] = {}
_decide: list[Decide] = []
_undo: list[Callable[[], None]] = []
_more: list[tuple[Callable[[], None], Callable[[], None]]] = []


def has_integration() -> bool:
    """Whether the client has `SentryStreamIntegration`, which follows every run."""
    return own_integration(sentry_sdk.get_client()) is not None


def own_integration(client: Any) -> Any:
    """Return this client's `SentryStreamIntegration`, or `None`. What stands for no client may have no integrations."""
    return (getattr(client, "integrations", None) or {}).get(INTEGRATION)


def own_handler(client: Any) -> Any | None:
    """Return the handler of this client's `SentryStreamIntegration`, or `None`."""
    return getattr(own_integration(client), "handler", None)


def silence(identifier: str, rule: Rule) -> None:
    """From now on, ask this rule whenever an integration asks whether it is on."""
    _rules[identifier] = rule


def decide(which: Decide) -> None:
    """From now on, ask this function which integration a client is to have, where there is a rule for it."""
    _decide[:] = [which]


def also(install: Callable[[], None], uninstall: Callable[[], None]) -> None:
    """Register what is to be done with `install` and undone with `uninstall`."""
    if (install, uninstall) not in _more:
        _more.append((install, uninstall))


def undo_with(undo: Callable[[], None]) -> None:
    """Register what `uninstall` is to do for something that was done later than `install`, unless it is registered."""
    if undo not in _undo:
        _undo.append(undo)


def is_installed() -> bool:
    """Whether somebody answers for the integrations that have a rule."""
    return hasattr(getattr(sentry_sdk.Client, "get_integration", None), "__wrapped__")


def install() -> None:
    """Answer for the integrations that have a rule, and do what `also` has registered. What is done is not done again.

    Called when the module of our handler is imported, and that of `track_stream`.
    """
    for do, undo in _more:
        if undo not in _undo:
            with contained("what takes the place of an integration"):
                _undo.append(undo)
                do()
    client: Any = sentry_sdk.Client
    original = getattr(client, "get_integration", None)
    if is_installed():
        return
    if original is None:
        warn_once(
            "get_integration",
            "This version of sentry-sdk is unknown, so model calls and agents may appear twice in Sentry. Pass its AI "
            "integrations in disabled_integrations=[...] to sentry_sdk.init.",
        )
        return
    client.get_integration = _answering(original)
    _undo.append(lambda: setattr(client, "get_integration", original))


def uninstall() -> None:
    """Undo `install`, and all that `undo_with` has registered: no method of another package is wrapped any more.

    But for two, which hand everything on where no handler of ours is: LangChain's `_configure` after
    `SentryStreamIntegration`, and `AsyncCallbackManager.on_llm_start`.
    """
    while _undo:
        _undo.pop()()


def _answering(original: Any) -> Any:
    @wraps(original)
    def get_integration(self: Any, name_or_class: Any) -> Any:
        found = original(self, name_or_class)
        identifier: Any = name_or_class if isinstance(name_or_class, str) else name_or_class.identifier
        rule = _rules.get(identifier)
        if rule is None:
            return found
        try:
            if _decide:
                found = _decide[0](self, identifier, found)
            return None if found is None or rule(sys._getframe(1)) else found
        except Exception as error:
            contain("other integrations", error)
            return found

    return get_integration


# -- LangchainIntegration ---------------------------------------------------------------------------------------------


def is_sentrys_handler(handler: object) -> bool:
    """Whether this is the handler that Sentry's LangchainIntegration adds to callbacks."""
    cls = _sentrys_handler() if internals.LANGCHAIN_INTEGRATION in sys.modules else None
    return cls is not None and isinstance(handler, cls)


_sentrys_handler = cache(internals.langchain_handler_class)
