"""Keeps collections of garbage short, of which many tests ask."""

from __future__ import annotations

import gc


def leave_out() -> None:
    """Leave what is there already out of each later collection, which would look at all of it again.

    For good: `gc.unfreeze` would bring it back for all tests that follow, so the linter refuses that.
    """
    gc.collect()
    gc.freeze()
