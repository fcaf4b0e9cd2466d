"""The active span inside a run. Nothing is switched on and off per run: a scope looks it up when it is asked for.

What LangChain calls inside a tool, a node or a model becomes a child of that run's span: Sentry's own http and db
spans, and the user's `sentry_sdk.start_span`.
"""

from __future__ import annotations

from copy import copy
from operator import attrgetter
from typing import Any

from sentry_sdk.scope import Scope
from sentry_sdk.tracing import Transaction

from .._runtime import interpreter
from .._runtime.containment import contained
from . import internals, scope_internals
from .calling_code import Inside, find_inside
from .model_integrations import MODEL_INTEGRATIONS
from .seen_spans import Named, SeenSpans

_CLIENTS = frozenset(f"auto.ai.{identifier}" for identifier in MODEL_INTEGRATIONS)
"""The origins of the spans of Sentry's integrations of client libraries."""


def is_calling(embeds: bool = False) -> bool:
    """Whether the calling code is inside a model call that we record, so that nobody else is to record it.

    Args:
        embeds: Whether it asks for embeddings. A stream's source may, before it asks for the answer.
    """
    inside = find_inside()
    return inside is not None and inside.is_call and not (embeds and inside.is_stream)


def where() -> Inside | None:
    """Where the calling code is, in a thread that such code has started, too, if Sentry has handed its scope on."""
    scope = Scope.get_current_scope()
    return scope._inside() if isinstance(scope, RunScope) else find_inside()


def enter(holder: int, *, is_root: bool) -> RunScope | None:
    """Put a scope in place that knows the active span, where there is none yet. Call it where a run starts.

    It stays in this context and in all that are copied from it. One is enough for any number of runs.

    Args:
        holder: Identifies the run: its `id()`.
        is_root: Whether a tree of runs starts. Runs of a tree start where its scope is in place, with few exceptions:
            `abatch` signals the start of its chains from a context of its own.

    Returns:
        The scope that the run is to `leave` when it ends, or `None`.
    """
    if not scope_internals.can_nest:
        return None
    current = Scope.get_current_scope()
    if type(current) is not RunScope:
        current = RunScope.over(current)
        scope_internals.set_current_scope(current)
    elif not is_root:
        return None
    current.holders.append(holder)
    return current


def leave(scope: RunScope, holder: int) -> None:
    """A run that started in this scope has ended.

    The scope is taken away if it was the last run and this is the context that it is in. Where it stays, in a context
    that was copied or that LangChain does not come back to, it behaves like the scope that it covers.
    """
    if holder in scope.holders:
        scope.holders.remove(holder)
    if not scope.holders and not interpreter.is_collecting() and Scope.get_current_scope() is scope:
        scope_internals.set_current_scope(scope.covered)


