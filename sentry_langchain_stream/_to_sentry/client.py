"""What a run must know of the Sentry client, and of the request that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import sentry_sdk
from sentry_sdk.scope import Scope

from . import internals
from .span_models import CAN_STREAM, NoSpans, SpanBackend, StreamedSpans, TransactionSpans

Scopes = tuple[Scope, Scope]
"""The current scope and the isolation scope."""

_TRANSACTION_SPANS = TransactionSpans()
_STREAMED_SPANS = StreamedSpans()
_NO_SPANS = NoSpans()


def current_client() -> Any:
    """The Sentry client of the calling code."""
    return sentry_sdk.get_client()


def choose_backend(client: Any) -> SpanBackend[Any] | None:
    """The backend for a new root run, or `None` if this client does not send."""
    if not client.is_active():
        return None
    options = client.options
    if not has_tracing(options):
        return _NO_SPANS
    lifecycle = options.get("trace_lifecycle") or (options.get("_experiments") or {}).get("trace_lifecycle")
    return _STREAMED_SPANS if CAN_STREAM and lifecycle == "stream" else _TRANSACTION_SPANS


def has_tracing(options: Mapping[str, Any]) -> bool:
    """Whether tracing is on, by the options that `sentry_sdk.init` documents."""
    sampled = options.get("traces_sample_rate") is not None or options.get("traces_sampler") is not None
    return sampled and options.get("enable_tracing") is not False


def start_senders(client: Any, *, metrics: bool) -> None:
    """Start the threads with which a client sends, before there is something to be sent.

    The SDK starts these threads on first use (sentry-sdk 2.44 to 2.75). During interpreter shutdown Python 3.12+
    refuses new threads, and a span that ends then would be lost. What other threads finish while one starts is
    dropped, too.

    Args:
        client: The client.
        metrics: Whether metrics are going to be sent, too.
    """
    for sender in internals.senders(client, metrics=metrics):
        sender._ensure_thread()


def allowed_content(client: Any) -> tuple[bool, bool]:
    """Whether a client allows AI inputs and outputs to be recorded.

    By `data_collection` where the SDK has it (>= 2.70, where it mirrors `send_default_pii` unless set),
    else by `send_default_pii`.
    """
    options = client.options
    collection = options.get("data_collection")
    content = collection.get("gen_ai") if isinstance(collection, Mapping) else None
    if isinstance(content, Mapping):
        return bool(content.get("inputs")), bool(content.get("outputs"))
    pii = bool(options.get("send_default_pii"))
    return pii, pii


def current_scopes() -> Scopes:
    """The current scope and isolation scope: whose request this is."""
    return sentry_sdk.get_current_scope(), sentry_sdk.get_isolation_scope()


def within_scopes(scopes: Scopes | None) -> AbstractContextManager[None]:
    """Send what is finished here with the user, tags and request of these scopes.

    A run may end in another request: evicted by it, or closed when garbage is collected there.
    """
    if scopes is None or scopes[1] is sentry_sdk.get_isolation_scope():
        return nullcontext()
    return _within(*scopes)


@contextmanager
def _within(current: Scope, isolation: Scope) -> Iterator[None]:
    if internals.use_isolation_scope is None or internals.use_scope is None:
        yield
        return
    with internals.use_isolation_scope(isolation), internals.use_scope(current):
        yield


def is_sending(*, queues: bool) -> bool:
    """Whether the SDK is sending on this very thread. What is finished meanwhile, it drops.

    That happens when garbage collection, which comes at any moment, ends the run of a stream that was not closed.

    Args:
        queues: Whether anything is put into a queue, from which it is sent: streamed spans, metrics.
    """
    if internals.is_serializing is not None and internals.is_serializing.get(False):
        return True
    return queues and internals.is_flushing(sentry_sdk.get_client())


def sentry_pipeline_name() -> str | None:
    """The pipeline name in Sentry's own context (`sentry_sdk.ai.monitoring.set_ai_pipeline_name`)."""
    name = internals.get_pipeline_name() if internals.get_pipeline_name is not None else None
    return name if isinstance(name, str) else None
