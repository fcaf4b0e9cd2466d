"""Sentry spans for LangChain runs that stay right when answers are streamed.

```python
from sentry_langchain_stream import SentryStreamHandler

handler = SentryStreamHandler(pipeline_name="support-bot")
chain.invoke(question, config={"callbacks": [handler]})
```
"""

from .generators import track_stream
from .handler import SentryStreamHandler
from .integration import SentryStreamIntegration
from .privacy import Limits

__all__ = ["Limits", "SentryStreamHandler", "SentryStreamIntegration", "__version__", "track_stream"]

__version__ = "0.1.0"
