"""What the checks know of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._to_sentry.client import makes_spans
from .case import Case

LEAVE_INSTRUMENTER = (
    "Remove instrumenter=..., and OpenTelemetryIntegration or SentrySpanProcessor with it. Pass "
    "integrations=[OTLPIntegration()] to sentry_sdk.init instead (sentry-sdk 2.45 or newer). Keep traces_sample_rate."
)


def sends_spans(client: Any) -> bool:
    """Whether the SDK sends the spans of OpenTelemetry to Sentry, or links its events to them."""
    return "otlp" in _integrations(client)


def frameworks(case: Case) -> list[str]:
    """Sentry's integrations whose spans of requests keep runs out of OpenTelemetry's traces."""
    if not sends_spans(case.client) or not makes_spans(case.client):
        return []
    found = _integrations(case.client).items()
    return sorted(name for name, integration in found if getattr(integration, "http_methods_to_capture", None))


def _integrations(client: Any) -> Mapping[str, Any]:
    return getattr(client, "integrations", None) or {}
