"""Which trace a root joins: that of a span of OpenTelemetry, an incoming one, that of its request, or none.

It does not join the process's own trace, which has no end: that would collect the runs of all users of a worker, all of
them sampled or none. A request without an incoming trace begins one as well. Its transaction may have ended: a server
of WSGI reads the body of a response after that, and a stream begins with the first chunk that is read. Both traces look
alike, so the transactions that have ended are remembered: those that were sent, and those that were not sampled, whose
late runs are not sampled either. Only those of requests are, of which an integration has made the isolation scope: that
of a process or a thread sees the transactions of all its jobs, and a later run there belongs to none of them.

The SDK's `OTLPIntegration` sends the spans of OpenTelemetry to Sentry and links the SDK's events to them, but no spans
of the SDK (sentry-sdk 2.45 to 2.75). A root of ours becomes a child of the span of OpenTelemetry that is current.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from time import monotonic
from typing import Any, NamedTuple

import sentry_sdk
from sentry_sdk.scope import Scope
from sentry_sdk.tracing import Transaction

from .._runtime.containment import contain, contained
from . import forks, internals, other_integrations, scope_internals

try:
    from sentry_sdk.traces import NoOpStreamedSpan, StreamedSpan

    STREAMED: tuple[type, ...] = (StreamedSpan, NoOpStreamedSpan)
except ImportError:  # pragma: no cover - exercised with the oldest supported SDK
    STREAMED = ()

ORIGIN = "auto.ai.langchain_stream"
"""The origin of our spans, in Sentry's format `type.category.integration`."""


class OtherSpan(NamedTuple):
    """A span that is not one of Sentry's SDK.

    Args:
        trace_id: Its trace, 32 hexadecimal digits.
        span_id: Its id, 16 hexadecimal digits.
        sampled: Whether it is sent to Sentry. `None` if that is not known: then Sentry's own sampling decides.
    """

    trace_id: str
    span_id: str
    sampled: bool | None = None


class Joined(NamedTuple):
    """The trace that a root joins, by the names of `Transaction`'s arguments and the SDK's propagation context."""

    trace_id: str
    parent_span_id: str | None
    parent_sampled: bool | None
    baggage: Any | None


def joined(scope: Scope) -> Joined | None:
    """Return the trace that a root in this scope joins, or `None` if it starts a new one.

    The active span has been looked for before. It wins over all of this.
    """
    return _joined(propagation_context(scope))


def join(scope: Scope, sampling: Mapping[str, Any], trace: Joined | None = None) -> None:
    """Make this scope continue the trace that a root joins, or start one.

    Args:
        scope: A scope of its own for the start of the root.
        sampling: What a `traces_sampler` gets of the root, besides what the application set.
        trace: The trace, if it is not the current one.
    """
    before = propagation_context(scope)
    scope.set_new_propagation_context()
    fresh = propagation_context(scope)
    if fresh is None:  # the name is missing
        return
    trace = trace or _joined(before)
    if trace is not None:
        for name, value in trace._asdict().items():
            setattr(fresh, name, value)
    custom = {**(getattr(before, "custom_sampling_context", None) or {}), **sampling}
    if custom:
        fresh.custom_sampling_context = custom


def _joined(context: Any | None) -> Joined | None:
    other = other_span(context)
    if other is not None:
        return _below(other, context)
    if context is None or forks.is_stale(context.trace_id):
        return None
    if context.parent_span_id is None:
        ended_at, transaction = _ended.get(context.trace_id, (0.0, None))
        return transaction if monotonic() - ended_at <= _LONGEST else None
    if _is_long_over((context.trace_id, context.parent_span_id)):
        return None
    return Joined(context.trace_id, context.parent_span_id, context.parent_sampled, _baggage(context))


_ended: OrderedDict[str, tuple[float, Joined]] = OrderedDict()
"""The transactions that have begun a trace, by their trace: when each has ended, and what a root joins with it."""
_MOST = 1_000
_LONGEST = 300.0
"""Seconds after its end in which a request is joined: a scope may outlive it."""


def watch() -> None:
    """Remember from now on the requests that end. Does nothing if this has been done."""
    global _is_watching
    if _is_watching:
        return
    _is_watching = True
    undone = [_watch(Transaction, "finish", _transaction_ended)]
    # Sentry's integrations leave a request's segment so. This package ends its own spans in another way.
    undone += [_watch(each, "__exit__", _span_was_left) for each in STREAMED]

    def undo() -> None:
        global _is_watching
        _is_watching = False
        for each in undone:
            each()

    other_integrations.undo_with(undo)


_is_watching = False


def _watch(owner: Any, name: str, ended: Callable[[Any, Any], None]) -> Callable[[], None]:
    """Call a function after this method of spans, with the span and what the method returned; return what undoes it."""
    theirs = getattr(owner, name)

    @wraps(theirs)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        returned = theirs(self, *args, **kwargs)
        try:
            ended(self, returned)
        except Exception as error:
            contain("request that has ended", error)
        return returned

    def undo() -> None:
        if getattr(owner, name) is method:  # somebody may have wrapped it meanwhile
            setattr(owner, name, theirs)

    setattr(owner, name, method)
    return undo


