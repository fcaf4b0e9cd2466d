"""Who starts a run, where only the stack says it: a graph of LangGraph, or the middleware of an agent."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, NamedTuple

from .._runtime.tracebacks import variable
from .call_stack import GRAPHS, starter
from .internals import MODEL_CALLS


class Graph(NamedTuple):
    """A graph of LangGraph that is starting a run."""

    called_with: Mapping[str, Any]
    """The config that it is called with: its own, the caller's, and that of the runs around it."""
    itself: object
    """The graph, if it is known."""


def graph() -> Graph | None:
    """The graph that is starting a run at this moment, or `None` if it is not a graph that does."""
    if GRAPHS not in sys.modules:
        return None
    frame = starter(sys._getframe(1))
    if frame is None or not str(frame.f_globals.get("__name__")).startswith(GRAPHS):
        return None  # reading the variables of a frame is expensive
    config = variable(frame, "config")
    return Graph(config if isinstance(config, Mapping) else {}, variable(frame, "self"))


def is_middleware() -> bool | None:
    """Whether it is middleware that is starting a run at this moment, in the node where an agent calls its model.

    Returns:
        `None` if neither the agent nor a graph is on the stack, as in a thread or a task of its own.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module == _AGENTS:
            return frame.f_code.co_name not in MODEL_CALLS
        if module.startswith(_LANGGRAPH):
            return False  # it is a node's own function that starts it, or a graph that starts itself
        frame = frame.f_back
    return None


_AGENTS, _LANGGRAPH = "langchain.agents.factory", "langgraph."
