"""An application that traces with OpenTelemetry, with Sentry's OTLPIntegration or without. Nothing is exported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from inspect import signature
from typing import Any

import pytest
from sentry_sdk import integrations, scope

OTLP = "OTLPIntegration"
PLAIN = "OpenTelemetry alone"
SETUPS = (OTLP, PLAIN)
"""Whether Sentry knows of OpenTelemetry."""


class Spans:
    """The current span of OpenTelemetry, by its ids."""

    def __init__(self, span: Any) -> None:
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.span_id = f"{context.span_id:016x}"


def options(setup: str) -> dict[str, Any]:
    """The client's options for such an application. Use them inside of `clean`."""
    if setup == PLAIN:
        return {}
    pytest.importorskip("opentelemetry.exporter.otlp")
    otlp = pytest.importorskip("sentry_sdk.integrations.otlp", reason="needs sentry-sdk 2.45")
    arguments = signature(otlp.OTLPIntegration).parameters
    exporter = next(name for name in arguments if name in ("setup_otlp_traces_exporter", "setup_otlp_exporter"))
    return {"integrations": [otlp.OTLPIntegration(**{exporter: False})]}


@contextmanager
def clean() -> Iterator[None]:
    """Undo what OTLPIntegration changes in the process, so that each client sets it up again."""
    propagate = pytest.importorskip("opentelemetry.propagate")
    before = propagate.get_global_textmap()
    try:
        yield
    finally:
        propagate.set_global_textmap(before)
        scope.remove_external_propagation_context()
        for known in (integrations._processed_integrations, integrations._installed_integrations):
            known.discard("otlp")


@contextmanager
def current(name: str = "request", *, sampled: bool = True) -> Iterator[Spans]:
    """Make a span of OpenTelemetry the current one."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    sampling = pytest.importorskip("opentelemetry.sdk.trace.sampling")
    provider = sdk.TracerProvider(sampler=sampling.ALWAYS_ON if sampled else sampling.ALWAYS_OFF)
    started: AbstractContextManager[Any] = provider.get_tracer("tests").start_as_current_span(name)
    with started as span:
        yield Spans(span)
