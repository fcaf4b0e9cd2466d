"""A handler that only starts and finishes a Sentry span per model call: the least that a span can cost."""

from __future__ import annotations

from typing import Any

import sentry_sdk

from . import Adapter, Sink
from ._sentry import asgi, init, request
from .empty import DONE, EmptyHandler


class BareSpanHandler(EmptyHandler):
    """One span per model call, and nothing in it but the model's name."""

    def __init__(self) -> None:
        self.spans: dict[Any, Any] = {}

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Start a span, in a transaction of its own if there is none."""
        above = sentry_sdk.get_current_span() or sentry_sdk.start_transaction(op="bench.root", name="root")
        self.spans[run_id] = above.start_child(op="bench.span", name="chat gpt-bench")
        return DONE

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Finish it."""
        span = self.spans.pop(run_id)
        span.finish()
        root = span.containing_transaction
        if root.op == "bench.root":
            root.finish()
        return DONE

    def on_llm_error(self, error: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """The same."""
        return self.on_llm_end(None, run_id=run_id)


class BareStreamedSpanHandler(BareSpanHandler):
    """The same with streamed spans."""

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Start a span."""
        above = sentry_sdk.traces.get_current_span()
        self.spans[run_id] = sentry_sdk.traces.start_span(
            "chat gpt-bench", attributes={"sentry.op": "bench.span"}, parent_span=above, active=False
        )
        return DONE

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Finish it."""
        self.spans.pop(run_id).end()
        return DONE


def setup(sink: Sink, variant: str) -> Adapter:
    """Sentry, and the handler."""
    init(sink, variant)
    handler = BareStreamedSpanHandler() if variant == "streamed" else BareSpanHandler()
    return Adapter([handler], request, sentry_sdk.flush, lambda: len(handler.spans), asgi)
