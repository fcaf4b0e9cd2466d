"""Sentry spans for LangChain runs, correct for streamed answers too.

```python
from sentry_langchain_stream import SentryStreamHandler

handler = SentryStreamHandler(pipeline_name="support-bot")
chain.invoke(question, config={"callbacks": [handler]})
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._content.policy import Limits
    from ._runs.run_info import RunInfo
    from ._runs.watches import WatchedRuns, watch_runs
    from ._vocabulary.keys import Dialect
    from .evaluations import record_evaluation, record_feedback
    from .handler import SentryStreamHandler
    from .integration import SentryStreamIntegration
    from .mcp_tools import trace_mcp
    from .tracking import AsyncTrackedStream, TrackedStream, current_stream, track_stream

__all__ = [
    "AsyncTrackedStream",
    "Dialect",
    "Limits",
    "RunInfo",
    "SentryStreamHandler",
    "SentryStreamIntegration",
    "TrackedStream",
    "WatchedRuns",
    "__version__",
    "current_stream",
    "record_evaluation",
    "record_feedback",
    "trace_mcp",
    "track_stream",
    "watch_runs",
]

__version__ = "0.1.0"

# Each name is imported on first access, because pytest loads our plugin, and with it this package, in every run.
_MODULE_OF = {
    "AsyncTrackedStream": "tracking",
    "Dialect": "_vocabulary.keys",
    "Limits": "_content.policy",
    "RunInfo": "_runs.run_info",
    "SentryStreamHandler": "handler",
    "SentryStreamIntegration": "integration",
    "TrackedStream": "tracking",
    "WatchedRuns": "_runs.watches",
    "current_stream": "tracking",
    "record_evaluation": "evaluations",
    "record_feedback": "evaluations",
    "trace_mcp": "mcp_tools",
    "track_stream": "tracking",
    "watch_runs": "_runs.watches",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