def _transaction_ended(transaction: Transaction, event_id: str | None) -> None:
    if transaction.origin == ORIGIN:
        return
    if transaction.parent_span_id is not None:
        _note_end((transaction.trace_id, transaction.parent_span_id))
    elif event_id or transaction.sampled is False:  # else it is not sent
        _remember(transaction)


def _span_was_left(span: Any, _: object) -> None:
    parent, is_segment = internals.parent_of_streamed(span), internals.segment_of(span) is span
    if parent is not None and is_segment:
        _note_end((span.trace_id, parent))


def _remember(transaction: Transaction) -> None:
    if not scope_internals.is_of_integration(Scope.get_isolation_scope()):
        return
    trace_id, sampled = transaction.trace_id, bool(transaction.sampled)
    found = Joined(trace_id, transaction.span_id, sampled, transaction.get_baggage() if sampled else None)
    _put(_ended, trace_id, (monotonic(), found))


_Incoming = tuple[str, str]
"""A trace and the span in it that a request continues."""

_over: OrderedDict[_Incoming, float] = OrderedDict()
"""When a request that continues a trace has ended, the latest of those that continue it there."""

_joined_by_workers: OrderedDict[_Incoming, float] = OrderedDict()
"""The same of those that a root without a span around it has asked for. There are fewer of them than requests."""


def _note_end(incoming: _Incoming) -> None:
    if scope_internals.is_of_integration(Scope.get_isolation_scope()):
        _put(_over, incoming, monotonic())


def _is_long_over(incoming: _Incoming) -> bool:
    """Whether the request has ended long ago: a worker that was started in it works for others since."""
    ended_at = _over.get(incoming) or _joined_by_workers.get(incoming)
    if ended_at is None:  # it has no span, goes on, or has been forgotten among many: it counts as ending now
        if not scope_internals.is_of_integration(Scope.get_isolation_scope()):
            return False
        ended_at = monotonic()
    _put(_joined_by_workers, incoming, ended_at)
    return monotonic() - ended_at > _LONGEST


def _put(remembered: OrderedDict[Any, Any], key: object, value: object) -> None:
    """Remember something as the latest, and forget the oldest if there is too much."""
    remembered[key] = value
    with suppress(KeyError):  # another thread has forgotten it, or was faster
        remembered.move_to_end(key)
        if len(remembered) > _MOST:
            remembered.popitem(last=False)


def other_span(context: Any | None) -> OtherSpan | None:
    """Return the span of OpenTelemetry that a root without an active span of Sentry is to be a child of.

    What an integration has registered with the SDK takes precedence over an incoming trace, as in the SDK's own events.
    Without one, the spans of OpenTelemetry go elsewhere. Then an incoming trace of Sentry takes precedence, unless it
    is the same trace.

    Args:
        context: The propagation context of the current trace.
    """
    with contained("current span of OpenTelemetry"):
        found = _current_span()
        registered = internals.get_external_propagation_context
        external = registered() if registered is not None else None
        if external is not None:
            return found if found is not None and tuple(external) == found[:2] else OtherSpan(*external)
        if found is not None:
            is_same = context is not None and context.trace_id == found.trace_id
            if is_same or getattr(context, "parent_span_id", None) is None:
                return found._replace(sampled=context.parent_sampled if is_same and context is not None else None)
    return None


def _current_span() -> OtherSpan | None:
    """The current span of OpenTelemetry, if the application uses it. It is never imported here."""
    opentelemetry = sys.modules.get("opentelemetry.trace")
    get_current_span = getattr(opentelemetry, "get_current_span", None)  # missing while another thread imports it
    if get_current_span is None:
        return None
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return OtherSpan(f"{context.trace_id:032x}", f"{context.span_id:016x}", bool(context.trace_flags.sampled))


def _below(other: OtherSpan, context: Any | None) -> Joined:
    is_same = context is not None and context.trace_id == other.trace_id
    return Joined(other.trace_id, other.span_id, other.sampled, _baggage(context) if is_same else None)


def propagation_context(scope: Scope) -> Any | None:
    """Return the propagation context of the current trace, if the SDK provides access to it."""
    if scope_internals.get_propagation_context is None:
        return None
    context = scope_internals.get_propagation_context(scope)
    if context is None:  # in older SDK versions there is none after the isolation scope was cleared
        sentry_sdk.get_isolation_scope().set_new_propagation_context()
        context = scope_internals.get_propagation_context(scope)
    return context


def _baggage(context: Any) -> Any | None:
    """Return the baggage of an incoming trace."""
    if hasattr(context, "baggage"):
        return context.baggage
    incoming = context.dynamic_sampling_context  # sentry-sdk < 2.50
    return internals.Baggage(dict(incoming), mutable=False) if incoming and internals.Baggage else None
