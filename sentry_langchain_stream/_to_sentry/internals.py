"""Every name of sentry-sdk that is not documented for users, taken in this one module; of scopes: `scope_internals`.

A name that is missing switches its feature off. The import of this package never fails for it, and no span is lost.
`report_missing` logs one line that says what is off. Seen in sentry-sdk 2.44 to 2.75; where a name came later or went
earlier, its entry says so. There is no upstream issue unless an entry links one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from sentry_sdk import VERSION
from sentry_sdk.integrations import DidNotEnable

from .._runtime.containment import warn_once


class Internal(NamedTuple):
    """A private name of the SDK.

    Args:
        module: The module that it is in.
        name: Its name there. A dot leads to the attribute of a class.
        off: What is off without it.
        since: The version that brought it, if that is later than the oldest supported one.
    """

    module: str
    name: str
    off: str
    since: tuple[int, ...] = (2, 44)


TABLE: list[Internal] = []
"""Every name that has been taken: most of them when this module is imported."""

_missing: list[Internal] = []


def take(module: str, name: str, *, off: str, since: tuple[int, ...] = (2, 44)) -> Any | None:
    """The value of a private name, or `None` if the SDK does not have it."""
    entry = Internal(module, name, off, since)
    TABLE.append(entry)
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except DidNotEnable:  # an integration whose library is not installed, so nothing is off
        return None
    except (ImportError, AttributeError):
        if tuple(int(part) for part in VERSION.split(".")[:2]) >= since:
            _missing.append(entry)
        return None
    return found


def report_missing() -> None:
    """Log, once per process, what is off because this version of the SDK lacks a name."""
    if _missing:
        lacking = ", ".join(f"{entry.module}.{entry.name} ({entry.off})" for entry in _missing)
        warn_once("internals", "sentry-sdk %s lacks names that we use: %s", VERSION, lacking)


# -- Spans that are prepared for sending (`plain_spans`) ---------------------------------------------------------------

_OFF = "the SDK prepares our spans itself, which costs a little more"

serialize = take("sentry_sdk.serializer", "serialize", off=_OFF)
repr_processors: list[Any] | None = take("sentry_sdk.serializer", "global_repr_processors", off=_OFF)
"""Asked about every value that is sent. Django's integration registers one, as soon as Django is installed."""
format_timestamp = take("sentry_sdk.utils", "format_timestamp", off=_OFF)


def may_change_plain_values() -> bool:
    """Whether one of `repr_processors` may change a text or a number. Django's changes query sets, and nothing else."""
    for each in repr_processors or ():  # noqa: SIM110 -- asked for each span: a generator costs more
        if getattr(each, "__module__", None) != "sentry_sdk.integrations.django":
            return True
    return False


# -- Spans that are moved out of their transaction (`moved_spans`) ----------------------------------------------------

_MOVE = "_serialized_v1_span_to_serialized_v2_span"
move_span: Callable[[dict[str, Any], Any], dict[str, Any]] | None = take(
    "sentry_sdk.client",
    _MOVE,
    off="the SDK moves our spans out of their transaction itself, which costs a little more",
    since=(2, 60),
)
"""Returns a span of a transaction in the format of streamed spans. The second argument is the transaction."""


def moves_itself() -> bool:
    """Whether the SDK calls `move_span`, which nobody has replaced."""
    return move_span is not None and getattr(import_module("sentry_sdk.client"), _MOVE, None) is move_span


def have_moved_by(move: object, *, instead_of: object) -> None:
    """Have the SDK call this function instead of that one, unless it calls another by now."""
    module = import_module("sentry_sdk.client")
    if getattr(module, _MOVE, None) is instead_of:
        setattr(module, _MOVE, move)


# -- Whether the SDK is sending on this very thread (`client.is_sending`) ----------------------------------------------

is_serializing: ContextVar[bool] | None = take(
    "sentry_sdk.utils", "disable_capture_event", off="a run that ends while the SDK serialises an event may be lost"
)


def senders(client: Any, *, metrics: bool) -> list[Any]:
    """The parts of a client that send from a thread of their own and can start it.

    Args:
        client: The client.
        metrics: Whether the one for metrics is wanted, too.
    """
    queues = [getattr(getattr(client, "transport", None), "_worker", None), getattr(client, "span_batcher", None)]
    if metrics:
        queues.append(getattr(client, "metrics_batcher", None))
    return [each for each in queues if hasattr(each, "_ensure_thread")]


def is_flushing(client: Any) -> bool:
    """Whether a queue of this client is adding or sending on this thread; what is added meanwhile, it drops."""
    return any(getattr(getattr(queue, "_active", None), "flag", False) for queue in _queues(client))


def is_queue_locked(client: Any) -> bool:
    """Whether a thread has the lock of a queue of this client."""
    locks: list[Any] = [getattr(queue, "_lock", None) for queue in _queues(client)]
    return any(lock.locked() for lock in locks if hasattr(lock, "locked"))


def _queues(client: Any) -> list[Any]:
    queues = (getattr(client, "span_batcher", None), getattr(client, "metrics_batcher", None))
    return [queue for queue in queues if queue is not None]


# -- Traces that a root may join (`joining`) ---------------------------------------------------------------------------

