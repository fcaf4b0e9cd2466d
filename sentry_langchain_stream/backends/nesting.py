"""Make a run's span the active one for what runs inside it, and take it back wherever the run ends.

What LangChain calls inside a tool, a node or a model then hangs below that run's span: Sentry's own http and db
spans, and the user's `sentry_sdk.start_span`.
"""

from __future__ import annotations

from typing import Any

import sentry_sdk
from sentry_sdk.scope import Scope


class RunScope(Scope):
    """A current scope like the one below it, but for the active span, which is a run's until the run ends.

    LangChain signals many ends from a copied context, where the context variable of the caller cannot be set back.
    So the scope itself changes when the run ends: from then on its active span is that of the scope below it,
    whatever that is at the time. A leaked scope is thus as good as the one it was forked from.
    """

    _below: Scope | None = None
    _over = False
    _own: Any = None

    @property
    def _span(self) -> Any:
        return self._below._span if self._over and self._below is not None else self._own

    @_span.setter
    def _span(self, span: Any) -> None:
        if self._over and self._below is not None:
            self._below._span = span
        else:
            self._own = span


class Activation:
    """A span that is the active one in this context and its copies until `end()`."""

    __slots__ = ("_before", "_inside", "_scope")

    def __init__(self, span: Any) -> None:
        self._before = sentry_sdk.get_current_scope()
        self._scope = _fork(self._before, span)
        self._inside: Scope = self._scope
        Scope.set_current_scope(self._scope)

    def pause(self) -> None:
        """What is going to run is not inside. What is inside gets back the scope that it leaves now."""
        self._inside = sentry_sdk.get_current_scope()
        Scope.set_current_scope(self._before)

    def resume(self) -> None:
        """What is going to run is inside again, perhaps in another context."""
        self._before = sentry_sdk.get_current_scope()
        Scope.set_current_scope(self._inside)

    def end(self) -> None:
        """Make active what would be without it. May be called from any context."""
        if sentry_sdk.get_current_scope() is self._scope:
            Scope.set_current_scope(self._before)
        self._scope._over = True


def _fork(scope: Scope, span: Any) -> RunScope:
    # Not `scope.fork()`, which copies tags, contexts and the like: what the user's code sets on the current scope
    # inside a run is to be there after it, as it would be without us. So these are shared.
    fork = object.__new__(RunScope)
    for name in Scope.__slots__:
        if name != "_span":
            setattr(fork, name, getattr(scope, name))
    fork._own = span
    below = scope
    while isinstance(below, RunScope) and below._over and below._below is not None:
        below = below._below  # forks of runs that are over are skipped, so that they do not pile up
    fork._below = below
    return fork
