"""Every test runs with our own failures raised, unless it asks for `lenient`."""

from collections.abc import Iterator

import pytest

from sentry_langchain_stream import SentryStreamHandler, containment


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    """Raise our own failures instead of containing them, and forget what was reported before."""
    containment.strict(True)
    containment.forget_reports()
    SentryStreamHandler.raise_error = True  # or LangChain would log what we raise
    yield
    SentryStreamHandler.raise_error = False
    containment.strict(False)
    containment.forget_reports()


@pytest.fixture
def lenient(strict: None) -> None:
    """Contain our own failures, as in production."""
    containment.strict(False)
    SentryStreamHandler.raise_error = False
