"""The names of sentry-sdk that are not documented for users and that capturing needs.

Seen in sentry-sdk 2.55 (which brought the queue) to 2.75. Without them spans are captured all the same, but two threads
that finish streamed spans at once may lose one.
"""

from __future__ import annotations

import threading
from typing import Any


def steady(client: Any) -> None:
    """Make the SDK's queue of streamed spans (as of 2.75) safe for a reader, and for threads that begin at once.

    It drops what other threads add while the first one is making its sender thread, so that is made beforehand. And
    its `flush` does not wait for what the sender has taken out and not sent yet, so the two take turns.
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
