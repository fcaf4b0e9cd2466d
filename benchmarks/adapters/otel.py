"""OpenTelemetry's own GenAI instrumentation."""

from __future__ import annotations

import os

from . import Adapter, Sink
from ._otel import adapter, provider


def setup(sink: Sink, variant: str) -> Adapter:
    """Environment variables decide on content."""
    os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] = "gen_ai_latest_experimental"
    mode = "NO_CONTENT" if variant == "no content" else "SPAN_ONLY"
    os.environ["OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"] = mode
    from opentelemetry.instrumentation.genai.langchain import LangChainInstrumentor

    made = provider(sink, variant, _model)
    LangChainInstrumentor().instrument(tracer_provider=made)
    return adapter(made)


def _model(told: dict[str, object]) -> object:
    return told.get("gen_ai.request.model", "") if told.get("gen_ai.operation.name") == "chat" else None
