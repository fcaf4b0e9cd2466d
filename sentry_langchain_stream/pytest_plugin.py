"""A pytest plugin with the fixture `captured_spans`, active wherever this package is installed.

```python
def test_the_answer_has_a_span(captured_spans):
    chain.invoke(question, config={"callbacks": [handler]})
    assert captured_spans.find(op="gen_ai.chat").attributes["gen_ai.usage.total_tokens"] > 0
```

pytest loads this module in every run, so slow imports are done in the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing import Captured


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers", "sentry_options(**options): options of `sentry_sdk.init` for the fixture `captured_spans`."
    )


@pytest.fixture
def captured_spans(request: pytest.FixtureRequest) -> Iterator[Captured]:
    """Capture what Sentry's SDK would send during the test. No DSN is needed, and nothing is sent.

    The marker `sentry_options` sets options of the client. If there are several, the one nearest to the test wins.
    """
    from .testing import capture_spans

    options: dict[str, Any] = {}
    for marker in request.node.iter_markers("sentry_options"):
        if marker.args:
            raise TypeError(
                "the marker sentry_options takes options by name, such as sentry_options(environment='test'), "
                f"not {marker.args[0]!r}"
            )
        options = {**marker.kwargs, **options}  # the nearest marker comes first
    with capture_spans(**options) as captured:
        yield captured
