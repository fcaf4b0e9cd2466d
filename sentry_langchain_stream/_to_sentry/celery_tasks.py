"""What becomes of a failed Celery task, as Celery itself says. Nothing here if Celery is not imported."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from typing import Any

from .._runtime.containment import contained

Decided = Callable[[BaseException], None]
"""Called with an exception that Celery retries, expects or reports."""


def follow(decided: Decided) -> None:
    """Follow what Celery does with a task: it may retry the task, or expect its exceptions, and reports all others."""
    signals: Any = sys.modules.get("celery.signals")
    if signals is not None:
        _connect(signals, decided)


@cache
def _connect(signals: Any, decided: Decided) -> None:
    def decide(*errors: Any) -> None:
        for error in errors:
            if isinstance(error, BaseException):
                with contained("celery"):
                    decided(error)

    def on_retry(reason: Any = None, **_: Any) -> None:
        # With `retry(exc=...)` the task names an exception of its own. The failure is then the context of the `Retry`.
        decide(getattr(reason, "exc", None), reason)

    def on_failure(exception: Any = None, **_: Any) -> None:
        decide(exception)

    def on_end(state: Any = None, retval: Any = None, **_: Any) -> None:
        if state in ("IGNORED", "REJECTED"):  # of which there is no other signal, as of a task that replaces itself
            decide(retval)

    with contained("celery"):
        signals.task_retry.connect(on_retry, weak=False)
        signals.task_failure.connect(on_failure, weak=False)
        signals.task_postrun.connect(on_end, weak=False)
