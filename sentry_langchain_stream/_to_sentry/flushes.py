"""Has a client that is flushed, or closed, send first what is held for it, within the same timeout.

What is sent runs the application's `before_send` and event processors. They run in a thread of ours: they may take
their time, or wait for a lock that the application holds while it flushes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any
from weakref import ref

from .._runtime.containment import contained

Take = Callable[[Any], "Callable[[], None] | None"]
"""Takes what is held for a client, and returns what sends it, or `None` if nothing is held."""


def lead(client: Any, take: Take) -> None:
    """Send what is held for a client when it is flushed or closed, which flushes it.

    Workaround: the client has no hook for it (sentry-sdk 2.44 to 2.75). Can go when it gets one.

    Args:
        client: The client.
        take: Takes what is held for it.
    """
    if "flush" in vars(client):
        return
    for name, make in (("flush", _flushing), ("flush_async", _flushing_async)):
        original = getattr(type(client), name, None)
        if original is not None:
            vars(client)[name] = make(ref(client), original, take)


def _flushing(weak: Callable[[], Any], original: Any, take: Take) -> Any:
    def flush_first(timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
        client = weak()
        with contained("issue"):
            send = take(client)
            if send is not None:
                timeout = _left(client, timeout, send)
        return original(client, timeout, *args, **kwargs)

    return flush_first


def _flushing_async(weak: Callable[[], Any], original: Any, take: Take) -> Any:
    async def flush_first(timeout: float | None = None, *args: Any, **kwargs: Any) -> Any:
        client = weak()
        with contained("issue"):
            send = take(client)
            if send is not None:
                timeout = await asyncio.to_thread(_left, client, timeout, send)
        return await original(client, timeout, *args, **kwargs)

    return flush_first


def _left(client: Any, timeout: float | None, send: Callable[[], None]) -> float:
    """Send, and return how many seconds are left of the timeout."""
    seconds = float(client.options.get("shutdown_timeout", 2) if timeout is None else timeout)
    began = time.monotonic()
    thread = threading.Thread(target=send, daemon=True, name="sentry-langchain-stream-flush")
    try:
        Context().run(thread.start)
    except RuntimeError:  # the interpreter is shutting down
        send()
    else:
        thread.join(max(seconds, 0.0))
    return max(seconds - (time.monotonic() - began), 0.0)
