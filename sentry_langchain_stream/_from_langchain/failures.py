"""Which of our runs an exception has come through.

The exception is not marked, and not remembered either. Its traceback has the frames of LangChain's methods, and each of
them has the manager of its run among its variables (langchain-core 1.0 to 1.8, langgraph 1.0 to 1.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from types import FrameType
from typing import Any
from uuid import UUID

from langchain_core.callbacks.manager import BaseRunManager

from .._content.policy import Policy
from .._runs import enclosing
from .._runs.numbers import number
from .._runs.roots import decided
from .._runs.settings import Settings
from .._runtime import tracebacks
from .._to_sentry import active_span
from .._to_sentry.client import allowed_content, current_client
from .._to_sentry.issues import Passed
from . import inside, internals, same_ids
from .inline_hooks import InlineHandler
from .recorded_calls import Recording

_MANAGERS = ("run_manager", "run_managers", "recording")
"""The variables that hold the manager of a run, or those of several; and those of our own methods, for runs of ours."""


def find(error: BaseException) -> list[Passed]:
    """Return the runs that an exception has come through, the innermost last, each once. See `issues.ask`."""
    found: dict[UUID, Passed] = {}
    for entry in tracebacks.entries(error):
        for manager in _managers(entry.tb_frame):
            run_id = manager.run_id
            if not isinstance(run_id, UUID):
                continue
            run_id = same_ids.own(run_id, getattr(manager, "handlers", None))
            policies = [_policy(each) for each in _settings(manager) if each.capture_errors]
            if policies:
                found.pop(run_id, None)  # of several prompts that started together, the one that failed comes again
                found[run_id] = Passed(run_id, reduce(Policy.and_, policies))
    return list(found.values())


def around(_: Any, error: BaseException) -> list[Policy]:
    """Return what may be recorded of the run inside of which an exception is reported, if there is one.

    The exception may hold anything of that run, and its traceback does not show the run before it leaves it. The run
    may have ended, as that of a node which goes on in its thread when its time is over: LangChain's context remains.
    """
    run = inside.innermost()
    if run is None and (found := active_span.where()) is not None and isinstance(found.key, UUID):
        run = enclosing.get(number(found.key))
    if run is not None:
        return [run.policy] if run.keeper.settings.capture_errors else []
    config = internals.enclosing_config()
    left = _settings(config.get("callbacks")) if config else ()
    return [_policy(each) for each in left if each.capture_errors]


def _managers(frame: FrameType) -> Iterator[Any]:
    for name in _MANAGERS:
        value = tracebacks.variable(frame, name)
        for each in value if type(value) in (list, tuple) else (value,):
            # Any code may have variables of these names. To ask the class of what they hold would ask the object.
            if issubclass(type(each), (BaseRunManager, Recording)):
                yield each


def _settings(manager: Any) -> list[Any]:
    """The settings of our handlers, if this manager calls any."""
    ours = getattr(manager, "watched_by", None)
    if isinstance(ours, tuple):
        return [each for each in ours if isinstance(each, Settings)]
    handlers = getattr(manager, "handlers", None)
    if not isinstance(handlers, (list, tuple)):
        return []
    own = (getattr(each, "_settings", None) for each in handlers if isinstance(each, InlineHandler))
    return [each for each in own if each is not None]


def _policy(settings: Settings) -> Policy:
    client = current_client()
    return decided(client, allowed_content(client), settings)
