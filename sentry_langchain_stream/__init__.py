"""Sentry spans for LangChain runs that stay right when answers are streamed.

```python
from sentry_langchain_stream import SentryStreamHandler

handler = SentryStreamHandler(pipeline_name="support-bot")
chain.invoke(question, config={"callbacks": [handler]})
```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .generators import track_stream
    from .handler import SentryStreamHandler
    from .integration import SentryStreamIntegration
    from .privacy import Limits

__all__ = ["Limits", "SentryStreamHandler", "SentryStreamIntegration", "__version__", "track_stream"]

__version__ = "0.1.0"

# A name is imported when it is asked for first: pytest loads our plugin, and with it this package, in every run.
_ROOMS = {
    "Limits": "privacy",
    "SentryStreamHandler": "handler",
    "SentryStreamIntegration": "integration",
    "track_stream": "generators",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    return value
