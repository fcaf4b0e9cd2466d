"""What a run must know of the Sentry client, and of the request that it serves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import sentry_sdk
from sentry_sdk import utils
from sentry_sdk.ai.monitoring import get_ai_pipeline_name
from sentry_sdk.scope import Scope, use_isolation_scope, use_scope
from sentry_sdk.tracing_utils import has_tracing_enabled

from .span_models import CAN_STREAM, NoSpans, SpanBackend, StreamedSpans, TransactionSpans

_is_serializing: ContextVar[bool] | None = getattr(utils, "disable_capture_event", None)

_TRANSACTION_SPANS = TransactionSpans()
_STREAMED_SPANS = StreamedSpans()
_NO_SPANS = NoSpans()


def current_client() -> Any:
    """The Sentry client of whoever asks."""
    return sentry_sdk.get_client()


def choose_backend(client: Any) -> SpanBackend | None:
    """The backend for a new root run, or `None` if the client is none that sends."""
    if not client.is_active():
        return None
    options = client.options
    if not has_tracing_enabled(options):
        return _NO_SPANS
    lifecycle = options.get("trace_lifecycle") or (options.get("_experiments") or {}).get("trace_lifecycle")
    return _STREAMED_SPANS if CAN_STREAM and lifecycle == "stream" else _TRANSACTION_SPANS


def start_senders(client: Any, *, metrics: bool) -> None:
    """Start the threads with which a client sends, once there is something to be sent some time.

    Else the SDK starts each with the first thing to send. If that is a run that ends as the process exits, Python 3.12
    has none to give any more, and it is lost. And what other threads finish meanwhile is dropped (sentry-sdk 2.75).

    Args:
        client: The client.
        metrics: Whether metrics are going to be sent, too.
    """
    worker = getattr(getattr(client, "transport", None), "_worker", None)
    counts = getattr(client, "metrics_batcher", None) if metrics else None
    for sender in (worker, getattr(client, "span_batcher", None), counts):
        start = getattr(sender, "_ensure_thread", None)
        if start is not None:
            start()


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


def current_scopes() -> tuple[Scope, Scope]:
    """The current scope and isolation scope: whose request this is."""
    return sentry_sdk.get_current_scope(), sentry_sdk.get_isolation_scope()


def within_scopes(of: tuple[Scope, Scope] | None) -> AbstractContextManager[Any]:
    """Send what is finished here with the user, tags and request of these scopes.

    A run may end in somebody else's request: swept up by it, or closed when garbage is collected there.
    """
    if of is None or of[1] is sentry_sdk.get_isolation_scope():
        return nullcontext()
    return _within(*of)


@contextmanager
def _within(current: Scope, isolation: Scope) -> Iterator[None]:
    with use_isolation_scope(isolation), use_scope(current):
        yield


def is_sending(*, queues: bool) -> bool:
    """Whether the SDK is at work on what it sends, on this very thread. What is finished meanwhile, it drops.

    It is so when garbage collection, which comes at any moment, ends the run of a stream that nobody has closed.

    Args:
        queues: Whether anything is put into a queue, from which it is sent: streamed spans, metrics.
    """
    if _is_serializing is not None and _is_serializing.get(False):
        return True
    if not queues:
        return False
    client = sentry_sdk.get_client()
    for queue in (getattr(client, "span_batcher", None), getattr(client, "metrics_batcher", None)):
        if queue is not None and getattr(getattr(queue, "_active", None), "flag", False):
            return True
    return False


def sentry_pipeline_name() -> str | None:
    """The pipeline name in Sentry's own context (`sentry_sdk.ai.monitoring.set_ai_pipeline_name`)."""
    return get_ai_pipeline_name()
