"""Datadog's LLM Observability, which records prompts, answers and tokens; it has no switch for content."""

from __future__ import annotations

import json
import os
from typing import Any

from . import Adapter, Sink


def setup(sink: Sink, variant: str) -> Adapter:
    """Without an agent and without APM, as its documentation says for that case."""
    os.environ.update(
        DD_APM_TRACING_ENABLED="false",
        DD_TRACE_AGENT_URL="http://127.0.0.1:9",
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
        DD_REMOTE_CONFIGURATION_ENABLED="false",
    )
    import ddtrace
    from ddtrace.internal.utils.http import Response
    from ddtrace.internal.writer import NativeWriter
    from ddtrace.llmobs import LLMObs
    from ddtrace.llmobs._writer import LLMObsSpanWriter
    from ddtrace.trace import tracer

    def swallow(self: Any, payload: Any, *args: Any, **kwargs: Any) -> Response:
        if sink.watched:
            _note(sink, payload)
        return Response(status=200)

    LLMObsSpanWriter._send_payload = swallow
    NativeWriter._send_payload = lambda *args, **kwargs: None
    # With its integration of OpenAI, that of LangChain would leave the model's span to it: there is no client here.
    LLMObs.enable(
        ml_app="bench", api_key="bench", site="datadoghq.com", agentless_enabled=True, integrations_enabled=False
    )
    ddtrace.patch(langchain=True, langgraph=True)
    return Adapter([], lambda: tracer.trace("request"), lambda: (tracer.flush(), LLMObs.flush()))


def _note(sink: Sink, payload: Any) -> None:
    text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(payload)
    sink.note(None, text)
    told = json.loads(text)
    for event in told if isinstance(told, list) else [told]:
        for span in event.get("spans", ()):
            meta = span.get("meta", {})
            kind = (meta.get("span") or {}).get("kind") or meta.get("span.kind")
            if kind == "llm":
                sink.note(meta.get("model_name") or "", span)
