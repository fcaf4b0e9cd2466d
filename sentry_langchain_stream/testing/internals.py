"""The undocumented names of sentry-sdk that capturing needs, and the live runs of our own handlers.

Those of the SDK exist in sentry-sdk 2.55 (which added the queue) to 2.75. Without them spans are still captured, but if
two threads finish streamed spans at the same time, one span may be lost.
"""

from __future__ import annotations

import sys
import threading
from typing import Any, NamedTuple


class OpenRun(NamedTuple):
    """A root run that has not ended."""

    id: Any
    name: str
    trace_id: str | None
    """The trace that its spans belong to. `None` if it has none."""


def open_runs() -> list[OpenRun]:
    """Return the root runs that our handlers follow now.

    Nothing is imported for it. Where no handler has been made, the module is not loaded, and there are no runs.
    """
    live: Any = sys.modules.get("sentry_langchain_stream._runs.enclosing")
    runs = list(live._runs.values()) if live is not None else []
    known = set(map(id, runs))  # the pipeline around a lone model is not among them
    return [
        OpenRun(run.id, str(run.name or run.kind), getattr(run.place.anchor, "trace_id", None))
        for run in runs
        if id(run.parent) not in known
    ]


def steady(client: Any) -> None:
    """Make the SDK's queue of streamed spans complete when it is flushed, and safe for several threads.

    Workaround: while the first thread starts the sender thread, the queue drops the spans of other threads (sentry-sdk
    2.55 to 2.75), so the sender is started here. Can go when the SDK starts it in `init`.
    """
    complete_flushes(client)
    queue: Any = getattr(client, "span_batcher", None)
    if hasattr(queue, "_ensure_thread"):
        queue._ensure_thread()


def complete_flushes(client: Any) -> None:
    """Have `flush` return only when every streamed span that has ended was handed to the transport.

    Workaround: `flush` does not wait for spans that the sender thread has taken out of the queue and not handed on yet
    (sentry-sdk 2.55 to 2.75). A process that then ends at once loses them. So a lock makes flushes wait for each other.
    Can go when the SDK does that.
    """
    queue: Any = getattr(client, "span_batcher", None)
    if not hasattr(queue, "_flush"):
        return
    flush, turn = queue._flush, threading.RLock()

    def flush_in_turn(*args: Any, **kwargs: Any) -> Any:
        with turn:
            return flush(*args, **kwargs)

    queue._flush = flush_in_turn
