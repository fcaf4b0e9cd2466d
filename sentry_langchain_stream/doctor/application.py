"""The application's own initialisation, or a plain one."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import sys
from functools import reduce
from typing import Any

import sentry_sdk

from .findings import Finding, said

NAME = "app"


class NoSuchApplication(Exception):
    """What was asked for is not there."""


def initialise(target: str | None) -> Finding:
    """Set up Sentry as the application does.

    Args:
        target: `module`, which is imported, or `module:function`, which then is called; the current directory
            is searched first. `None` is a plain `sentry_sdk.init`, with the DSN of the environment.

    Raises:
        NoSuchApplication: There is no such module, or nothing of that name in it.
    """
    try:
        if target is None:
            sentry_sdk.init(traces_sample_rate=1.0)
            told = "none named, so this is sentry_sdk.init(traces_sample_rate=1.0) with SENTRY_DSN of the environment"
            return Finding(
                NAME, "ok", told, "To check your own set-up, name what initialises it: --app module:function."
            )
        return Finding(NAME, "ok", _load(target))
    except NoSuchApplication:
        raise
    except (Exception, SystemExit) as error:
        return Finding(
            NAME,
            "fail",
            f"{target or 'sentry_sdk.init'} raised {said(error)}",
            "Look at SENTRY_DSN."
            if target is None
            else "Mend that first, or name the function that sets up Sentry only.",
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
            raise  # a module of its own imports is missing
        raise NoSuchApplication(f"there is no module {error.name!r}, not even in {here}") from None
    if not path:
        return f"{module} was imported"
    try:
        found: Any = reduce(getattr, path.split("."), imported)
    except AttributeError:
        raise NoSuchApplication(f"there is no {path!r} in {module}") from None
    if not _callable_as_it_is(found):
        return f"{module} was imported; {path} is no function without arguments, and was not called"
    result = found()
    if inspect.iscoroutine(result):
        asyncio.run(result)
    return f"{module} was imported, and {path}() called"


def _callable_as_it_is(found: object) -> bool:
    """Whether it can be called without arguments. An ASGI or WSGI application cannot: to import it was enough."""
    if not callable(found):
        return False
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True
