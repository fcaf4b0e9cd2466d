"""Bare Sentry spans with all that this package's have: what they cost if nothing had to be found out.

It makes the same spans as this package, with as many attributes of the same types, and makes each the active one. What
it writes into them it knows beforehand. Before it is timed, its spans are compared with this package's: see
`measuring.unlike`.
"""

from __future__ import annotations

from typing import Any

import sentry_sdk

from . import Adapter, Sink
from ._sentry import asgi, init, request
from .empty import DONE, EmptyHandler

_ORIGIN = "auto.ai.langchain_stream"
_OF_ALL: dict[str, Any] = {
    "gen_ai.pipeline.name": "FakeChatOpenAI",
    "pipeline_name": "FakeChatOpenAI",
    "ai.pipeline.name": "FakeChatOpenAI",
    "langchain_stream.outcome": "completed",
}
_TOTALS: dict[str, Any] = {
    "gen_ai.usage.input_tokens": 73_215_501,
    "gen_ai.usage.output_tokens": 34,
    "gen_ai.usage.total_tokens": 73_215_535,
    "langchain_stream.usage_source": "provider",
}
_MODEL: dict[str, Any] = {
    **_OF_ALL,
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-bench",
    "ai.model_id": "gpt-bench",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.response.model": "gpt-bench",
    "gen_ai.response.finish_reasons": "stop",
    "gen_ai.response.streaming": False,
    **_TOTALS,
    "ai.total_tokens": 73_215_535,
    "ai.total_tokens.used": 73_215_535,
    "gen_ai.response.tokens_per_second": 123_456.789,
}
_STREAM: dict[str, Any] = {
    **_MODEL,
    "langchain_stream.chunks": 10,
    "gen_ai.response.time_to_first_chunk": 0.000123456,
    "langchain_stream.final_silence": 0.000012345,
    "langchain_stream.longest_gap": 0.000054321,
    "langchain_stream.longest_gap_at": 0.000123456,
    "langchain_stream.decode_rate": 1234.56789,
}
_IN_AN_AGENT: dict[str, Any] = {"gen_ai.agent.name": "captain"}
_AGENT: dict[str, Any] = {**_OF_ALL, **_IN_AN_AGENT, "gen_ai.operation.name": "invoke_agent", **_TOTALS}
_TOOL: dict[str, Any] = {
    **_OF_ALL,
    **_IN_AN_AGENT,
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "weather",
    "langchain_stream.tool_call_id": "call-1",
    "gen_ai.tool.call.result.size": 20,
}
_MODEL_IN_AN_AGENT: dict[str, Any] = {**_MODEL, **_IN_AN_AGENT}


class FullSpanHandler(EmptyHandler):
    """Spans of roots, tools and models, which all say the same each time."""

    def __init__(self) -> None:
        self.spans: dict[Any, Any] = {}
        """Span, its scope, what was active there before, and the root that the span's end ends too, by run id."""
        self._parents: dict[Any, Any] = {}
        """The span that is the parent of what a chain calls, by run id."""
        self._streamed: set[Any] = set()

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Start the root's span; a chain inside of it needs none."""
        above = self._parents.get(kwargs.get("parent_run_id"))
        if above is None:
            is_agent = kwargs.get("name") == "captain"
            op, name = ("gen_ai.invoke_agent", "invoke_agent captain") if is_agent else ("function", "level4")
            above = self._start(run_id, None, op, name)
        self._parents[run_id] = above
        return DONE

    def on_chain_end(self, outputs: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """End it."""
        span = self._parents.pop(run_id, None)
        if run_id in self.spans:
            self._end(run_id, _OF_ALL if span.op == "function" else _AGENT)
        return DONE

    def on_tool_start(self, serialized: Any, input_str: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Start a tool's span."""
        above = self._parents.get(kwargs.get("parent_run_id"))
        self._start(run_id, above, "gen_ai.execute_tool", "execute_tool weather")
        return DONE

    def on_tool_end(self, output: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """End it."""
        self._end(run_id, _TOOL)
        return DONE

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Start a model's span."""
        self._start(run_id, self._parents.get(kwargs.get("parent_run_id")), "gen_ai.chat", "chat gpt-bench")
        return DONE

    def on_llm_new_token(self, token: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """Note that it streams, which decides on what there is to say of it."""
        self._streamed.add(run_id)
        return DONE

    def on_stream_event(self, event: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """The same of v3 events."""
        self._streamed.add(run_id)
        return DONE

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """End it."""
        if run_id in self._streamed:
            self._streamed.discard(run_id)
            self._end(run_id, _STREAM)
        else:
            above = self._parents.get(kwargs.get("parent_run_id"))
            in_agent = above is not None and above.op == "gen_ai.invoke_agent"
            self._end(run_id, _MODEL_IN_AN_AGENT if in_agent else _MODEL)
        return DONE

    def on_llm_error(self, error: Any, *, run_id: Any, **kwargs: Any) -> Any:
        """The same."""
        return self.on_llm_end(None, run_id=run_id)

    def _start(self, run_id: Any, above: Any, op: str, name: str) -> Any:
        root = None
        scope = sentry_sdk.get_current_scope()
        before = scope.span
        if above is None:
            above = before
        if above is None:
            above = root = sentry_sdk.start_transaction(op="function", name="FakeChatOpenAI", origin=_ORIGIN)
        span = above.start_child(op=op, name=name, origin=_ORIGIN)
        self.spans[run_id] = span, scope, before, root
        scope.span = span
        return span

    def _end(self, run_id: Any, attributes: dict[str, Any]) -> None:
        span, scope, before, root = self.spans.pop(run_id)
        scope.span = before
        span.update_data(attributes)
        span.set_status("ok")
        span.finish()
        if root is not None:
            root.update_data(_OF_ALL)
            root.set_status("ok")
            root.finish()


def setup(sink: Sink, variant: str) -> Adapter:
    """Sentry, and the handler."""
    init(sink, variant)
    handler = FullSpanHandler()
    return Adapter([handler], request, sentry_sdk.flush, lambda: len(handler.spans), asgi)
