"""This package, as its README says."""

from __future__ import annotations

import sentry_sdk
from sentry_sdk.serializer import add_global_repr_processor

from sentry_langchain_stream import SentryStreamHandler

from . import Adapter, Sink
from ._sentry import asgi, init, request


def setup(sink: Sink, variant: str) -> Adapter:
    """Sentry with its defaults, and one handler."""
    if variant != "no client":
        init(sink, variant, own_integration=True)
    if variant == "repr processor":
        add_global_repr_processor(lambda value, hint: NotImplemented)
    handler = SentryStreamHandler()
    return Adapter([handler], request, sentry_sdk.flush, lambda: handler.live_runs, asgi)
