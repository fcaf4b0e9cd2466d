"""What a model call is asked with besides its prompt: request parameters and offered tools, in one shape each."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from .containment import contained
from .privacy import Policy
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

# In a tool's schema: what holds a user's words or values, and what maps names that a user gave to schemas.
_SPOKEN = frozenset({"description", "default", "const", "enum", "examples", "example", "title"})
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})


def request_parameters(sources: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """The request parameters, by the names of `PARAMETERS`.

    A value of the wrong type, NaN, infinite, or negative where it cannot be, is left out.

    Args:
        sources: Where to look, the one that has the last word first.
    """
    places = [place for source in sources for place in (source, *_below(source))]
    for name, (spellings, accept) in PARAMETERS.items():
        with contained(f"request parameter {name}"):
            values = (place.get(each) for place in places for each in spellings)
            accepted = next((found for found in (accept(value) for value in values) if found is not None), None)
            if accepted is not None:
                yield name, accepted


def tool_definitions(options: Mapping[str, Any], policy: Policy) -> str | None:
    """The tools that are offered, as JSON: `[{"type", "name", "description", "parameters"}]`.

    Nothing else of a definition is told: what a provider's own tool is set up with may hold credentials.

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
    found = [definition for tool in offered for definition in _definitions(tool, policy)]
    return json.dumps(found, ensure_ascii=False) if found else None


def as_text(value: object) -> str | None:
    """A text, or a whole number as one; anything else, and the empty text, is `None`."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _below(source: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in _NESTED:
        nested = source.get(name)
        if isinstance(nested, Mapping):
            yield nested


def _definitions(tool: object, policy: Policy) -> Iterator[dict[str, Any]]:
    if not isinstance(tool, Mapping):
        return
    declared = tool.get("function_declarations") or tool.get("functionDeclarations")
    if isinstance(declared, (list, tuple)):  # Gemini: many functions in one tool
        for each in declared:
            yield from _definitions(each, policy)
        return
    wrapped = next((tool[name] for name in ("function", "toolSpec") if isinstance(tool.get(name), Mapping)), None)
    told: Mapping[str, Any] = wrapped if wrapped is not None else tool
    schema = next((told[name] for name in _SCHEMAS if isinstance(told.get(name), Mapping)), None)
    if schema is not None and isinstance(schema.get("json"), Mapping):  # Bedrock
        schema = schema["json"]
    name, kind = as_text(told.get("name")), as_text(tool.get("type"))
    if name is None and kind is None:
        if len(tool) == 1:  # Gemini's own tools: {"google_search": {}}
            yield {"type": str(next(iter(tool)))}
        return
    definition: dict[str, Any] = {"type": "function" if schema is not None or kind is None else kind}
    if name is not None:
        definition["name"] = name
    description = told.get("description")
    kept = policy.text(description) if isinstance(description, str) else None
    if kept is not None:
        definition["description"] = kept
    if schema is not None:
        definition["parameters"] = _schema(schema, policy)
    yield definition


_SCHEMAS = ("parameters", "input_schema", "inputSchema", "parameters_json_schema")


def _schema(value: Any, policy: Policy, spoken: bool = False) -> Any:
    if isinstance(value, str):
        return policy.text(value) if spoken else value
    if isinstance(value, Mapping):
        return {str(key): _entry(str(key), each, policy, spoken) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_schema(each, policy, spoken) for each in value]
    if value is None or isinstance(value, int) or (isinstance(value, float) and isfinite(value)):
        return value
    return policy.text(str(value))  # JSON has no infinity


def _entry(key: str, value: Any, policy: Policy, spoken: bool) -> Any:
    if not spoken and key in _NAMED and isinstance(value, Mapping):
        return {str(name): _schema(each, policy) for name, each in value.items()}
    return _schema(value, policy, spoken or key in _SPOKEN)


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] or None if isinstance(value, (list, tuple)) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return float(value)
