"""This package without its prepared spans: the SDK prepares every span itself."""

from __future__ import annotations

from typing import Any

from sentry_langchain_stream._to_sentry import plain_spans

from . import Adapter, Sink
from .own import setup as _setup


def setup(sink: Sink, variant: str) -> Adapter:
    """As `own`, but for the spans."""
    parts: Any = vars(plain_spans)
    if "_CAN_PREPARE" not in parts:
        raise RuntimeError("prepared spans are switched off in another way by now")
    parts["_CAN_PREPARE"] = False
    return _setup(sink, variant)
