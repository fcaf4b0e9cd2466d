"""Datadog's tracer with its integrations of LangChain and LangGraph, whose spans hold no prompts."""

from __future__ import annotations

import os
from typing import Any

from . import Adapter, Sink


def setup(sink: Sink, variant: str) -> Adapter:
    """The tracer as with `ddtrace-run`, without what talks to the agent beside it."""
    os.environ.update(
        DD_TRACE_AGENT_URL="http://127.0.0.1:9",
        DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
        DD_REMOTE_CONFIGURATION_ENABLED="false",
        DD_TRACE_SAMPLING_RULES='[{"sample_rate": 0}]' if variant == "unsampled" else "[]",
    )
    import ddtrace
    from ddtrace.internal.writer import NativeWriter
    from ddtrace.trace import tracer

    write = NativeWriter.write

    def noted(self: Any, spans: Any = None) -> None:
        if sink.watched:
            # What is not sampled goes to the agent too, with a mark by which that drops it.
            for span in (each for each in spans or () if (each.context.sampling_priority or 0) > 0):
                sink.note(span.get_tag("langchain.request.model"), {**span.get_tags(), **span.get_metrics()})
        write(self, spans)

    NativeWriter.write = noted
    NativeWriter._send_payload = lambda *args, **kwargs: None
    ddtrace.patch(langchain=True, langgraph=True)
    return Adapter([], lambda: tracer.trace("request"), tracer.flush)
