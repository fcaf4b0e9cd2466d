"""Other event loops: uvloop, and tasks that start at once (`asyncio.eager_task_factory`, Python 3.12).

Not both at once: uvloop 0.23 calls the factory in a way that Python 3.13.0 refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end import test_endings
from tests.kit.async_context import HAS_ASYNC_CONTEXT
from tests.kit.endings import ENDINGS, Ending
from tests.kit.pairwise import pairwise, table
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import WIRE_SHAPES


def uvloop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
    return loop


def eager() -> asyncio.AbstractEventLoop:
    factory: Any = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("needs eager tasks, which came with Python 3.12")
    loop = asyncio.new_event_loop()
    loop.set_task_factory(factory)
    return loop


def can_end_so(ending: Ending, subject: Subject, shape: str) -> bool:
    if str(ending).startswith("sync_") or (subject.name in ("agent", "tool") and not HAS_ASYNC_CONTEXT):
        return False
    return test_endings.can_end_so(ending, subject, shape)


CELLS = pairwise(table(ENDINGS, SUBJECTS, WIRE_SHAPES, possible=can_end_so))


@pytest.mark.parametrize("make", [uvloop, eager])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_ending_is_told_on_every_loop(make: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Streams that end, are left, cancelled or fail are recorded as on asyncio's own loop with its own tasks."""
    loop = make()
    try:
        for ending, subject, shape in CELLS:
            try:
                loop.run_until_complete(test_endings.test_an_ending_is_told(ending, subject, shape))
            except AssertionError as error:
                raise AssertionError(f"{ending} of {subject}, {shape}") from error
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
