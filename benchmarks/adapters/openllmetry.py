"""OpenLLMetry's instrumentor."""

from __future__ import annotations

import os

from . import Adapter, Sink
from ._otel import adapter, provider


def setup(sink: Sink, variant: str) -> Adapter:
    """An environment variable decides on content."""
    os.environ["TRACELOOP_TRACE_CONTENT"] = "false" if variant == "no content" else "true"
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    made = provider(sink, variant, lambda told: told.get("gen_ai.request.model"))
    LangchainInstrumentor().instrument(tracer_provider=made)
    return adapter(made)
