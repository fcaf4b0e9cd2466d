"""The bare span with as much to say as this package's: what telling it costs, if nothing had to be found out."""

from __future__ import annotations

from typing import Any

import sentry_sdk

from . import Adapter, Sink
from ._sentry import init, request
from .bare import BareSpanHandler

ATTRIBUTES: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-bench",
    "gen_ai.response.model": "gpt-bench",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.pipeline.name": "bench",
    "langchain_stream.run_name": "FakeChatOpenAI",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.usage.total_tokens": 15,
    "gen_ai.usage.input_tokens.cached": 0,
    "gen_ai.usage.output_tokens.reasoning": 0,
    "gen_ai.response.streaming": False,
    "gen_ai.request.temperature": 0.5,
    "ai.model_id": "gpt-bench",
    "ai.pipeline.name": "bench",
    "ai.prompt_tokens.used": 12,
    "ai.completion_tokens.used": 3,
    "ai.total_tokens": 15,
    "pipeline_name": "bench",
    "outcome": "completed",
}
"""As many, of the same types, and about as long."""


class FullSpanHandler(BareSpanHandler):
    """Says the same of every call."""

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Say it, and finish the span."""
        span = self.spans[run_id]
        for name, value in ATTRIBUTES.items():
            span.set_data(name, value)
        return super().on_llm_end(response, run_id=run_id)


def setup(sink: Sink, variant: str) -> Adapter:
    """Sentry, and the handler."""
    init(sink, variant)
    handler = FullSpanHandler()
    return Adapter([handler], request, sentry_sdk.flush, lambda: len(handler.spans))
