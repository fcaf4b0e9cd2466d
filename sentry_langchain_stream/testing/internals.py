"""The undocumented names of sentry-sdk that capturing needs.

They exist in sentry-sdk 2.55 (which added the queue) to 2.75. Without them spans are still captured, but if two threads
finish streamed spans at the same time, one span may be lost.
"""

from __future__ import annotations

import threading
from typing import Any


def steady(client: Any) -> None:
    """Make the SDK's queue of streamed spans complete when it is flushed, and safe for several threads.

    Workaround for two problems (sentry-sdk 2.55 to 2.75). While the first thread starts the sender thread, the queue
    drops the spans of other threads, so the sender is started here. And `flush` does not wait for spans that the sender
    has taken out but not sent yet, so a lock makes flushes wait for each other. Can go when the SDK does both.
    """
    queue: Any = getattr(client, "span_batcher", None)
    if not (hasattr(queue, "_ensure_thread") and hasattr(queue, "_flush")):
        return
    flush, turn = queue._flush, threading.RLock()

    def flush_in_turn(*args: Any, **kwargs: Any) -> Any:
        with turn:
            return flush(*args, **kwargs)

    queue._flush = flush_in_turn
    queue._ensure_thread()
