"""What waits for the end of a garbage collection."""

from __future__ import annotations

import gc

from sentry_langchain_stream._runtime import interpreter


def test_what_has_waited_for_a_collection_may_wait_once_more() -> None:
    """It is done with the same collection, and nothing of it is left for the next one."""
    interpreter.watch_collections()
    done = []

    def work() -> None:
        done.append("work")
        interpreter.after_collection(lambda: done.append("more work"))

    class Lost:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            interpreter.after_collection(work)
            done.append("lost")

    Lost()
    before = len(gc.callbacks)
    gc.collect()
    assert done == ["lost", "work", "more work"]
    assert (len(gc.callbacks), bool(interpreter.collecting)) == (before, False)
