"""langchain-classic's `AgentExecutor`, which is an agent like a graph."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from .call_stack import starting_method

MODULE = "langchain_classic.agents.agent"
_LIBRARY = "langchain_classic."


def is_executor(value: Any) -> bool:
    """Whether a value is an `AgentExecutor`. The library is never imported here."""
    cls = getattr(sys.modules.get(MODULE), "AgentExecutor", None)
    return isinstance(cls, type) and isinstance(value, cls)


def starting() -> Any | None:
    """The `AgentExecutor` whose run starts at this moment, if it is one: the object whose method signals the start.

    The run's name is no sign of it, because the application can choose the name, and `iter` gives none.
    """
    if MODULE not in sys.modules:
        return None
    method = starting_method()
    if method is None or not str(method.f_globals.get("__name__")).startswith(_LIBRARY):
        return None  # reading the variables of a frame is expensive
    caller = method.f_locals.get("self")
    found = getattr(caller, "agent_executor", caller)  # that of an iterator
    return found if is_executor(found) else None


def question(inputs: object) -> object:
    """The input of an executor as the state of a graph: its history, and the text that it is asked."""
    if not isinstance(inputs, Mapping) or not isinstance(inputs.get("input"), str):
        return inputs
    history = inputs.get("chat_history")
    return {"messages": [*(history if isinstance(history, list) else ()), {"role": "user", "content": inputs["input"]}]}


def answer(outputs: object) -> object:
    """The output of an executor as the state of a graph. What is no output of an executor is returned as it is."""
    if MODULE not in sys.modules or not isinstance(outputs, Mapping) or "messages" in outputs:
        return outputs
    if not isinstance(outputs.get("output"), str):
        return outputs
    return {"messages": [{"role": "assistant", "content": outputs["output"]}]}
