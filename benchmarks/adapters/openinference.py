"""OpenInference's instrumentor."""

from __future__ import annotations

from openinference.instrumentation import TraceConfig
from openinference.instrumentation.langchain import LangChainInstrumentor

from . import Adapter, Sink
from ._otel import adapter, provider


def setup(sink: Sink, variant: str) -> Adapter:
    """Without content, inputs and outputs are hidden."""
    hidden = variant == "no content"
    made = provider(
        sink,
        variant,
        lambda told: told.get("llm.model_name", "") if told.get("openinference.span.kind") == "LLM" else None,
    )
    LangChainInstrumentor().instrument(
        tracer_provider=made, config=TraceConfig(hide_inputs=hidden, hide_outputs=hidden)
    )
    return adapter(made)
