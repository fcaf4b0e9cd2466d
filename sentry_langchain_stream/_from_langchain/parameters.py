"""Reads the request parameters of a model call, in the formats of all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from .._content.reading import as_text, count
from .._runtime.containment import contained

# Our name of a request parameter -> the providers' names, and a function that returns the valid value or `None`.
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
    "reasoning": (
        (
            "reasoning_effort",
            "thinking_level",
            "thinkingLevel",
            "effort",
            "output_config",
            "reasoning",
            "reasoning_config",
            "thinking_budget",
            "thinkingBudget",
            "thinking_config",
            "thinkingConfig",
            "thinking",
        ),
        lambda value: _reasoning(value),
    ),
}

_NAMED_BY = {
    spelling: (rank, name, accept)
    for name, (spellings, accept) in PARAMETERS.items()
    for rank, spelling in enumerate(spellings)
}
_SPELLINGS = frozenset(_NAMED_BY)

# Keys under which a provider's package nests parameters: Ollama; the `model_kwargs` of a model class; extra fields that
# OpenAI's client sends; Gemini; Bedrock's Converse API, and the fields that it passes on to the model.
_NESTED = (
    "options",
    "model_kwargs",
    "extra_body",
    "generation_config",
    "inferenceConfig",
    "additional_model_request_fields",
)
_NESTING = frozenset(_NESTED)


def request_parameters(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the request parameters, by the names in `PARAMETERS`.

    A value that has the wrong type, is NaN or infinite, or is negative where that is not allowed, is left out.

    Args:
        sources: The mappings to read, by precedence. A value in an earlier one wins.
    """
    found: dict[str, Any] = {}
    for source in sources:
        _read(source, found)
        if not _NESTING.isdisjoint(source):
            for name in _NESTED:
                if isinstance(nested := source.get(name), Mapping):
                    _read(nested, found)
    return found


def _read(source: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Add the parameters in a mapping to those found before. A parameter that was found before is kept."""
    # Usually only one or two of the names are present, so intersect first.
    for spelling in sorted(_SPELLINGS.intersection(source), key=_NAMED_BY.__getitem__):
        _, name, accept = _NAMED_BY[spelling]
        value = source[spelling]
        if value is None or name in found:
            continue
        with contained(f"request parameter {name}"):
            accepted = accept(value)
            if accepted is not None:
                found[name] = accepted


def _texts(value: object) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] or None if isinstance(value, (list, tuple)) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return None
    return float(value)


def _reasoning(value: object) -> str | None:
    """Return how much a model may think: a level by its name, a budget as its number of tokens.

    The name is in a mapping for OpenAI's Responses API, OpenRouter and Anthropic. Anthropic and Bedrock put a budget
    beside a type such as "enabled". Gemini's budget of -1 leaves it to the model.
    """
    if isinstance(value, Mapping):
        return next((found for name in _REASONING if (found := _reasoning(value.get(name))) is not None), None)
    if isinstance(value, str):
        return value or None
    return "dynamic" if value == -1 else as_text(count(value))


_REASONING = (
    *("effort", "maxReasoningEffort", "thinking_level", "thinkingLevel"),
    *("budget_tokens", "max_tokens", "thinking_budget", "thinkingBudget"),
    "type",
)
