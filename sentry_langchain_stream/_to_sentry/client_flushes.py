"""What a client does first when it is flushed, or closed, which flushes it.

Workaround: the client has no hook for it (sentry-sdk 2.44 to 2.75). Can go when it gets one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

from .._runtime.containment import contained

First = Callable[[Any, float], Iterator[None]]
"""What is done first, in steps: with the client, and with the seconds that the flush may take."""


def begin_with(first: First, client: Any) -> None:
    """Do this, too, first when the client is flushed. Does nothing if that has been asked of the client before."""
    found = vars(client).get("flush")
    if found is not None and not hasattr(found, "firsts"):  # somebody else's
        return
    firsts = [first]
    for name, make in (("flush", _flushing), ("flush_async", _flushing_async)):
        original = getattr(type(client), name, None)
        if original is not None:
            made = make(firsts, ref(client), original)
            made.firsts = firsts
            kept = vars(client).setdefault(name, made)  # another thread may be as fast
            if first not in getattr(kept, "firsts", firsts):
                kept.firsts.append(first)


def _flushing(firsts: list[First], weak: Callable[[], Any], original: Any) -> Any:
    def flush_first(*args: Any, **kwargs: Any) -> Any:
        client = weak()
        for _ in _all(firsts, client, _timeout(client, *args, **kwargs)):
            pass
        return original(client, *args, **kwargs)

    return flush_first


def _flushing_async(firsts: list[First], weak: Callable[[], Any], original: Any) -> Any:
    async def flush_first(*args: Any, **kwargs: Any) -> Any:
        client = weak()
        for _ in _all(firsts, client, _timeout(client, *args, **kwargs)):
            await asyncio.sleep(0)  # others have their turn
        return await original(client, *args, **kwargs)

    return flush_first


def _all(firsts: list[First], client: Any, timeout: float) -> Iterator[None]:
    for first in list(firsts):
        with contained("flush"):
            yield from first(client, timeout)


def _timeout(client: Any, timeout: float | None = None, *_: Any, **__: Any) -> float:
    return float(client.options.get("shutdown_timeout", 2) if timeout is None else timeout)
