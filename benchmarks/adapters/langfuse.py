"""Langfuse's callback handler."""

from __future__ import annotations

from typing import Any

from langfuse import Langfuse
from langfuse.langchain import CallbackHandler

from . import Adapter, Sink
from ._otel import SinkExporter


def setup(sink: Sink, variant: str) -> Adapter:
    """Without content, what it offers is used: a mask over inputs and outputs."""
    client = Langfuse(
        public_key="pk-bench",
        secret_key="sk-bench",
        base_url=sink.address or "http://127.0.0.1:9",
        sample_rate=0.0 if variant == "unsampled" else 1.0,
        mask=_masked if variant == "no content" else None,
        span_exporter=None
        if sink.address is not None
        else SinkExporter(sink, lambda told: told.get("langfuse.observation.model.name")),
    )
    return Adapter(
        [CallbackHandler(public_key="pk-bench")],
        lambda: client.start_as_current_observation(name="request"),
        client.flush,
    )


def _masked(*, data: Any, **kwargs: Any) -> Any:
    return "masked"
