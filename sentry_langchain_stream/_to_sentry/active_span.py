"""Make a run's span the active one for what runs inside it, and take it back wherever the run ends.

What LangChain calls inside a tool, a node or a model then hangs below that run's span: Sentry's own http and db
spans, and the user's `sentry_sdk.start_span`.
"""

from __future__ import annotations

import sys
import weakref
from copy import copy
from threading import get_ident
from typing import Any

import sentry_sdk
from sentry_sdk.scope import Scope

from .._runtime import interpreter
from .._runtime.interpreter import Caller
from . import internals
from .span_models import AnySpan


class Activation:
    """A span that is the active one inside of a run that starts, in this context and its copies, until `end()`.

    Args:
        span: The span.
        caller: The call that starts the run, if there is one on the stack.
        spreads: Whether other threads and tasks that come to share the context are inside too. Not if the context may
            be that of a consumer, who starts some as well.

    Activations of one span are to be made one at a time.
    """

    __slots__ = ("_inner", "_inside", "_outer")

    def __init__(self, span: AnySpan, caller: Caller | None, *, spreads: bool) -> None:
        # The SDK makes up a span's ids when they are first asked for, and does it twice if two threads ask at once.
        _ = span.trace_id, span.span_id
        self._inside = _Inside(span, caller, spreads)
        self._outer: Scope = _first_live(sentry_sdk.get_current_scope())
        self._inner: Scope = RunScope.over(self._outer, self._inside)
        internals.set_current_scope(self._inner)

    def pause(self) -> None:
        """What runs next in this context is outside. Whoever is inside gets back the scope that is left now.

        Where the context is not inside, nothing changes: garbage collection may call this in anybody's request.
        """
        current = sentry_sdk.get_current_scope()
        if _stands_in(current, self._inside) and not interpreter.is_collecting():
            self._inner = current
            internals.set_current_scope(self._outer)

    def resume(self) -> None:
        """What runs next is inside again, perhaps in another context."""
        self._outer = sentry_sdk.get_current_scope()
        internals.set_current_scope(self._inner)

    def end(self) -> None:
        """Make active what would be without it. May be called from any context."""
        self._inside.ended = True
        current = sentry_sdk.get_current_scope()
        live = _first_live(current)
        if live is not current and not interpreter.is_collecting():
            internals.set_current_scope(live)


class _Inside:
    """Tells whether code that runs is inside of a run, of which LangChain signals the start, and not always the end.

    Where the run started, in that thread and task, it is inside while LangChain's call is on the stack. A stream that
    is at rest is not, so what its consumer does in between is outside; and nor is a call that was cancelled. In any
    other thread or task that shares the scope it is inside if the run spreads, as the run must have started that.
    """

    __slots__ = ("_caller", "_spreads", "_task", "_thread", "ended", "span")

    def __init__(self, span: AnySpan, caller: Caller | None, spreads: bool) -> None:
        self.span = span
        self.ended = False
        self._spreads = spreads
        self._thread = get_ident()
        task = interpreter.current_task()
        self._task = weakref.ref(task) if task is not None else None
        self._caller = caller

    def now(self) -> bool:
        """Whether the code that asks is inside."""
        caller = self._caller
        if self.ended or (caller is not None and caller.alive() is None):
            return False
        if caller is None:  # the run was not started by LangChain
            return True
        if not self._started_here():
            return self._spreads
        frame = sys._getframe(1)
        while frame is not None and not (id(frame) == caller.frame and frame.f_code is caller.code):
            frame = frame.f_back  # type: ignore[assignment]
        return frame is not None

    def _started_here(self) -> bool:
        return self._thread == get_ident() and interpreter.current_task() is (
            self._task() if self._task is not None else None
        )


class RunScope(Scope):
    """A current scope that is the one below it, but for the active span, which inside of a run is the run's.

    LangChain signals many ends from a copied context, where the context variable of the caller cannot be set back,
    and so a scope that is left behind must be as good as the one below it. What the user's code sets on the current
    scope inside of a run is there after it, as it would be without us.
    """

    _below: Scope
    _at_bottom: Scope
    """The scope below all of these, which holds everything but spans."""
    _inside: _Inside
    _own: Any
    """The active span inside of the run: the run's, or one opened there."""
    _opened: list[Any]
    """The spans last opened inside, those last used at the end."""

    _MOST_OPENED = 32

    @classmethod
    def over(cls, below: Scope, inside: _Inside) -> RunScope:
        """A scope in which what is inside of a run has its span."""
        made = object.__new__(cls)
        made._below = below
        made._at_bottom = below._at_bottom if isinstance(below, RunScope) else below
        made._inside = inside
        made._own = inside.span
        made._opened = []
        return made

    def __copy__(self) -> Scope:
        below = copy(self._below)
        if not self._inside.now():
            return below
        made = RunScope.over(below, self._inside)
        made._own = self._own
        made._opened = [*self._opened]
        return made

    @property
    def _span(self) -> Any:
        return self._own if self._inside.now() else self._below._span

    @_span.setter
    def _span(self, span: Any) -> None:
        if self._inside.now():
            if span is not self._inside.span:
                before = [each for each in self._opened if each is not span]
                self._opened = [*before[1 - self._MOST_OPENED :], span]
            self._own = span
        elif span is not self._inside.span and not any(span is each for each in self._opened if each is not None):
            self._below._span = span
        # Else a span has ended that was opened inside, and puts back what was active then: that is over, too.


def _stands_in(scope: Scope, inside: _Inside) -> bool:
    """Whether the scope is that of a run, or was made inside of it."""
    while isinstance(scope, RunScope):
        if scope._inside is inside:
            return True
        scope = scope._below
    return False


def _first_live(scope: Scope) -> Scope:
    """The scope itself, or what it stands for if its run is over, so that these do not pile up."""
    while isinstance(scope, RunScope) and scope._inside.ended:
        scope = scope._below
    return scope


def _share(name: str) -> property:
    def get(self: RunScope) -> Any:
        return getattr(self._at_bottom, name)

    def set_(self: RunScope, value: Any) -> None:
        setattr(self._at_bottom, name, value)

    return property(get, set_)


for _name in internals.scope_slots or ():
    if _name != "_span":
        setattr(RunScope, _name, _share(_name))
