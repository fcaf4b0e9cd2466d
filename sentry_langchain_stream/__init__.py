"""Sentry spans for LangChain runs that stay right when answers are streamed.

```python
from sentry_langchain_stream import SentryStreamHandler

handler = SentryStreamHandler(pipeline_name="support-bot")
chain.invoke(question, config={"callbacks": [handler]})
```
"""

from .handler import SentryStreamHandler

__all__ = ["SentryStreamHandler", "__version__"]

__version__ = "0.1.0"
