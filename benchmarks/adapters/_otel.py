"""What the contestants that use OpenTelemetry share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from . import Adapter, Sink


class SinkExporter(SpanExporter):
    """Stands where the OTLP exporter would.

    Args:
        sink: Where spans go.
        model: The model's name in the attributes of a span, `None` if it is not a model's.
    """

    def __init__(self, sink: Sink, model: Callable[[Any], object]) -> None:
        self._sink = sink
        self._model = model

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Swallow."""
        if self._sink.watched:
            for span in spans:
                self._sink.note(self._model(span.attributes or {}), span.to_json())
        return SpanExportResult.SUCCESS


def provider(sink: Sink, variant: str, model: Callable[[Any], object]) -> TracerProvider:
    """A provider as in production: a batch processor, with its defaults."""
    made = TracerProvider(sampler=ParentBased(ALWAYS_OFF if variant == "unsampled" else ALWAYS_ON))
    made.add_span_processor(BatchSpanProcessor(_exporter(sink, model)))
    return made


def _exporter(sink: Sink, model: Callable[[Any], object]) -> SpanExporter:
    if sink.address is None:
        return SinkExporter(sink, model)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{sink.address}/v1/traces")


def adapter(provider: TracerProvider) -> Adapter:
    """LangChain is instrumented globally; a request is a span of the provider's."""
    tracer = provider.get_tracer("bench")
    return Adapter([], lambda: tracer.start_as_current_span("request"), provider.force_flush)
