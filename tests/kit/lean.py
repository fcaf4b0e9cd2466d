"""Import this first in a process of a test: Sentry then finds nothing that the test does not need.

`sentry_sdk.init` looks for some forty packages and imports those it finds, which with the tests' extras takes seconds
per process. Sentry's LangChain integration, which our handler needs, imports agents and providers to wrap them. Without
them it is as it always is. A process that needs one of them imports it before this.
"""

import sys

_NOT_NEEDED = (
    *("anthropic", "boto3", "botocore", "celery", "django", "google.genai", "sqlalchemy"),
    *("langchain.agents", "langchain_aws", "langchain_ollama"),
)

sys.modules.update(dict.fromkeys((name for name in _NOT_NEEDED if name not in sys.modules), None))  # type: ignore[arg-type]
