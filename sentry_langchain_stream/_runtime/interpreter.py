"""Whether garbage is being collected on this thread, where that forbids what is allowed at any other moment.

Before Python 3.12 garbage collection may interrupt any allocation, those of `ContextVar.set` too. If a finalizer then
sets a context variable itself, the interpreter goes on with memory that was freed, and crashes now and then. The end of
a stream that nobody has closed is such a finalizer, and Sentry's scopes are context variables. Since Python 3.12
garbage is collected between two instructions.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Mapping
from functools import cache
from threading import get_ident
from types import CodeType
from typing import Any, NamedTuple

MATTERS = sys.version_info < (3, 12)

_collecting: set[int] = set()


def is_collecting() -> bool:
    """Whether we have been called in the midst of a collection, and must not set a context variable."""
    return get_ident() in _collecting


@cache
def watch_collections() -> None:
    """Note from now on when garbage is collected, if that matters."""
    if MATTERS:
        gc.callbacks.append(_note)


def _note(phase: str, _: Mapping[str, Any]) -> None:
    if phase == "start":
        _collecting.add(get_ident())
    else:
        _collecting.discard(get_ident())


def current_task() -> asyncio.Task[Any] | None:
    """The current task, or `None` outside of any."""
    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no running event loop
        return None


class Caller(NamedTuple):
    """The call that starts a run, which is on the stack while the run works.

    Args:
        frame: The identity of its frame. The frame itself must not be kept, as it holds whatever the call does.
        code: Its code: another frame may get the same identity later.
        alive: A weak reference to something that is gone when the call is over.
    """

    frame: int
    code: CodeType
    alive: Callable[[], object | None]
