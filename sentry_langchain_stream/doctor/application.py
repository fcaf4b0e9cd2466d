"""Initialises Sentry as the application does, or plainly."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from functools import reduce
from typing import Any

import sentry_sdk

from .findings import Finding, error_text

NAME = "app"


class NoSuchApplication(Exception):
    """The module or function that `--app` names does not exist."""


def initialise(target: str | None) -> Finding:
    """Set up Sentry as the application does.

    Args:
        target: `module` is imported. With `module:function`, the function is also called. The current directory is
            searched first. `None` calls a plain `sentry_sdk.init`, with the DSN from the environment.

    Raises:
        NoSuchApplication: There is no such module, or it has no such function.
    """
    try:
        if target is None:
            sentry_sdk.init(traces_sample_rate=1.0)
            return Finding(
                NAME,
                "ok",
                "no --app, so this is sentry_sdk.init(traces_sample_rate=1.0) with SENTRY_DSN from the environment",
                "To check your own set-up, pass the function that initialises Sentry: --app module:function.",
            )
        return Finding(NAME, "ok", _load(target))
    except NoSuchApplication:
        raise
    except (Exception, SystemExit) as error:
        return Finding(
            NAME,
            "fail",
            f"{target or 'sentry_sdk.init'} raised {error_text(error)}",
            "Check SENTRY_DSN."
            if target is None
            else "Fix that first, or pass a function that only initialises Sentry.",
        )


def _load(target: str) -> str:
    module, _, path = target.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a module that the application imports is missing
        raise NoSuchApplication(f"there is no module {error.name!r}, also not in {here}") from None
    if not path:
        return f"{module} was imported"
    try:
        found: Any = reduce(getattr, path.split("."), imported)
    except AttributeError:
        raise NoSuchApplication(f"there is no {path!r} in {module}") from None
    if not _needs_no_arguments(found):
        return f"{module} was imported; {path} needs arguments or is not a function, so it was not called"
    result = found()
    if inspect.iscoroutine(result):
        asyncio.run(result)
    return f"{module} was imported, and {path}() called"


def _needs_no_arguments(found: object) -> bool:
    """Whether an object can be called without arguments. An ASGI or WSGI application cannot, and is only imported."""
    if not callable(found):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True
