"""The undocumented names of sentry-sdk that capturing needs, and the live runs of our own handlers.

Those of the SDK exist in sentry-sdk 2.55 (which added the queue) to 2.75. Without them spans are still captured, but if
two threads finish streamed spans at the same time, one span may be lost.
"""

from __future__ import annotations

import sys
import threading
from typing import Any


def open_runs() -> dict[Any, str]:
    """Return the root runs that our handlers follow now: id and name.

    Nothing is imported for it. Where no handler has been made, the module is not loaded, and there are no runs.
    """
    live: Any = sys.modules.get("sentry_langchain_stream._runs.enclosing")
    runs = list(live._runs.values()) if live is not None else []
    known = set(map(id, runs))  # the pipeline around a lone model is not among them
    return {run.id: str(run.name or run.kind) for run in runs if id(run.parent) not in known}


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
