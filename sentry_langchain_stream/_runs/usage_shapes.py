"""The shapes in which providers report usage, and the numbers in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._content.reading import as_text, count, field

Path = tuple[str, ...]

# Where each number is found: first LangChain's `usage_metadata`, then the providers' own shapes that LangChain passes
# on in `llm_output`, `generation_info` and `response_metadata`.
PATHS: dict[str, tuple[Path, ...]] = {
    "input": (
        ("input_tokens",),
        ("prompt_tokens",),
        ("prompt_token_count",),
        ("input_token_count",),
        ("prompt_eval_count",),
        ("inputTokens",),
        ("inputTokenCount",),
        ("promptTokenCount",),
    ),
    "output": (
        ("output_tokens",),
        ("completion_tokens",),
        ("candidates_token_count",),
        ("generated_token_count",),
        ("eval_count",),
        ("outputTokens",),
        ("outputTokenCount",),
        ("candidatesTokenCount",),
    ),
    "total": (("total_tokens",), ("total_token_count",), ("totalTokens",), ("totalTokenCount",)),
    "cache_read": (
        ("input_token_details", "cache_read"),
        ("input_token_details", "flex_cache_read"),  # OpenAI's service tiers, as LangChain spells them
        ("input_token_details", "priority_cache_read"),
        ("prompt_tokens_details", "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cache_read_input_tokens",),
        ("prompt_cache_hit_tokens",),
        ("cached_tokens",),  # Together, Cohere
        ("cached_content_token_count",),
        ("cacheReadInputTokens",),
        ("cacheReadInputTokenCount",),
        ("cachedContentTokenCount",),
    ),
    "cache_creation": (
        ("input_token_details", "cache_creation"),
        ("input_token_details", "flex_cache_creation"),
        ("input_token_details", "priority_cache_creation"),
        ("prompt_tokens_details", "cache_write_tokens"),
        ("input_tokens_details", "cache_write_tokens"),
        ("cache_creation_input_tokens",),
        ("cache_write_input_tokens",),
        ("cacheWriteInputTokens",),
        ("cacheWriteInputTokenCount",),
    ),
    "cache_creation_1h": (
        ("input_token_details", "ephemeral_1h_input_tokens"),  # Anthropic's, as LangChain spells them
        ("cache_creation", "ephemeral_1h_input_tokens"),
    ),
    "reasoning": (
        ("output_token_details", "reasoning"),
        ("output_token_details", "flex_reasoning"),
        ("output_token_details", "priority_reasoning"),
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "thinking_tokens"),
        ("thoughts_token_count",),
        ("thoughtsTokenCount",),
        ("reasoning_tokens",),  # Perplexity
    ),
    "audio_input": (("input_token_details", "audio"), ("prompt_tokens_details", "audio_tokens")),
    "audio_output": (("output_token_details", "audio"), ("completion_tokens_details", "audio_tokens")),
}

DETAILS = ("cache_read", "cache_creation", "cache_creation_1h", "reasoning", "audio_input", "audio_output")

PLAIN = frozenset({"input_tokens", "output_tokens", "total_tokens"})

PARTS = frozenset({*DETAILS, "tool_prompt"})

_Place = tuple[str, int]
"""A field of `Usage`, and the rank of the path that leads to it."""

_FLAT: dict[str, _Place] = {
    path[0]: (field, rank) for field, paths in PATHS.items() for rank, path in enumerate(paths) if len(path) == 1
}

_NESTED: dict[str, dict[str, _Place]] = {}
for _field, _paths in PATHS.items():
    for _rank, _path in enumerate(_paths):
        if len(_path) == 2:
            _NESTED.setdefault(_path[0], {})[_path[1]] = (_field, _rank)

WHOLES = frozenset(path[0] for field in ("input", "output", "total") for path in PATHS[field])
"""A mapping without any of these keys is not usage. Most of the mappings that are checked have none of them."""

# Tokens written to the cache, reported per time to live. If these are present, LangChain sets the general number to 0.
_CREATED_FOR = frozenset({"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"})
_CREATED_IN = frozenset({"input_token_details", "cache_creation"})

# Key of a list of Gemini's, with a number for each modality -> the field of `Usage` for audio. Under one of these keys
# OpenAI has a mapping.
_BY_MODALITY = {
    "promptTokensDetails": "audio_input",
    "prompt_tokens_details": "audio_input",
    "candidatesTokensDetails": "audio_output",
    "candidates_tokens_details": "audio_output",
}

# Keys of provider shapes in which a detail is not included in its total.
CACHE_SEPARATE = frozenset(  # Anthropic, Bedrock
    {
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_write_input_tokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        "cacheReadInputTokenCount",
        "cacheWriteInputTokenCount",
    }
)

_REASONING_SEPARATE = frozenset({"thoughts_token_count", "thoughtsTokenCount"})  # Gemini

# LiteLLM repeats Anthropic's keys beside OpenAI's, and includes the cached tokens as OpenAI does.
CACHE_INCLUDED = frozenset({"prompt_tokens_details"})

TOOL_PROMPT = frozenset({"tool_use_prompt_token_count", "toolUsePromptTokenCount"})
"""The results of Gemini's own tools, which it reads as a prompt and counts apart."""