Baggage = take(
    "sentry_sdk.tracing_utils",
    "Baggage",
    off="root spans start traces of their own, also where an incoming trace could be continued",
)
get_external_propagation_context = take(
    "sentry_sdk.scope",
    "get_external_propagation_context",
    off="with OTLPIntegration, root spans are sampled by Sentry's own rate, not as the span of OpenTelemetry",
)
"""The ids of the trace and of the span that an integration, such as `OTLPIntegration`, links the SDK's events to."""

# -- Profiles of root runs (`transaction_spans`) -----------------------------------------------------------------------

take("sentry_sdk.tracing", "Transaction._profile", off="root runs have no profiles")
take(
    "sentry_sdk.tracing",
    "Transaction._continuous_profile",
    off='with `profile_lifecycle="trace"` the profiler goes on after a root run',
)


def start_profile(transaction: Any) -> None:
    """Start the profile of a transaction, if it is to have one. The SDK does that where a transaction is entered."""
    profile = getattr(transaction, "_profile", None)
    if profile is not None:
        profile.start()


def stop_profiles(transaction: Any) -> None:
    """Stop the profile of a transaction, and its part in the continuous profile."""
    for name in ("_profile", "_continuous_profile"):
        profile = getattr(transaction, name, None)
        if profile is not None:
            profile.stop()


# -- Open spans (`client`, `active_span`, `forks`) ---------------------------------------------------------------------

take("sentry_sdk.traces", "StreamedSpan._scope", off="a span may be sent in a later conversation", since=(2, 55))


def scope_of_streamed(span: Any) -> Any | None:
    """The scope that a streamed span started in."""
    return getattr(span, "_scope", None)


def set_scope_of_streamed(span: Any, scope: Any) -> None:
    """Make a streamed span end in another scope."""
    span._scope = scope


take(
    "sentry_sdk.traces",
    "StreamedSpan._segment",
    off="two requests of one trace count as one, and a segment that was opened in a run names later events",
    since=(2, 55),
)


def segment_of(span: Any) -> Any | None:
    """The segment of a streamed span."""
    return getattr(span, "_segment", None)


take(
    "sentry_sdk.traces",
    "StreamedSpan._parent_span_id",
    off="what a request has started continues the request's trace for ever",
    since=(2, 55),
)


def parent_of_streamed(span: Any) -> str | None:
    """The id of the span above a streamed span."""
    found = getattr(span, "_parent_span_id", None)
    return found if isinstance(found, str) else None


def root_of(span: Any) -> Any | None:
    """The transaction of a span, or its segment. A streamed span that is not sampled has none."""
    return getattr(span, "containing_transaction", None) or segment_of(span)


take(
    "sentry_sdk.tracing",
    "Span._start_timestamp_monotonic_ns",
    off="in a forked process, spans in a transaction of the parent process that was not the active one are lost",
)


def made_at(span: Any) -> int | None:
    """When a span of a transaction was made, in nanoseconds of the performance counter, if that is known."""
    found = getattr(span, "_start_timestamp_monotonic_ns", None)
    return found if isinstance(found, int) else None


def has_ended(span: Any) -> bool:
    """Whether a span of either model has ended. Of one that is not sent, only the SDK itself asks whether it has."""
    times = getattr(span, "timestamp", None), getattr(span, "end_timestamp", None)
    return times != (None, None) or getattr(span, "_finished", False) is True


# -- Pipelines and issues ----------------------------------------------------------------------------------------------


@cache
def pipeline_name_getter() -> Callable[[], Any] | None:
    """What returns the current pipeline's name. Its module takes long to import: only the first handler does it."""
    off = "`set_ai_pipeline_name` does not name pipelines"
    return take("sentry_sdk.ai.monitoring", "get_ai_pipeline_name", off=off)


event_from_exception = take(
    "sentry_sdk.utils", "event_from_exception", off="failures that nobody else reports are no issues"
)

_first_processors: list[Any] | None = take(
    "sentry_sdk.scope",
    "global_event_processors",
    off="a failure whose event another event processor drops is reported all the same",
)


def process_first(processor: Callable[[Any, Any], Any]) -> None:
    """Have an event processor run before all others, once: the SDK only adds one after those that are there."""
    if _first_processors is not None and processor not in _first_processors:
        _first_processors.insert(0, processor)


# -- Integrations of client libraries (`model_integrations`) -----------------------------------------------------------

processed_integrations: set[str] | None = take(
    "sentry_sdk.integrations",
    "_processed_integrations",
    off="`SentryStreamIntegration` may fail to enable the integrations of client libraries",
)

# -- Sentry's own LangChain integration (`other_integrations`) ---------------------------------------------------------


LANGCHAIN_INTEGRATION = "sentry_sdk.integrations.langchain"
"""Its module. It loads every provider package of LangChain that is installed, so only the SDK imports it."""


def langchain_handler_class() -> type | None:
    """The class of Sentry's own LangChain handler. Call it when the module is loaded."""
    found = take(
        LANGCHAIN_INTEGRATION,
        "SentryLangchainCallback",
        off="with `SentryStreamIntegration` model calls appear twice unless Sentry's LangchainIntegration is in "
        "`disabled_integrations`",
    )
    return found if isinstance(found, type) else None
