"""Contain our own failures, and say so once: nothing of ours may break the user's chain.

A failure costs the one thing that was being worked out (an attribute, an event) and one log line
per cause and process. `KeyboardInterrupt`, `SystemExit` and `GeneratorExit` are not failures of
ours and pass.

This project's own tests set `strict(True)`, under which failures raise instead. Nothing detects a
test runner: users run tests too, and there the handler must stay as harmless as in production.
"""

from __future__ import annotations

import logging
from types import TracebackType

logger = logging.getLogger("sentry_langchain_stream")

_strict = False
_reported: set[tuple[str, str, str]] = set()
_MOST_CAUSES = 200


def strict(raise_failures: bool) -> None:
    """Raise failures (`True`) or contain them (`False`, the default). For this project's tests."""
    global _strict
    _strict = raise_failures


def is_strict() -> bool:
    """Whether failures are raised rather than contained."""
    return _strict


def warn_once(cause: str, message: str, *args: object) -> None:
    """Log a warning the first time that this cause is met in the process.

    Args:
        cause: What identifies the cause.
        message: A `logging` format string.
        *args: Its arguments.
    """
    key = ("warning", cause, "")
    if key not in _reported and len(_reported) < _MOST_CAUSES:
        _reported.add(key)
        logger.warning(message, *args)


def report(place: str, error: BaseException) -> None:
    """Log a contained failure, once per place, exception type and line of code.

    The exception's message is left out on purpose: it may quote the prompt or the answer.
    """
    line = "?"
    frame: TracebackType | None = error.__traceback__
    while frame is not None:
        line = f"{frame.tb_frame.f_globals.get('__name__', '?')}:{frame.tb_lineno}"
        frame = frame.tb_next
    key = (place, type(error).__name__, line)
    if key in _reported or len(_reported) >= _MOST_CAUSES:
        return
    _reported.add(key)
    logger.warning(
        "%s failed with %s at %s; the run goes on without it. Said once per cause.", place, type(error).__name__, line
    )


def forget_reports() -> None:
    """Start afresh with what has been said. For tests."""
    _reported.clear()


class contained:
    """A context manager that swallows and reports an `Exception` of ours, or raises it when strict."""

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if _strict:
            return False
        report(self._place, error)
        return True


def contain(place: str, error: Exception) -> None:
    """What `contained` does with a failure. For what every token or call passes through: a `try` costs nothing."""
    if _strict:
        raise error
    report(place, error)
