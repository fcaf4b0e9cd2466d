"""LangGraph's own callbacks, for a handler that is made while LangGraph is loaded."""

from __future__ import annotations

import sys


def graph_handlers() -> tuple[type, ...]:
    """Return the class that a handler must have to hear of LangGraph's interrupts, if LangGraph is loaded.

    LangGraph 1.2 and newer has it. It is not imported for this: who runs a graph has imported it.
    """
    if "langgraph.pregel" not in sys.modules:
        return ()
    try:
        from langgraph.callbacks import GraphCallbackHandler
    except ImportError:
        return ()
    return (GraphCallbackHandler,)