class RunScope(Scope):
    """A current scope that is the one that it covers, but for the active span, which inside a run is the run's.

    Whatever else the user's code sets on the current scope inside a run is set on the covered scope, as it would be
    without us.
    """

    __slots__ = ("_forked_at", "_forked_in", "_seen", "covered", "holders")

    covered: Scope
    holders: list[int]
    """The runs that hold this scope in place. Mostly one, and the smallest set takes more memory than a short list."""
    _seen: SeenSpans | None
    """The spans that code in runs has made active here. Most never does."""
    _forked_in: Inside | None
    """Where the scope was forked. Sentry forks it for a thread, which LangChain's context does not reach."""
    _forked_at: object
    """The thread that forked it, not its ident, which a later thread may have. There LangChain's context names the
    run, and a generator that has forked the scope, with `new_scope`, leaves it in place where its consumer goes on."""

    @classmethod
    def over(cls, covered: Scope, forked_in: Inside | None = None, forked_at: object = None) -> RunScope:
        """A scope that covers this one."""
        made = object.__new__(cls)
        made.covered = covered
        made.holders = []
        made._seen = None
        made._forked_in, made._forked_at = forked_in, forked_at
        return made

    def __copy__(self) -> Scope:
        """Fork the scope, as `new_scope` and `isolation_scope` do: what is inside a run stays inside."""
        inside = self._inside()
        is_forked_again = inside is not None and inside is self._forked_in
        forked_at = self._forked_at if is_forked_again else interpreter.thread_identity()
        made = RunScope.over(copy(self.covered), inside, forked_at)
        made._seen = self._seen.copy() if self._seen is not None else None
        return made

    def start_span(self, *args: Any, **kwargs: Any) -> Any:
        """Start a span of a transaction."""
        made = super().start_span(*args, **kwargs)
        self._label(made, kwargs.get("op"), kwargs.get("origin"))
        return made

    def start_streamed_span(self, name: str, attributes: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a streamed span (sentry-sdk >= 2.55)."""
        made = super().start_streamed_span(name, attributes, *args, **kwargs)
        if attributes:
            self._label(made, attributes.get("sentry.op"), attributes.get("sentry.origin"))
        return made

    def _label(self, span: Any, op: Any, origin: Any) -> None:
        """Add the pipeline, agent and conversation to the span of a raw client's call in a run."""
        if not (isinstance(op, str) and op.startswith("gen_ai.") and origin in _CLIENTS):
            return
        with contained("labels of a raw call"):
            inside = self._inside()
            set_one = getattr(span, "set_attribute", None) or span.set_data
            for key, value in inside.labels().items() if inside is not None else ():
                set_one(key, value)

    def _inside(self) -> Inside | None:
        inside = find_inside()
        if inside is not None and not inside.nests:
            inside = None
        forked_in = self._forked_in
        if inside is None and forked_in is not None and forked_in.is_live():
            return None if self._forked_at is interpreter.thread_identity() else forked_in
        return inside

    @property
    def _span(self) -> Any:
        inside = self._inside()
        if inside is None:
            return self.covered._span
        own = self._seen.own.get(inside.key) if self._seen is not None else None
        if own is None or internals.has_ended(own[0]):  # elsewhere
            return inside.span
        return own[0]

    @_span.setter
    def _span(self, span: Any) -> None:
        inside = self._inside()
        span_id: str | None = getattr(span, "span_id", None)
        seen = self._seen
        if inside is not None and span is inside.span:
            if seen is not None:
                seen.own.pop(inside.key, None)
                self._name_again(seen.names.pop(inside.key, None))
        elif seen is not None and seen.is_late(span_id, inside):
            seen.own.pop(seen.opened.get(span_id or ""), None)
            named = seen.names.pop(seen.bases.get(span_id or ""), None)
            now = scope_internals.event_name(self.covered)
            if named is not None and now is not None and now[0] == named.root.name:  # else named by somebody since
                self._name_again(named)
        elif inside is None:
            self.covered._span = span
        else:
            if seen is None:
                seen = self._seen = SeenSpans()
            seen.add(span, span_id, inside)
            if _is_root(span) and (name := scope_internals.event_name(self.covered)) is not None:
                seen.names.setdefault(inside.key, Named(*name, span))

    def _is_of_a_run(self, span: Any) -> bool:
        """Whether a span is that of the run around the calling code, or of another run in which code opened one."""
        inside = self._inside()
        if inside is not None and inside.is_ours and span is inside.span:
            return True
        return self._seen is not None and getattr(span, "span_id", None) in self._seen.bases

    def _name_again(self, named: Named | None) -> None:
        """Name later events as before a root that has ended."""
        if named is not None:
            scope_internals.set_event_name(self.covered, named.name, named.info)


def _is_root(span: Any) -> bool:
    return isinstance(span, Transaction) or internals.segment_of(span) is span


def _made_active(theirs: property) -> property:
    """The SDK's property for the active span, but for the span of a run that is put back.

    The SDK names later events after a root that becomes the active span. A span that ends in a run puts back the run's,
    and so does code that hands it on to a thread.
    """

    def set_(self: RunScope, span: Any) -> None:
        if _is_root(span) and self._is_of_a_run(span):  # the SDK names events after roots alone
            self._span = span
        else:
            theirs.__set__(self, span)

    return property(theirs.fget, set_)


for _name in ("span", "streamed_span"):
    if isinstance(_theirs := vars(Scope).get(_name), property):
        setattr(RunScope, _name, _made_active(_theirs))


def _share(name: str) -> property:
    def set_(self: RunScope, value: Any) -> None:
        setattr(self.covered, name, value)

    return property(attrgetter(f"covered.{name}"), set_)  # the SDK reads these often, and sets them seldom


for _name in scope_internals.scope_slots or ():
    if _name != "_span":
        setattr(RunScope, _name, _share(_name))
