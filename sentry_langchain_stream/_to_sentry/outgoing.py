"""The trace that a request takes along."""

from __future__ import annotations

import sentry_sdk


def trace_headers() -> dict[str, str]:
    """The trace of the calling code, under the keys of Sentry and of W3C, which MCP reserves in `_meta`."""
    trace, baggage = sentry_sdk.get_traceparent(), sentry_sdk.get_baggage()
    if not trace:
        return {}
    trace_id, span_id, *sampled = trace.split("-")
    headers = {"sentry-trace": trace, "traceparent": f"00-{trace_id}-{span_id}-{'01' if sampled == ['1'] else '00'}"}
    return {**headers, "baggage": baggage} if baggage else headers
