"""Reads the tools that are offered to a model, in the formats of all providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .._runtime.containment import attempt
from .budget import Budget, Full, Path, spelled
from .cutting import mark
from .policy import Policy
from .reading import as_text, dumped


def tool_definitions(options: Mapping[str, Any], policy: Policy) -> str | None:
    """Return the tools that are offered, as JSON: `[{"type", "name", "description", "parameters"}]`.

    Nothing else of a definition is recorded, because the settings of a provider's own tool may contain credentials. If
    the tools do not fit into the attribute, the schema of a tool is left out first, then whole tools.

    Args:
        options: The invocation parameters and call options.
        policy: What may be recorded. It applies to descriptions, defaults and choices. Names and types are structure.

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
    # Gemini's schemas have about 20 keys for each parameter, most of them without a value.
    budget = Budget(policy, lean=True)
    budget.take(_MARK)
    found: list[dict[str, Any]] = []
    try:
        for tool in flat:
            definition = _definition(tool, budget)
            if definition is not None:
                found.append(definition)
    except Full:
        found.append({"type": mark(len(flat) - len(found), "tools")})
    return spelled(found) if found else None


_MARK = 60  # maximum length of the mark in place of tools that were cut


_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema")
_OF_FUNCTIONS = frozenset({"name", "type", "description", "function", "toolSpec", *_SCHEMAS})


def _functions(tool: object) -> Iterator[Mapping[str, Any]]:
    """Yield the functions in one tool of the request, and Gemini's own tools beside them as `{name: settings}`."""
    if not isinstance(tool, Mapping):
        tool = _dumped(tool)
        if tool is None:
            return
    # langchain-google-genai passes each tool with all keys that Gemini knows. Those of other tools are `None`.
    fields = {name: each for name, each in tool.items() if each is not None}
    declared = fields.pop("function_declarations", None) or fields.pop("functionDeclarations", None)
    if isinstance(declared, (list, tuple)):
        yield from (each for each in declared if isinstance(each, Mapping))
    if (declared is not None or len(fields) > 1) and _OF_FUNCTIONS.isdisjoint(fields):
        yield from ({name: each} for name, each in fields.items() if isinstance(each, (Mapping, list, tuple)))
    elif declared is None:
        yield fields


def _dumped(tool: object) -> Mapping[str, Any] | None:
    """Convert a pydantic object to a mapping: langchain-cohere passes on the objects of Cohere's client."""
    if isinstance(tool, type) or not callable(getattr(tool, "model_dump", None)):
        return None
    return attempt("tool definition", lambda: dumped(tool))


def _definition(tool: Mapping[str, Any], budget: Budget) -> dict[str, Any] | None:
    """Return a tool's definition. What does not fit into the budget is left out, except the name and the type.

    Raises:
        Full: The name and the type do not fit.
    """
    wrapped = next((tool[name] for name in ("function", "toolSpec") if isinstance(tool.get(name), Mapping)), None)
    fields: Mapping[str, Any] = wrapped if wrapped is not None else tool
    schema = next((fields[name] for name in _SCHEMAS if isinstance(fields.get(name), Mapping)), None)
    if schema is not None and isinstance(schema.get("json"), Mapping):  # Bedrock
        schema = schema["json"]
    name, kind = as_text(fields.get("name")), as_text(tool.get("type"))
    if name is None and kind is None:
        only = as_text(next(iter(tool))) if len(tool) == 1 else None  # Gemini's own tools: {"google_search": {}}
        return budget.frame(type=only) if only is not None else None
    named = {} if name is None else {"name": name}
    definition = budget.frame(type="function" if schema is not None or kind is None else kind, **named)
    description = fields.get("description")
    try:
        if isinstance(description, str):
            budget.take(len('"description": , '))
            kept = budget.text(description)
            if kept is not None:
                definition["description"] = kept
        if schema is not None:
            budget.take(len('"parameters": , '))
            definition["parameters"] = budget.value(schema, _is_content)
    except Full:
        return definition
    return definition


def _is_content(path: Path) -> bool:
    """Whether a text in a tool's schema may be content rather than a name or a type.

    It is content unless it is known to be structure. So a description is, and so is what an unknown keyword has: for
    example `$comment`, `pattern`, `errorMessage` or an extension.
    """
    is_user_name = False
    for name in path:
        if is_user_name:  # may be any name, for example a parameter called "description"
            is_user_name = False
        elif name and name not in _STRUCTURE and name not in _MAPPINGS:
            return True
        else:
            is_user_name = name in _MAPPINGS
    return False


# Keys in a tool's schema whose values are names and types, or schemas.
_STRUCTURE = frozenset(
    {
        *("type", "required", "format", "$ref", "$schema", "$id", "nullable", "contentEncoding", "contentMediaType"),
        *("items", "prefixItems", "additionalProperties", "unevaluatedProperties", "propertyNames", "contains"),
        *("anyOf", "oneOf", "allOf", "not", "if", "then", "else", "discriminator", "propertyName", "mapping"),
    }
)

# Keys in a tool's schema whose value maps names that the user chose to schemas.
_MAPPINGS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
