"""MLflow's autologging of LangChain, to a tracking server, asynchronously as by default."""

from __future__ import annotations

import os
from typing import Any

from . import Adapter, Sink


def setup(sink: Sink, variant: str) -> Adapter:
    """It has no switch for content."""
    os.environ.update(
        MLFLOW_TRACKING_URI="http://127.0.0.1:9",
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_TRACE_SAMPLING_RATIO="0" if variant == "unsampled" else "1",
    )
    import mlflow
    import mlflow.langchain
    from mlflow.entities.trace_location import MlflowExperimentLocation
    from mlflow.tracing.client import TracingClient

    def log_spans(self: Any, location: str, spans: list[Any]) -> list[Any]:
        if sink.watched:
            for span in spans:
                is_model = span.span_type in ("CHAT_MODEL", "LLM")
                sink.note(span.model_name or "" if is_model else None, span.to_dict())
        return spans

    TracingClient.log_spans = log_spans
    TracingClient.start_trace = lambda self, trace_info: trace_info
    TracingClient._upload_trace_data = lambda *args, **kwargs: None
    mlflow.tracing.set_destination(MlflowExperimentLocation(experiment_id="0"))
    mlflow.langchain.autolog()
    return Adapter([], lambda: mlflow.start_span("request"), _flush)


def _flush() -> None:
    # `mlflow.flush_trace_async_logging` does this and stops its threads, which takes a second.
    from mlflow.tracing.provider import _get_span_processor, _get_trace_exporter

    processor = _get_span_processor()
    if processor is not None:
        processor.force_flush()
        _get_trace_exporter()._async_queue._queue.join()
