"""A provider's outage in its small form: see `tests/soak/outage.py`."""

from __future__ import annotations

import io

from tests.kit.absent import long
from tests.soak import outage


@long
def test_an_outage_leaves_nothing_behind() -> None:
    """While a provider fails, the application sees the same and keeps the same with our handler and without."""
    rows = io.StringIO()
    assert outage.main(half_hours=2, calls=11, out=rows) == 0, rows.getvalue()
