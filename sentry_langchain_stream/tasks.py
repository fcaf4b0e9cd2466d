"""The asyncio task that we are in."""

from __future__ import annotations

import asyncio
from typing import Any


def current() -> asyncio.Task[Any] | None:
    """The current task, or `None` outside of any."""
    # `current_task` raises without a running loop, which costs more than to ask first. And each question for the loop
    # is a system call before Python 3.12.
    loop = asyncio._get_running_loop()
    return asyncio.current_task(loop) if loop is not None else None
