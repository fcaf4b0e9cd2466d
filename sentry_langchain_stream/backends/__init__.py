"""All that is asked of Sentry's SDK. The only room that imports it, and the only one that detects its features.

`spans.py` has the two span models behind one protocol, `issues.py` reports failures, `metrics.py` records what is to
survive sampling, `neighbours.py` keeps the peace with Sentry's own integrations.
"""

from .issues import capture_error, first_failed
from .metrics import record_metrics
from .neighbours import deduplicated, warn_of_rival
from .spans import SpanBackend, Status, allowed_content, choose, pipeline_name, scopes, within

__all__ = [
    "SpanBackend",
    "Status",
    "allowed_content",
    "capture_error",
    "choose",
    "deduplicated",
    "first_failed",
    "pipeline_name",
    "record_metrics",
    "scopes",
    "warn_of_rival",
    "within",
]
