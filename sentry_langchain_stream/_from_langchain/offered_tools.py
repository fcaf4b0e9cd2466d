"""The tools that a model is offered, whatever each provider calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._content.budget import Budget, Full, Path, spelled
from .._content.policy import Policy
from .._content.reading import as_text


def tool_definitions(options: Mapping[str, Any], policy: Policy) -> str | None:
    """The tools that are offered, as JSON: `[{"type", "name", "description", "parameters"}]`.

    Nothing else of a definition is told: what a provider's own tool is set up with may hold credentials. What an
    attribute has no room for is cut: schemas first, then whole tools.

    Args:
        options: The invocation parameters and call options.
        policy: What may be recorded. Descriptions, defaults and choices pass it; names and types are structure.

    Returns:
        The JSON, or `None` if no tools are offered or inputs may not be recorded.
    """
    if not policy.inputs:
        return None
    configured = options.get("toolConfig")
    offered = (
        options.get("tools")
        or options.get("functions")
        or (configured.get("tools") if isinstance(configured, Mapping) else None)
    )
    if not isinstance(offered, (list, tuple)):
        return None
    flat = [function for tool in offered for function in _functions(tool)]
    budget = Budget(policy)
    budget.take(_MARK)
    found: list[dict[str, Any]] = []
    try:
        for tool in flat:
            definition = _definition(tool, budget)
            if definition is not None:
                found.append(definition)
    except Full:
        found.append({"type": f"[... {len(flat) - len(found)} tools cut ...]"})
    return spelled(found) if found else None


_MARK = 60  # characters that a mark in place of what was cut takes at most


_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema")


def _functions(tool: object) -> Iterator[Mapping[str, Any]]:
    """The tools in what a provider calls one."""
    if not isinstance(tool, Mapping):
        return
    declared = tool.get("function_declarations") or tool.get("functionDeclarations")
    if isinstance(declared, (list, tuple)):  # Gemini: many functions in one tool
        yield from (each for each in declared if isinstance(each, Mapping))
    else:
        yield tool


def _definition(tool: Mapping[str, Any], budget: Budget) -> dict[str, Any] | None:
    """A tool's definition; by its name alone where there is no room for more.

    Raises:
        Full: There is not even room for that.
    """
    wrapped = next((tool[name] for name in ("function", "toolSpec") if isinstance(tool.get(name), Mapping)), None)
    told: Mapping[str, Any] = wrapped if wrapped is not None else tool
    schema = next((told[name] for name in _SCHEMAS if isinstance(told.get(name), Mapping)), None)
    if schema is not None and isinstance(schema.get("json"), Mapping):  # Bedrock
        schema = schema["json"]
    name, kind = as_text(told.get("name")), as_text(tool.get("type"))
    if name is None and kind is None:
        only = as_text(next(iter(tool))) if len(tool) == 1 else None  # Gemini's own tools: {"google_search": {}}
        return budget.frame(type=only) if only is not None else None
    named = {} if name is None else {"name": name}
    definition = budget.frame(type="function" if schema is not None or kind is None else kind, **named)
    description = told.get("description")
    try:
        if isinstance(description, str):
            budget.take(len('"description": , '))
            kept = budget.text(description)
            if kept is not None:
                definition["description"] = kept
        if schema is not None:
            budget.take(len('"parameters": , '))
            definition["parameters"] = budget.value(schema, _spoken)
    except Full:
        return definition
    return definition


def _spoken(path: Path) -> bool:
    """Whether a text in a tool's schema is in a user's words, or a user's value, and not a name or a type."""
    named = False
    for name in path:
        if named:  # whatever it is, it is a name that a user gave
            named = False
        elif name in _SPOKEN:
            return True
        else:
            named = name in _NAMED
    return False


# In a tool's schema: what holds a user's words or values, and what maps names that a user gave to schemas.
_SPOKEN = frozenset({"description", "default", "const", "enum", "examples", "example", "title"})


_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
