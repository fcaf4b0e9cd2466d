"""All that is asked of Sentry's SDK. The only room that imports it, and the only one that detects its features.

`spans.py` has the two span models behind one protocol, `client.py` what a run must know of the client, `nesting.py`
makes spans active, `issues.py` reports failures, `metrics.py` records what is to survive sampling, `neighbours.py`
keeps the peace with Sentry's own integrations.
"""

from .client import allowed_content, choose, current_client, is_sending, pipeline_name, scopes, start_senders, within
from .issues import capture_error, first_failed
from .metrics import record_metrics
from .neighbours import INTEGRATION, deduplicated, has_integration, is_sentrys_handler, quiet_langgraph, warn_of_rival
from .nesting import Activation
from .spans import SpanBackend, Status

__all__ = [
    "INTEGRATION",
    "Activation",
    "SpanBackend",
    "Status",
    "allowed_content",
    "capture_error",
    "choose",
    "current_client",
    "deduplicated",
    "first_failed",
    "has_integration",
    "is_sending",
    "is_sentrys_handler",
    "pipeline_name",
    "quiet_langgraph",
    "record_metrics",
    "scopes",
    "start_senders",
    "warn_of_rival",
    "within",
]
