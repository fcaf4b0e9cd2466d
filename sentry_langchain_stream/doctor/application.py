"""Initialises Sentry as the application does, or plainly."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import sentry_sdk
from langchain_core.runnables import Runnable

from .findings import Finding, error_text
from .made import Named
from .one_loop import OneLoop

NAME = "app"


class NoSuchApplication(Exception):
    """The module or function that `--app` names does not exist."""


@dataclass(frozen=True, slots=True)
class Application:
    """What `--app` has brought."""

    finding: Finding
    chain: Named | None = None
    """The chain, graph or model that one of the targets is, or that the named function returned."""


def initialise(targets: Sequence[str], loop: OneLoop) -> Application:
    """Set up Sentry as the application does.

    Args:
        targets: Each is imported if it is a `module`. With `module:function`, the function is also called. What
            `module:chain` names is streamed through later. The current directory is searched first. Without any, a
            plain `sentry_sdk.init` is called, with the DSN from the environment.
        loop: The loop in which a function that is async is awaited.

    Raises:
        NoSuchApplication: There is no such module, or it has no such name.
    """
    loaded, chain, target, odd = [], None, None, False
    try:
        if not targets:
            sentry_sdk.init(traces_sample_rate=1.0)
            return Application(
                Finding(
                    NAME,
                    "ok",
                    "no --app, so this is sentry_sdk.init(traces_sample_rate=1.0) with SENTRY_DSN from the environment",
                    "To check your own set-up, name what sets Sentry up, and a chain: --app module:function "
                    "--app module:chain.",
                )
            )
        for target in targets:
            found, result = _load(target, loop)
            loaded.append(found)
            if isinstance(result, Runnable):
                chain = Named(target, result)
            odd = odd or result is _NOT_RUN
        remedy = "Name a chain, graph or model, a function without arguments that sets Sentry up, or the module alone."
        return Application(Finding(NAME, "warning" if odd else "ok", "; ".join(loaded), remedy if odd else None), chain)
    except NoSuchApplication:
        raise
    except (Exception, SystemExit) as error:
        remedy = "Fix that first, or pass a function that only initialises Sentry."
        if type(error).__name__ == "BadDsn":  # of a module of the SDK that is not documented
            remedy = "Copy the DSN again from the project's settings, Client Keys (DSN)."
        return Application(Finding(NAME, "fail", f"{target or 'sentry_sdk.init'} raised {error_text(error)}", remedy))


def _load(target: str, loop: OneLoop) -> tuple[str, object]:
    """Return what was done, and what the target is or returned."""
    module, _, path = target.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # a module that the application imports is missing
        hint = "; write it without .py" if module.endswith(".py") else ""
        raise NoSuchApplication(f"there is no module {error.name!r}, also not in {here}{hint}") from None
    if not path:
        return f"{module} was imported", None
    try:
        found: Any = reduce(getattr, path.split("."), imported)
    except AttributeError:
        raise NoSuchApplication(f"there is no {path!r} in {module}") from None
    named = f"{module} was imported; {path}"
    if isinstance(found, Runnable):
        return f"{named} is a {type(found).__name__}", found
    if not callable(found):
        return f"{named} is of type {type(found).__name__}, which cannot be probed or called", _NOT_RUN
    if not _needs_no_arguments(found):
        return f"{named} needs arguments, so it was not called", None if _is_application(found) else _NOT_RUN
    result = found()
    if inspect.iscoroutine(result):
        result = loop.run(result)
    generator = getattr(result, "gen", result)  # that of a context manager
    if inspect.isgenerator(generator) or inspect.isasyncgen(generator):
        return f"{named} is a generator or context manager, so nothing in it was run", _NOT_RUN
    return f"{module} was imported, and {path}() called", result


_NOT_RUN = object()
"""Stands for a target that is no chain, and no function that was run."""


def _needs_no_arguments(found: Callable[..., object]) -> bool:
    """Whether an object can be called without arguments."""
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return True


def _is_application(found: Callable[..., object]) -> bool:
    """Whether an object is an application of ASGI or WSGI, which needs arguments and is only imported."""
    if not (inspect.isroutine(found) or inspect.isclass(found) or isinstance(found, partial)):
        return True  # an object of a framework's
    try:
        names = [*inspect.signature(found).parameters]
    except (TypeError, ValueError):
        return False
    return names == ["scope", "receive", "send"] or (len(names) == 2 and names[1] == "start_response")
