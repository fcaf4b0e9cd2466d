"""Contains failures of this package, so that they cannot break the user's chain.

A failure costs one attribute or event, and is logged once per cause and process. What is no `Exception`, such as
`KeyboardInterrupt`, `SystemExit` and `GeneratorExit`, is not a failure of this package and is not caught. Neither is
what a signal handler raises while it interrupts this package, see `is_from_signal`.

This project's own tests call `strict(True)`, which makes failures raise. A test runner is not detected, because the
handler must not break the tests of its users either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import CO_VARARGS
from types import FrameType, TracebackType
from typing import TypeVar

T = TypeVar("T")

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
        # `isinstance` would ask the exception for its class, and that may raise.
        if kind is None or error is None or not issubclass(kind, Exception):
            return False
        if _strict or is_from_signal(error):
            return False
        report(self._place, error)
        return True


def contain(place: str, error: Exception) -> None:
    """Handle a failure as `contained` does. For code that runs per token or call, where a plain `try` is cheaper."""
    if _strict or is_from_signal(error):
        raise error
    report(place, error)


def attempt(place: str, work: Callable[[], T]) -> T | None:
    """Call `work`, and return `None` if it fails, which is reported."""
    with contained(place):
        return work()
    return None


def pass_on(error: Exception) -> None:
    """Raise an exception again if it comes from a signal handler. For code that catches what the user's objects raise.

    Use it as the first statement where an `Exception` is caught.
    """
    if is_from_signal(error):
        raise error


def is_from_signal(error: BaseException) -> bool:
    """Whether a signal handler has raised an exception, in the midst of the code that let it through.

    Celery's soft time limit and RQ's timeout are such exceptions, and both are an `Exception`. They are meant for the
    application, whose code happened to be in one of our hooks when the signal arrived.

    A signal handler is recognised by its arguments: the number of the signal, and the frame that it interrupts. In the
    traceback that frame stands before the handler's. What one thread raises in another (`PyThreadState_SetAsyncExc`)
    leaves no such trace. So if it is an `Exception`, it is contained.
    """
    from . import tracebacks  # which takes a while to import, and is needed only after a failure

    interrupted: FrameType | None = None
    for entry in tracebacks.entries(error):
        if interrupted is not None and _handles_signal(entry.tb_frame, interrupted):
            return True
        interrupted = entry.tb_frame
    return False


def _handles_signal(frame: FrameType, interrupted: FrameType) -> bool:
    from . import tracebacks

    code = frame.f_code
    names = code.co_varnames[: code.co_argcount]
    given = [tracebacks.variable(frame, name) for name in names]
    if code.co_flags & CO_VARARGS:
        rest = tracebacks.variable(frame, code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
        given += rest if type(rest) is tuple else ()
    return any(each is interrupted for each in given) and any(issubclass(type(each), int) for each in given)
