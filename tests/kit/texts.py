"""Plain streams of three texts, sync and async."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

ITEMS = ("one ", "two ", "three")


def texts() -> Iterator[str]:
    """Three texts."""
    yield from ITEMS


async def atexts() -> AsyncIterator[str]:
    """The same, async."""
    for item in ITEMS:
        yield item
