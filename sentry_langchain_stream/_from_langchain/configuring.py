"""The short way around Sentry's LangchainIntegration, where a call has a handler of ours.

Workaround: the integration wraps the function that makes LangChain's callback managers, to add its own handler
(sentry-sdk 2.44 to 2.75). Where a call has ours, it adds none, see `followed`. But to find that out, the SDK looks for
its client and for the integration, before each run, which takes longer than to make the manager of an inner chain. So
from the first such call on, what it wraps is called at once. All other calls go through the integration as ever. Can go
when the SDK adds its handler in another way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import CodeType, FunctionType
from typing import Any

from langchain_core.callbacks import manager

from .._runtime.containment import pass_on
from .._to_sentry import other_integrations
from . import internals


def go_around(wrapper: CodeType, has_ours: Callable[[Any], bool]) -> None:
    """From now on do not call this wrapper for calls that have a handler of ours, unless somebody has wrapped it.

    Args:
        wrapper: The code of Sentry's wrapper.
        has_ours: Whether callbacks have a handler of ours.
    """
    theirs: Any = getattr(manager, "_configure", None)
    wrapped = getattr(theirs, "__wrapped__", None)
    # A proxy of somebody's has the attributes of what it stands for, the code among them.
    if wrapped is None or type(theirs) is not FunctionType or theirs.__code__ is not wrapper:
        return
    is_off = False

    @wraps(theirs)
    def configure(
        callback_manager_cls: Any,
        inheritable_callbacks: Any = None,
        local_callbacks: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        try:
            # Most runs have no callbacks of their own.
            is_ours = not is_off and (
                (local_callbacks is not None and has_ours(local_callbacks)) or has_ours(inheritable_callbacks)
            )
        except Exception as error:
            pass_on(error)
            is_ours = False  # callbacks may be anything; where the integration asks for them, that is contained
        chosen = wrapped if is_ours else theirs
        return chosen(callback_manager_cls, inheritable_callbacks, local_callbacks, *args, **kwargs)

    def undo() -> None:
        nonlocal is_off
        is_off = True  # somebody may have wrapped it meanwhile
        with internals.replacing:
            if manager._configure is configure:
                manager._configure = theirs

    with internals.replacing:
        if manager._configure is not theirs:
            return  # another thread has just replaced it
        manager._configure = configure
    other_integrations.undo_with(undo)
