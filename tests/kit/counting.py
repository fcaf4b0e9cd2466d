"""Counts function calls: a measure of work that does not depend on the machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import sentry_langchain_stream

OURS = os.path.dirname(sentry_langchain_stream.__file__) + os.sep


def calls(work: Callable[[], object]) -> int:
    """The number of Python functions of this package that `work` calls, resumed generators included."""
    found = 0

    def count(frame: FrameType, event: str, _: Any) -> None:
        nonlocal found
        found += event == "call" and frame.f_code.co_filename.startswith(OURS)

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return found
