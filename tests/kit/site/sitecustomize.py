"""Hides packages from a process that has this folder on its `PYTHONPATH`: Python imports this as it starts.

`sentry_sdk.init` looks for some forty packages and imports those it finds. With the tests' extras that takes ten
seconds per process, for integrations that no such process uses. `TESTS_HIDE` names more, with commas between them.
"""

import os
import sys

_NOT_NEEDED = (
    *("anthropic", "boto3", "botocore", "celery", "django", "google.genai", "langchain_aws", "langchain_ollama"),
    *("sqlalchemy", *filter(None, os.environ.get("TESTS_HIDE", "").split(","))),
)

sys.modules.update(dict.fromkeys((name for name in _NOT_NEEDED if name not in sys.modules), None))  # type: ignore[arg-type]
