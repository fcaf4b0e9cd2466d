"""Reads the Sentry client and its scopes: the span model, what may be recorded, and whether the SDK is sending."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import sentry_sdk
from sentry_sdk.scope import Scope

from .._runtime.arguments import check_optional_text
from .._runtime.containment import warn_once
from . import internals, scope_internals
from .span_models import NoSpans, SpanBackend
from .streamed_spans import CAN_STREAM, StreamedSpans
from .transaction_spans import TransactionSpans

Scopes = tuple[Scope, Scope]
"""The current scope and the isolation scope."""

_TRANSACTION_SPANS = TransactionSpans()
_STREAMED_SPANS = StreamedSpans()
_NO_SPANS = NoSpans()
_get_pipeline_name = internals.pipeline_name_getter()


current_client: Callable[[], Any] = Scope.get_client
"""Returns the current Sentry client, as `sentry_sdk.get_client` does."""


def choose_backend(client: Any) -> SpanBackend[Any]:
    """Return the backend for the root runs of a client."""
    options = client.options
    if not has_tracing(options):
        return _NO_SPANS
    if _streams(options):
        return _STREAMED_SPANS
    if (instrumenter := options.get("instrumenter")) not in _SENTRYS:
        warn_once(
            "instrumenter",
            "Sentry's client has instrumenter=%r, with which the SDK makes no spans but those of OpenTelemetry, so "
            "runs have no spans in Sentry. Use OTLPIntegration instead; `python -m sentry_langchain_stream doctor` "
            "says how.",
            str(instrumenter),
        )
        return _NO_SPANS
    return _TRANSACTION_SPANS


def makes_spans(client: Any) -> bool:
    """Whether runs get spans with this client, unless they are not sampled."""
    options = client.options
    return client.is_active() and has_tracing(options) and other_instrumenter(options) is None


def other_instrumenter(options: Mapping[str, Any]) -> str | None:
    """The `instrumenter`, if it is not Sentry's own and makes the SDK refuse every span of ours.

    With it the SDK returns spans that are never sent (sentry-sdk 2.44 to 2.75). Streamed spans it ignores.
    """
    instrumenter = options.get("instrumenter")
    return None if instrumenter in _SENTRYS or _streams(options) else str(instrumenter)


_SENTRYS = (None, "", "sentry")
"""The values of `instrumenter` with which the SDK makes its own spans."""


def _streams(options: Mapping[str, Any]) -> bool:
    lifecycle = options.get("trace_lifecycle")
    if lifecycle is None and (experiments := options.get("_experiments")):
        lifecycle = experiments.get("trace_lifecycle")
    return lifecycle == "stream" and CAN_STREAM


def has_tracing(options: Mapping[str, Any]) -> bool:
    """Whether tracing is on, by the documented options of `sentry_sdk.init`."""
    sampled = options.get("traces_sample_rate") is not None or options.get("traces_sampler") is not None
    return sampled and options.get("enable_tracing") is not False


def has_sampler(client: Any) -> bool:
    """Whether the user decides with a `traces_sampler` what is sampled."""
    return callable(client.options.get("traces_sampler"))


def start_senders(client: Any, *, metrics: bool) -> None:
    """Start the sender threads of a client before there is anything to send.

    Workaround: a span that ends during interpreter shutdown is lost on Python 3.12 and later. The SDK starts these
    threads on first use (sentry-sdk 2.44 to 2.75), and Python 3.12+ refuses new threads during shutdown. Spans that
    other threads finish while a sender thread starts are lost too. Can go when the SDK starts its threads in `init`.

    Args:
        client: The client.
        metrics: Whether metrics will be sent too.
    """
    for sender in internals.senders(client, metrics=metrics):
        sender._ensure_thread()


def allowed_content(client: Any) -> tuple[bool, bool]:
    """Return whether a client allows the recording of AI inputs and of AI outputs.

    This is decided by `data_collection` in sentry-sdk >= 2.70 (if it is not set, it follows `send_default_pii`), and by
    `send_default_pii` in older versions. `include_prompts=False` of Sentry's LangchainIntegration or
    LanggraphIntegration forbids both.
    """
    options = client.options
    collection = options.get("data_collection")
    # A dict is one at once, while `Mapping` asks an abstract class.
    content = collection.get("gen_ai") if isinstance(collection, (dict, Mapping)) else None
    if isinstance(content, (dict, Mapping)):
        inputs, outputs = bool(content.get("inputs")), bool(content.get("outputs"))
    else:
        inputs = outputs = bool(options.get("send_default_pii"))
    return (False, False) if (inputs or outputs) and content_veto(client) is not None else (inputs, outputs)


def has_data_collection(client: Any) -> bool:
    """Whether the application set `data_collection`, and allows content of AI calls there."""
    return chose_collection(client) and any(allowed_content(client))


def chose_collection(client: Any) -> bool:
    """Whether the application set `data_collection` itself (sentry-sdk >= 2.70)."""
    collection = client.options.get("data_collection")
    return isinstance(collection, Mapping) and bool(collection.get("provided_by_user"))


def longest_text(client: Any) -> int | None:
    """Return the size in bytes at which a client cuts a text, or `None` if it cuts none (sentry-sdk >= 2.60)."""
    found = client.options.get("max_value_length")
    return found if isinstance(found, int) else None


def trace_page(base: str | None = None) -> str | None:
    """Return the address of Sentry's page for traces, without a trace's id, or `None` if the organisation is not known.

    Args:
        base: The address of the organisation. Without it, the organisation's number is taken from the client's DSN.

    Raises:
        TypeError: `base` is neither a `str` nor `None`.
        ValueError: `base` is no address.
    """
    check_optional_text("base", base)
    if base is not None:
        base = base.strip()
        if _ADDRESS.fullmatch(base) is None:
            raise ValueError(f"base must be the address of your organisation, as https://acme.sentry.io, not {base!r}")
    else:
        found = _ORGANISATION.search(str(current_client().options.get("dsn") or ""))
        base = f"https://sentry.io/organizations/{found[1]}" if found else None
    return f"{base.rstrip('/')}/explore/traces/trace" if base else None


_ADDRESS = re.compile(r"https?://[^\s?#]+")
_ORGANISATION = re.compile(r"@o(\d+)\.ingest\.(?:\w+\.)?sentry\.io/")
"""The number of the organisation in a DSN of sentry.io."""


def content_veto(client: Any) -> str | None:
    """Return the name of the Sentry integration that forbids content with `include_prompts=False`, or `None`."""
    for name in ("langchain", "langgraph"):
        integration = getattr(client, "integrations", {}).get(name)
        if not getattr(integration, "include_prompts", True):
            return name
    return None


def current_scopes() -> Scopes:
    """Return the current scope and the isolation scope. They identify the request."""
    return Scope.get_current_scope(), Scope.get_isolation_scope()


def within_scopes(scopes: Scopes | None) -> AbstractContextManager[None]:
    """Make these scopes current, so that spans finished here get their user, tags and request.

    A run may end in another request: that request may evict it, or collect its stream as garbage.
    """
    return nullcontext() if scopes is None or are_current(scopes) else _within(*scopes)


def copies_of(scopes: Scopes) -> Scopes:
    """Return copies of these scopes, with what the application has set on them by now."""
    current, isolation = (getattr(each, "covered", each) for each in scopes)  # that of a run only knows its span
    return current.fork(), isolation.fork()


def within_copies(copies: Scopes | None) -> AbstractContextManager[None]:
    """Make these copies of scopes current, whatever the current ones are."""
    return nullcontext() if copies is None else _within(*copies)


def are_current(scopes: Scopes | None) -> bool:
    """Whether the request of these scopes is the current one, with the same client."""
    if scopes is None:
        return True
    if scopes[1] is not Scope.get_isolation_scope():
        return False
    own, here = scopes[0].client, Scope.get_current_scope().client  # mostly none, and so the isolation scope's
    return own is here or not (own.is_active() or here.is_active())


@contextmanager
def _within(current: Scope, isolation: Scope) -> Iterator[None]:
    if scope_internals.use_isolation_scope is None or scope_internals.use_scope is None:
        yield
        return
    with scope_internals.use_isolation_scope(isolation), scope_internals.use_scope(current):
        yield


def is_sending(*, queues: bool) -> bool:
    """Whether the SDK is sending in this thread. It drops spans that are finished during that.

    This happens if garbage collection runs at that moment and ends the run of an unclosed stream.

    Args:
        queues: Whether the run uses the SDK's queues, which streamed spans and metrics do.
    """
    if internals.is_serializing is not None and internals.is_serializing.get(False):
        return True
    return queues and internals.is_flushing(sentry_sdk.get_client())


def is_queue_locked() -> bool:
    """Whether some thread is adding to one of the SDK's queues for spans and metrics, or sending what is in it."""
    return internals.is_queue_locked(sentry_sdk.get_client())


def has_user() -> bool:
    """Whether the application has said, with `sentry_sdk.set_user`, who the current user is."""
    scopes = (*current_scopes(), sentry_sdk.get_global_scope())
    return any(scope_internals.scope_user(scope) for scope in scopes)


def sentry_pipeline_name() -> str | None:
    """Return the pipeline name set with `sentry_sdk.ai.monitoring.set_ai_pipeline_name`."""
    name = _get_pipeline_name() if _get_pipeline_name is not None else None
    return name if isinstance(name, str) else None
