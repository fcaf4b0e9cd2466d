"""The least handler that finds out what it records: what reading LangChain's events costs, with no promise kept.

It makes the spans of this package with its attributes, each with its true value, as long as nothing is out of the
ordinary: one shape of every event (this benchmark's), every run with an end, nothing that fails, no settings, one call
at a time in a context, a question and an answer that are texts. Before it is timed, its spans are compared with this
package's: see `measuring.unlike`.
"""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any

import sentry_sdk

from . import Adapter, Sink
from ._sentry import asgi, init, request
from .empty import DONE, EmptyHandler

_ORIGIN = "auto.ai.langchain_stream"


class _Run:
    """A run with a span, and what its parents and its end need to know of it."""

    __slots__ = (
        "agent",
        "before",
        "by_events",
        "chunks",
        "first",
        "gap",
        "gap_at",
        "last",
        "pipeline",
        "request",
        "root",
        "scope",
        "span",
        "started",
        "tokens",
    )

    def __init__(self, span: Any, above: _Run | None, pipeline: str, agent: str | None, root: Any = None) -> None:
        self.span = span
        self.pipeline = pipeline
        self.agent = agent
        self.root = root
        self.request: dict[str, Any] = {}
        self.tokens: list[int] = [0, 0, 0] if above is None else above.tokens
        """Input, output and total of the model calls of the tree."""
        self.by_events = False
        self.chunks = 0
        self.first = self.last = self.gap = self.gap_at = 0.0
        self.scope = scope = sentry_sdk.get_current_scope()
        if root is not None:  # there may be other lone calls beside it, which share the scope of their context
            self.scope = scope = scope.fork()
            sentry_sdk.Scope.set_current_scope(scope)
        self.before = scope.span
        scope.span = span
        self.started = perf_counter()

    def count(self) -> None:
        """Count a chunk that has arrived, and note the longest gap."""
        now = perf_counter()
        if self.chunks:
            gap = now - self.last
            if gap > self.gap:
                self.gap, self.gap_at = gap, self.last
        else:
            self.first = self.gap_at = now
        self.chunks += 1
        self.last = now

    def end(self, attributes: dict[str, Any]) -> None:
        """End its span, and the root that was made for it."""
        self.scope.span = self.before
        if self.span.sampled:
            self._describe(attributes)
        self.span.set_status("ok")
        self.span.finish()
        if self.root is not None:
            self.root.set_status("ok")
            self.root.finish()

    def _describe(self, attributes: dict[str, Any]) -> None:
        of_all: dict[str, Any] = {
            "gen_ai.pipeline.name": self.pipeline,
            "pipeline_name": self.pipeline,
            "ai.pipeline.name": self.pipeline,
            "langchain_stream.outcome": "completed",
        }
        if self.agent is not None:
            attributes["gen_ai.agent.name"] = self.agent
        attributes.update(of_all)
        self.span.update_data(attributes)
        if self.root is not None:
            self.root.update_data(of_all)


