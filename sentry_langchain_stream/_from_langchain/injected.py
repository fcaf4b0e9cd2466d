"""What a tool was asked for: its arguments without what LangChain and LangGraph inject into them.

Up to langchain-core 1.2, a tool's start event has the injected arguments too. Later versions remove those that have an
annotation. LangGraph also injects by name: a parameter called `runtime` gets the graph's state, context and config
whatever its annotation (langgraph 1.0 to 1.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints
from weakref import WeakKeyDictionary

from langchain_core.tools import BaseTool, InjectedToolArg

from .._runtime.containment import pass_on
from .call_stack import starting_method

_FILTERED = frozenset({"run_manager", "callbacks"})
_INJECTED = frozenset({"_DirectlyInjectedToolArg", "ToolRuntime", "Runtime", "BaseStore", "BaseCallbackManager"})
"""Classes whose instances are injected, by name: some came with later versions, some are LangGraph's."""

_MARKS = ("Injected", "ToolRuntime", "RunnableConfig")
"""What an annotation contains that cannot be evaluated, if the argument is injected."""

_PLAIN = (str, int, float, bool, type(None))
_DEPTH = 8


def asked_for(inputs: Mapping[str, Any], *, by_model: bool) -> dict[str, Any]:
    """Return the arguments of the tool that is starting, as they were asked for.

    Args:
        inputs: The arguments of the start event.
        by_model: Whether a model asks for them. Then they are JSON, so any other object in them was injected.
    """
    tool = _starting()
    hidden = _FILTERED if tool is None else _FILTERED | _hidden_of(tool)
    return {
        name: value
        for name, value in inputs.items()
        if name not in hidden and not _is_injected(type(value)) and not (by_model and not _is_json(value))
    }


def _starting() -> BaseTool | None:
    """The tool whose run starts at this moment: the object whose method signals the start."""
    method = starting_method()
    caller = method.f_locals.get("self") if method is not None else None
    return caller if isinstance(caller, BaseTool) else None


_known: WeakKeyDictionary[Callable[..., Any], frozenset[str]] = WeakKeyDictionary()


def _hidden_of(tool: BaseTool) -> frozenset[str]:
    """The names of a tool's parameters that are injected, by their annotations."""
    found: set[str] = set()
    for name, each in (getattr(tool.args_schema, "model_fields", None) or {}).items():
        if _is_injection(each.annotation) or any(map(_is_mark, each.metadata)):
            found.add(name)
    wrapped = [each for each in (getattr(tool, "func", None), getattr(tool, "coroutine", None)) if each is not None]
    for function in wrapped or (tool._run, tool._arun):  # a tool around a function has parameters of its own there
        found |= _hidden_in(getattr(function, "__func__", function))
    return frozenset(found)


def _hidden_in(function: Callable[..., Any]) -> frozenset[str]:
    try:
        known = _known.get(function)
    except TypeError:  # it cannot be a key, as an object that is called may be
        return _annotated(function)
    if known is None:
        known = _known[function] = _annotated(function)
    return known


def _annotated(function: Callable[..., Any]) -> frozenset[str]:
    annotations: Mapping[str, Any] = getattr(function, "__annotations__", None) or {}
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as error:  # an annotation names what is imported for type checkers only
        pass_on(error)
        hints = dict(annotations)
    return frozenset(name for name, hint in hints.items() if name != "return" and _is_injection(hint))


def _is_injection(hint: Any) -> bool:
    if isinstance(hint, str):
        return any(mark in hint for mark in _MARKS)
    if getattr(hint, "__name__", None) == "RunnableConfig" or _is_mark(hint):
        return True
    return any(_is_mark(each) or _is_injection(each) for each in (*getattr(hint, "__metadata__", ()), *get_args(hint)))


def _is_mark(value: Any) -> bool:
    origin = getattr(value, "__origin__", value)
    cls = origin if isinstance(origin, type) else type(origin)
    return issubclass(cls, InjectedToolArg) or _is_injected(cls)


def _is_injected(cls: type) -> bool:
    return any(each.__name__ in _INJECTED and each.__module__.startswith("lang") for each in cls.__mro__)


def _is_json(value: Any, depth: int = _DEPTH) -> bool:
    if type(value) in _PLAIN or not depth:
        return True
    if type(value) is dict:
        return all(_is_json(each, depth - 1) for each in value.values())
    return type(value) is list and all(_is_json(each, depth - 1) for each in value)
