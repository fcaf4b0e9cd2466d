"""Who starts a run, where only the stack says it: a graph of LangGraph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .._runtime.tracebacks import variable
from .call_stack import GRAPHS, starter

_MODULE = "langgraph.pregel"


def graph_config() -> Mapping[str, Any] | None:
    """The config of the graph that is starting a run at this moment, or `None` if it is not a graph that does."""
    if _MODULE not in sys.modules:
        return None
    frame = starter(sys._getframe(1))
    if frame is None or not str(frame.f_globals.get("__name__")).startswith(GRAPHS):
        return None  # reading the variables of a frame is expensive
    config = variable(frame, "config")
    return config if isinstance(config, Mapping) else {}
