"""Warns of what a later version will not have. `docs/stability.md` says how long that takes."""

from __future__ import annotations

import sys
import warnings

_PACKAGE = __name__.partition(".")[0]


def deprecated(what: str, *, since: str, until: str, instead: str) -> None:
    """Warn the application that it uses something which is going away.

    The warning names the line of the application, or of the library, that called this package.

    Args:
        what: What is deprecated, such as "the argument `x` of `track_stream`".
        since: The version that has deprecated it.
        until: The version that will not have it.
        instead: What to use.
    """
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
        level += 1
    message = f"{what} is deprecated since sentry-langchain-stream {since}, and {until} will not have it: use {instead}"
    warnings.warn(message, DeprecationWarning, stacklevel=level)
