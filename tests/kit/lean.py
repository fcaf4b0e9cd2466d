"""Import this first in a process of a test: Sentry then finds nothing that the test does not need.

Besides what `tests/kit/site` hides, Sentry's LangChain integration imports LangChain's agents to wrap them, with them
LangGraph, and OpenAI's client. Without these it is as it always is. A process that needs one of the hidden packages
imports it before this.
"""

import sys

import tests.kit.site.sitecustomize  # noqa: F401

for name in ("langchain.agents", "langchain_openai", "openai"):
    if name not in sys.modules:
        sys.modules[name] = None  # type: ignore[assignment]
