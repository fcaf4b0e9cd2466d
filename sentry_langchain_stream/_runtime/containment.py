"""Contains failures of this package, so that they cannot break the user's chain.

A failure costs one attribute or event, and is logged once per cause and process. `KeyboardInterrupt`, `SystemExit` and
`GeneratorExit` are not failures of this package, and are not caught.

This project's own tests call `strict(True)`, which makes failures raise. A test runner is not detected, because the
handler must not break the tests of its users either.
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
    """Log a warning, once per cause and process.

    Args:
        cause: Identifies the cause.
        message: A `logging` format string.
        *args: Its arguments.
    """
    key = ("warning", cause, "")
    if key not in _reported and len(_reported) < _MOST_CAUSES:
        _reported.add(key)
        logger.warning(message, *args)


def report(place: str, error: BaseException) -> None:
    """Log a contained failure, once per place, exception type and line of code.

    The exception's message is left out, because it may quote the prompt or the answer.
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
        "%s failed with %s at %s; the run continues without it. Logged once per cause.",
        place,
        type(error).__name__,
        line,
    )


def forget_reports() -> None:
    """Forget which causes have been logged. For tests."""
    _reported.clear()


class contained:
    """A context manager that catches and reports an `Exception`. It does not catch it when `strict(True)` is set."""

    __slots__ = ("_place",)

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if _strict:
            return False
        report(self._place, error)
        return True


def contain(place: str, error: Exception) -> None:
    """Handle a failure as `contained` does. For code that runs once per token, where a plain `try` is cheaper."""
    if _strict:
        raise error
    report(place, error)
