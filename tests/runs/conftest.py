"""The price list, which takes a second to load."""

from __future__ import annotations

import pytest

from sentry_langchain_stream._runs.pricing import Prices


@pytest.fixture(scope="module")
def prices() -> Prices:
    """The price list."""
    return Prices()
