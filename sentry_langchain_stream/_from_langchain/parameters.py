"""What a model call is asked with besides its prompt: request parameters and offered tools, in one shape each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from .._content.reading import as_text, count
from .._runtime.containment import contained

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
