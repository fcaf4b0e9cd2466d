"""Reads the request parameters of a model call, in the formats of all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from .._content.cutting import cut
from .._content.policy import Policy
from .._content.reading import as_text, count
from .._runtime.containment import contain, contained
from .usage_shapes import tier_in


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


# Our name of a request parameter -> the providers' names, and a function that returns the valid value or `None`.
PARAMETERS: dict[str, tuple[tuple[str, ...], Callable[[Any], Any]]] = {
    "temperature": (("temperature", "ls_temperature"), _number),
    "top_p": (("top_p", "topP"), _number),
    "top_k": (("top_k", "topK"), count),
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
        count,
    ),
    "seed": (("seed", "random_seed"), as_text),
    "stop": (("stop", "stop_sequences", "stopSequences", "ls_stop"), _texts),
    "frequency_penalty": (("frequency_penalty", "frequencyPenalty"), _number),
    "presence_penalty": (("presence_penalty", "presencePenalty"), _number),
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
        _reasoning,
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
_OF_TIER = frozenset({"service_tier", "serviceTier", "speed", "inference_geo"})
"""The parameters that `tier_in` reads, the last two of Anthropic's."""

READ = _SPELLINGS | _NESTING | _OF_TIER
"""The keys that are read."""


def request_parameters(sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the request parameters, by the names in `PARAMETERS`.

    A value that has the wrong type, is NaN or infinite, or is negative where that is not allowed, is left out.

    Args:
        sources: The mappings to read, by precedence. A value in an earlier one wins.
    """
    found: dict[str, Any] = {}
    for source in sources:
        if READ.isdisjoint(source):
            continue
        _read(source, found)
        if not _NESTING.isdisjoint(source):
            for name in _NESTED:
                if isinstance(nested := source.get(name), Mapping):
                    _read(nested, found)
    return found


def asked_tier(sources: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the service tier that a request asks for, if it asks for any, by the rule for what an answer names.

    Args:
        sources: The mappings to read, by precedence. A value in an earlier one wins.
    """
    asked: dict[str, Any] = {}
    for source in sources:
        for place in (source, *map(source.get, _NESTED)):
            if isinstance(place, Mapping):
                for name in _OF_TIER.intersection(place):
                    if place[name] is not None:
                        asked.setdefault(name, place[name])
    return tier_in(asked) if asked else None


def _read(source: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Add the parameters in a mapping to those found before. A parameter that was found before is kept."""
    # Usually only one or two of the names are present, so intersect first.
    present = _SPELLINGS.intersection(source)
    for spelling in sorted(present, key=_NAMED_BY.__getitem__) if len(present) > 1 else present:
        _, name, accept = _NAMED_BY[spelling]
        value = source[spelling]
        if value is None or name in found:
            continue
        try:
            accepted = accept(value)
        except Exception as error:
            contain(f"request parameter {name}", error)
            continue
        if accepted is not None:
            found[name] = accepted


def allowed(parameters: Mapping[str, Any], policy: Policy) -> Mapping[str, Any]:
    """Return the request parameters that may be recorded. Stop sequences are texts for the model, so they are input."""
    if "stop" not in parameters:
        return parameters
    found = {**parameters}
    stop = found.pop("stop")
    if stop and policy.inputs:
        with contained("stop sequences"):
            kept = [text for each in stop[:_MOST_STOPS] if (text := policy.text(each))]
            if kept:
                found["stop"] = [cut(text, _LONGEST_STOP) for text in kept]
    return found


_MOST_STOPS = 16

_LONGEST_STOP = 200