def reasoning_is_separate(raw: Mapping[str, Any]) -> bool:
    """Whether the output does not include the reasoning: with Gemini, and Perplexity's Deep Research."""
    details = raw.get("output_token_details")
    place = details if isinstance(details, Mapping) else raw
    return not _REASONING_SEPARATE.isdisjoint(raw) or place.get("citation_tokens") is not None


_TIERS = ("flex", "priority")
_EVERYWHERE = ("standard", "global", "not_available", "")
TIER = frozenset({"service_tier", "serviceTier"})
"""The keys under which an answer names its service tier."""


def tier_in(raw: Mapping[str, Any]) -> str | None:
    """Return the service tier that a report or an answer names. LangChain has OpenAI's in the names of the details."""
    details = raw.get("input_token_details")
    if isinstance(details, Mapping):
        for tier in _TIERS:
            if tier in details or f"{tier}_cache_read" in details:
                return tier
    for special in (raw.get("speed"), raw.get("inference_geo")):  # Anthropic's fast mode, and inference in one country
        if isinstance(special, str) and special not in _EVERYWHERE:
            return special
    stated = raw.get("service_tier", raw.get("serviceTier"))
    if isinstance(stated, Mapping):  # Bedrock's
        stated = stated.get("type")
    return as_text(stated) if stated is not None else None


def numbers(raw: Mapping[str, Any]) -> dict[str, int]:
    """Return the reported numbers by field of `Usage`. If several paths of a field are present, the first one wins."""
    found: dict[str, int] = {}
    ranks: dict[str, int] = {}
    created = 0

    def take(place: _Place, value: object) -> None:
        field, rank = place
        if rank <= ranks.get(field, rank) and (number := count(value)) is not None:
            found[field], ranks[field] = number, rank

    for key, value in raw.items():
        if key in _FLAT:
            take(_FLAT[key], value)
        elif key in _NESTED and isinstance(value, Mapping):
            places = _NESTED[key]
            for inner, each in value.items():
                if inner in places:
                    take(places[inner], each)
                if inner in _CREATED_FOR and key in _CREATED_IN:
                    created += count(each) or 0
        elif key in _BY_MODALITY and isinstance(value, (list, tuple)):
            take((_BY_MODALITY[key], 0), _audio(value))
        elif key == "cacheDetails" and isinstance(value, (list, tuple)):
            take(("cache_creation_1h", 0), _for_an_hour(value))
    if created:
        found["cache_creation"] = created
    return found


def _audio(details: Iterable[object]) -> int | None:
    """Return the audio tokens among the numbers by modality, if there are any. An enumeration's member has a name."""
    found = None
    for each in details:
        modality = field(each, "modality")
        name = field(modality, "name")
        if as_text(modality if name is None else name) == "AUDIO":
            tokens = count(field(each, "token_count"))
            tokens = count(field(each, "tokenCount")) if tokens is None else tokens
            found = found if tokens is None else (found or 0) + tokens
    return found


def _for_an_hour(details: Iterable[object]) -> int:
    """Return the tokens that Bedrock's cache keeps for an hour, from its numbers by time to live."""
    return sum(count(field(each, "inputTokens")) or 0 for each in details if as_text(field(each, "ttl")) == "1h")
