"""LangGraph's own callbacks, for a handler that is made while LangGraph is loaded."""

from __future__ import annotations

import sys
from functools import cache


def graph_handlers() -> tuple[type, ...]:
    """Return the class that a handler must have to hear of LangGraph's interrupts, if LangGraph is loaded and has it.

    LangGraph 1.2 and newer has it. It is not imported for this: code that runs a graph has imported it.
    """
    found = getattr(sys.modules.get("langgraph.callbacks"), "GraphCallbackHandler", None)
    return (found,) if isinstance(found, type) else ()


@cache
def joined(cls: type, *bases: type) -> type:
    """Return a subclass of a handler class and these, or the class itself if it is one."""
    missing = tuple(base for base in bases if not issubclass(cls, base))
    if not missing:
        return cls
    return type(cls.__name__, (cls, *missing), {"__module__": cls.__module__, "__doc__": cls.__doc__})
