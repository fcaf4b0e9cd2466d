"""Sentry's LangchainIntegration, which `sentry_sdk.init` enables by itself."""

from __future__ import annotations

import sentry_sdk

from . import Adapter, Sink
from ._sentry import asgi, init, request


def setup(sink: Sink, variant: str) -> Adapter:
    """Sentry with its defaults."""
    init(sink, variant, own_integration=True)
    return Adapter([], request, sentry_sdk.flush, asgi=asgi)
