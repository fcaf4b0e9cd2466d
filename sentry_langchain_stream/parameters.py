"""What a model call is asked with besides its prompt: request parameters and offered tools, in one shape each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from .containment import contain
from .privacy import Policy
from .room import Full, Path, Room, spelled
from .usage import count

# Our name of a request parameter -> the names that providers give it, and what its value must be.
PARAMETERS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "temperature": (("temperature", "ls_temperature"), lambda value: _number(value)),
    "top_p": (("top_p", "topP"), lambda value: _number(value)),
    "top_k": (("top_k", "topK"), lambda value: count(value)),
    "max_tokens": (
        (
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "max_new_tokens",
            "max_tokens_to_sample",
            "num_predict",
            "maxTokens",
            "maxOutputTokens",
            "ls_max_tokens",
        ),
        lambda value: count(value),
    ),
    "seed": (("seed", "random_seed"), lambda value: as_text(value)),
    "stop": (("stop", "stop_sequences", "stopSequences", "ls_stop"), lambda value: _texts(value)),
    "frequency_penalty": (("frequency_penalty", "frequencyPenalty"), lambda value: _number(value)),
    "presence_penalty": (("presence_penalty", "presencePenalty"), lambda value: _number(value)),
}

_NAMED_BY = {
    spelling: (rank, name, accept)
    for name, (spellings, accept) in PARAMETERS.items()
    for rank, spelling in enumerate(spellings)
}
_SPELLINGS = frozenset(_NAMED_BY)

# Where a provider's package keeps parameters one level further down: Ollama; a model class's `model_kwargs`; what
# OpenAI's client sends besides; Gemini; Bedrock's Converse API and what that passes on to the model.
_NESTED = (
    "options",
    "model_kwargs",
    "extra_body",
    "generation_config",
    "inferenceConfig",
    "additional_model_request_fields",
)
_NESTING = frozenset(_NESTED)

# In a tool's schema: what holds a user's words or values, and what maps names that a user gave to schemas.
_SPOKEN = frozenset({"description", "default", "const", "enum", "examples", "example", "title"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})


def request_parameters(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The request parameters, by the names of `PARAMETERS`.

    A value of the wrong type, NaN, infinite, or negative where it cannot be, is left out.

    Args:
        sources: Where to look, the one that has the last word first.
    """
    found: dict[str, Any] = {}
    for source in sources:
        _read(source, found)
        if not _NESTING.isdisjoint(source):
            for name in _NESTED:
                if isinstance(below := source.get(name), Mapping):
                    _read(below, found)
    return found


def _read(place: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Add the parameters of one place to those found before, of which the first counts."""
    # Few of the spellings are there, mostly one or two.
    for spelling in sorted(_SPELLINGS.intersection(place), key=_NAMED_BY.__getitem__):
        _, name, accept = _NAMED_BY[spelling]
        value = place[spelling]
        if value is None or name in found:
            continue
        try:
            accepted = accept(value)
            if accepted is not None:
                found[name] = accepted
        except Exception as error:
            contain(f"request parameter {name}", error)


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
    room = Room(policy)
    room.take(_MARK)
    found: list[dict[str, Any]] = []
    try:
        for tool in flat:
            definition = _definition(tool, room)
            if definition is not None:
                found.append(definition)
    except Full:
        found.append({"type": f"[... {len(flat) - len(found)} tools cut ...]"})
    return spelled(found) if found else None


def as_text(value: object) -> str | None:
    """A text, or a whole number as one; anything else, and the empty text, is `None`."""
    if isinstance(value, str):
        return value or None
    is_number = isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 128
    return str(value) if is_number else None  # Python refuses to spell very large ones


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


def _definition(tool: Mapping[str, Any], room: Room) -> dict[str, Any] | None:
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
        return room.frame(type=only) if only is not None else None
    named = {} if name is None else {"name": name}
    definition = room.frame(type="function" if schema is not None or kind is None else kind, **named)
    description = told.get("description")
    try:
        if isinstance(description, str):
            room.take(len('"description": , '))
            kept = room.text(description)
            if kept is not None:
                definition["description"] = kept
        if schema is not None:
            room.take(len('"parameters": , '))
            definition["parameters"] = room.value(schema, _spoken)
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


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] or None if isinstance(value, (list, tuple)) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return float(value)