class LeastHandler(EmptyHandler):
    """Spans of roots, tools and models, with what the events say."""

    def __init__(self, content: bool) -> None:
        self.content = content
        self.runs: dict[Any, _Run] = {}

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, metadata: Any = None, **more: Any
    ) -> Any:
        """Start the root's span; a chain inside of it hands it on."""
        above = self.runs.get(parent_run_id)
        if above is None:
            name = more.get("name") or "LangGraph"
            is_graph = bool(metadata) and "ls_integration" in metadata
            op, title = ("gen_ai.invoke_agent", f"invoke_agent {name}") if is_graph else ("function", name)
            above = _Run(self._span(None, op, title)[0], None, name, name if is_graph else None)
        self.runs[run_id] = above
        return DONE

    def on_chain_end(self, outputs: Any, *, run_id: Any, parent_run_id: Any = None, **more: Any) -> Any:
        """End it."""
        run = self.runs.pop(run_id)
        if parent_run_id is None:
            tokens = run.tokens
            run.end({} if run.agent is None else {"gen_ai.operation.name": "invoke_agent", **_usage(*tokens)})
        return DONE

    def on_tool_start(
        self, serialized: Any, input_str: Any, *, run_id: Any, parent_run_id: Any = None, **more: Any
    ) -> Any:
        """Start a tool's span."""
        above = self.runs[parent_run_id]
        name = serialized["name"]
        span, _ = self._span(above.span, "gen_ai.execute_tool", f"execute_tool {name}")
        run = self.runs[run_id] = _Run(span, above, above.pipeline, above.agent)
        run.request = {"gen_ai.tool.name": name}
        return DONE

    def on_tool_end(self, output: Any, *, run_id: Any, **more: Any) -> Any:
        """End it."""
        run = self.runs.pop(run_id)
        run.end(
            {
                **run.request,
                "gen_ai.operation.name": "execute_tool",
                "langchain_stream.tool_call_id": output.tool_call_id,
                "gen_ai.tool.call.result.size": len(output.content.encode()),
            }
        )
        return DONE

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: Any,
        parent_run_id: Any = None,
        metadata: Any = None,
        invocation_params: Any = None,
        **more: Any,
    ) -> Any:
        """Start a model's span."""
        above = self.runs.get(parent_run_id)
        model, name = invocation_params["model"], more["name"] or "langchain"
        span, root = self._span(None if above is None else above.span, "gen_ai.chat", f"chat {model}", name)
        run = self.runs[run_id] = (
            _Run(span, None, name, None, root) if above is None else _Run(span, above, above.pipeline, above.agent)
        )
        if not span.sampled:
            return DONE
        run.request = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model,
            "ai.model_id": model,
            "gen_ai.provider.name": metadata["ls_provider"],
            "gen_ai.request.temperature": float(invocation_params["temperature"]),
        }
        if self.content:
            run.request["gen_ai.input.messages"] = _told("user", messages[0][0].content)
        return DONE

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, run_id: Any, **more: Any) -> Any:
        """Count a chunk, and how long it took."""
        run = self.runs[run_id]
        if token and not run.by_events:
            run.count()
        return DONE

    def on_stream_event(self, event: Any, *, run_id: Any, **more: Any) -> Any:
        """The same of v3 events. The first one comes after the token that it is about."""
        run = self.runs[run_id]
        if event["event"] == "content-block-delta":
            if not run.by_events:
                run.by_events, run.chunks = True, 0
            run.count()
        return DONE

    def on_llm_end(self, response: Any, *, run_id: Any, **more: Any) -> Any:
        """End it."""
        run = self.runs.pop(run_id)
        if not run.span.sampled:
            run.end({})
            return DONE
        ended = perf_counter()
        message = response.generations[0][0].message
        used, said = message.usage_metadata, message.response_metadata
        input, output, total = used["input_tokens"], used["output_tokens"], used["total_tokens"]
        run.tokens[0] += input
        run.tokens[1] += output
        run.tokens[2] += total
        attributes = {
            **run.request,
            **_usage(input, output, total),
            "ai.total_tokens": total,
            "ai.total_tokens.used": total,
            "gen_ai.response.model": said["model_name"],
            "gen_ai.response.finish_reasons": said["finish_reason"],
            "gen_ai.response.streaming": bool(run.chunks),
            "gen_ai.response.tokens_per_second": output / (ended - run.started),
        }
        if self.content:
            attributes["gen_ai.output.messages"] = _told("assistant", message.content, said["finish_reason"])
        if run.chunks:
            attributes["langchain_stream.chunks"] = run.chunks
            attributes["gen_ai.response.time_to_first_chunk"] = run.first - run.started
            attributes["langchain_stream.final_silence"] = ended - run.last
            attributes["langchain_stream.longest_gap"] = run.gap
            attributes["langchain_stream.longest_gap_at"] = run.gap_at - run.started
            attributes["langchain_stream.decode_rate"] = output * (run.chunks - 1) / run.chunks / (run.last - run.first)
        run.end(attributes)
        return DONE

    def on_llm_error(self, error: Any, *, run_id: Any, **more: Any) -> Any:
        """A stream that is left has no answer."""
        self.runs.pop(run_id).end({})
        return DONE

    @staticmethod
    def _span(above: Any, op: str, name: str, pipeline: str | None = None) -> tuple[Any, Any]:
        """A span, and the root around it if there is nothing above."""
        root = None
        if above is None:
            above = sentry_sdk.get_current_span()
        if above is None:
            above = root = sentry_sdk.start_transaction(op="function", name=pipeline or name, origin=_ORIGIN)
        return above.start_child(op=op, name=name, origin=_ORIGIN), root


def _usage(input: int, output: int, total: int) -> dict[str, Any]:
    return {
        "gen_ai.usage.input_tokens": input,
        "gen_ai.usage.output_tokens": output,
        "gen_ai.usage.total_tokens": total,
        "langchain_stream.usage_source": "provider",
    }


def _told(role: str, text: str, reason: str | None = None) -> str:
    """A message as JSON."""
    message: dict[str, Any] = {"role": role, "parts": [{"type": "text", "content": text}]}
    if reason is not None:
        message["finish_reason"] = reason
    return json.dumps([message])


def setup(sink: Sink, variant: str) -> Adapter:
    """Sentry, and the handler."""
    init(sink, variant)
    handler = LeastHandler(variant == "content")
    return Adapter([handler], request, sentry_sdk.flush, lambda: len(handler.runs), asgi)
