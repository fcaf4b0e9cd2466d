"""Import this first in a process of a test: Sentry then finds nothing that the test does not need.

`sentry_sdk.init` looks for some forty packages and imports those it finds, which with the tests' extras takes seconds
per process. Without them its own LangChain integration is as it always is.
"""

import sys

_NOT_NEEDED = ("anthropic", "boto3", "botocore", "celery", "django", "google.genai", "langchain_aws", "sqlalchemy")

sys.modules.update(dict.fromkeys((name for name in _NOT_NEEDED if name not in sys.modules), None))  # type: ignore[arg-type]
