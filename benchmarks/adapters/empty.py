"""The least that a handler can cost: every hook is a plain `def` that returns one completed awaitable."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from langchain_core.callbacks import AsyncCallbackHandler

from . import Adapter, Sink

HOOKS = [name for name in dir(AsyncCallbackHandler) if name.startswith("on_")]


class _Done:
    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE = _Done()


def _nothing(self: Any, *args: Any, **kwargs: Any) -> Any:
    return DONE


class EmptyHandler(AsyncCallbackHandler):
    """Does nothing, inline, in sync and async runs alike."""

    run_inline = True


for _name in HOOKS:
    setattr(EmptyHandler, _name, _nothing)


def setup(sink: Sink, variant: str) -> Adapter:
    """One empty handler."""
    return Adapter([EmptyHandler()])
