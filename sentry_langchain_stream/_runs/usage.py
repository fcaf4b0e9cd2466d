"""Token usage: what a provider reports, in one shape, or an estimate that says it is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Any, Literal, NamedTuple

from .._content.reading import count

Source = Literal["provider", "estimate"]
Path = tuple[str, ...]


class Usage(NamedTuple):
    """Tokens of one model call. `None` is unknown, `0` is none.

    `input` includes the cached and the audio tokens, `output` the reasoning and the audio tokens
    (LangChain's and Sentry's convention: the details are subsets).
    """

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cache_read: int | None = None
    cache_creation: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    source: Source = "provider"

    @classmethod
    def reported(cls, raw: object) -> Usage | None:
        """Read what a provider reported.

        Args:
            raw: A mapping in one of the shapes of `_PATHS`; anything else is no usage.

        Returns:
            The usage, or `None` if nothing in it is a usable number.
        """
        if not isinstance(raw, Mapping) or _WHOLES.isdisjoint(raw):
            return None
        found = _fields(raw)
        input, output, total = found.get("input"), found.get("output"), found.get("total")
        if input is None and output is None and total is None:
            return None
        room = (total or 0) - (input or 0) - (output or 0)
        cached = found.get("cache_read", 0) + found.get("cache_creation", 0)
        input = _whole(input, cached, _CACHE_BESIDE, raw)
        output = _whole(output, found.get("reasoning"), _REASONING_BESIDE, raw, room)
        return cls(
            input,
            output,
            _total(input, output, total),
            found.get("cache_read"),
            found.get("cache_creation"),
            found.get("reasoning"),
            found.get("audio_input"),
            found.get("audio_output"),
        )

    def repeats(self, earlier: Usage | None) -> bool:
        """Whether two reports of one stream each count it from its start, rather than what came since.

        Some servers report so in every chunk. LangChain adds all reports up, which then counts the prompt once
        per chunk; the last report is right.

        Args:
            earlier: The report before this one, if there was one.
        """
        return earlier is not None and bool(earlier.input) and (self.input or 0) >= (earlier.input or 0)

    def mended(self, prompt: int | None) -> Usage:
        """The same, unless it says that no prompt was read: then with an estimate of it, and labelled as one.

        No model answers nothing. LangChain writes a zero where a provider leaves the number out: Anthropic's
        protocol at the end of a stream, Ollama for a prompt that it remembers.

        Args:
            prompt: Tokens of the prompt as estimated, if there is anything to go by.
        """
        if self.input != 0 or not self.output or not prompt:
            return self
        return self._replace(input=prompt, total=_total(prompt, self.output, None), source="estimate")

    @classmethod
    def together(cls, usages: Iterable[Usage]) -> Usage | None:
        """What several calls used in all, or `None` if there is none. What none of them knows is unknown.

        The sum is an estimate if any of them is one.
        """
        each = list(usages)
        if len(each) < 2:
            return each[0] if each else None
        sums = {field: _sum(*(getattr(usage, field) for usage in each)) for field in _PATHS}
        return cls(**sums, source="estimate" if any(usage.source == "estimate" for usage in each) else "provider")

    @classmethod
    def stated(cls, input: int | None, output: int | None) -> Usage:
        """What the application says on the provider's word.

        Args:
            input: Tokens of the prompt.
            output: Tokens of the answer.
        """
        return cls(input=input, output=output, total=_total(input, output, None))

    @classmethod
    def estimated(cls, input: int | None, output: int) -> Usage:
        """An estimate, labelled as one.

        Args:
            input: Tokens of the prompt, if there is anything to go by.
            output: Tokens of the answer.
        """
        return cls(input=input, output=output, total=_total(input, output, None), source="estimate")


# Where each number is found. LangChain's `usage_metadata` first, then the providers' own shapes that
# LangChain hands through in `llm_output`, `generation_info` and `response_metadata`.
_PATHS: dict[str, tuple[Path, ...]] = {
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
    "reasoning": (
        ("output_token_details", "reasoning"),
        ("output_token_details", "flex_reasoning"),
        ("output_token_details", "priority_reasoning"),
        ("completion_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "thinking_tokens"),
        ("thoughts_token_count",),
        ("thoughtsTokenCount",),
    ),
    "audio_input": (("input_token_details", "audio"), ("prompt_tokens_details", "audio_tokens")),
    "audio_output": (("output_token_details", "audio"), ("completion_tokens_details", "audio_tokens")),
}

_FIELD_OF = {path: (field, rank) for field, paths in _PATHS.items() for rank, path in enumerate(paths)}

_WHOLES = frozenset(path[0] for field in ("input", "output", "total") for path in _PATHS[field])
"""A mapping with none of these keys reports no usage. Most of those that are looked at have none."""

# Where what was written to the cache is told by time to live. LangChain then sets the general number to zero.
_CREATED_FOR = frozenset(
    (place, f"ephemeral_{time}_input_tokens")
    for place in ("input_token_details", "cache_creation")
    for time in ("5m", "1h")
)

# Keys by which a provider's own shape is known to count a part beside its whole rather than in it.
_CACHE_BESIDE = (  # Anthropic, Bedrock
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_write_input_tokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokenCount",
)
_REASONING_BESIDE = ("thoughts_token_count", "thoughtsTokenCount")  # Gemini


def _whole(
    whole: int | None, part: int | None, beside: tuple[str, ...], raw: Mapping[str, Any], room: int | None = None
) -> int | None:
    """A number that includes its part: a part larger than its whole would make Sentry's cost negative.

    The part is beside its whole where the provider is known for it, where it is the larger of the two, and where the
    reported total has `room` for just this part (xAI's reasoning).
    """
    if whole is None or not part:
        return whole
    return whole + part if part == room or part > whole or any(key in raw for key in beside) else whole


def _sum(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _fields(raw: Mapping[str, Any]) -> dict[str, int]:
    """The numbers that are reported, by the fields of `Usage`: of the paths of one field the first counts."""
    found: dict[str, int] = {}
    ranks: dict[str, int] = {}
    created = 0
    for key, value in raw.items():
        is_flat = value.__class__ is int or not isinstance(value, Mapping)
        for path, each in (((key,), value),) if is_flat else [((key, below), each) for below, each in value.items()]:
            if path in _FIELD_OF:
                field, rank = _FIELD_OF[path]
                if rank <= ranks.get(field, rank) and (number := count(each)) is not None:
                    found[field], ranks[field] = number, rank
            elif path in _CREATED_FOR:
                created += count(each) or 0
    if created:
        found["cache_creation"] = created
    return found


def approximate(text: str) -> int:
    """Tokens of a text by LangChain's rule of thumb: four characters each."""
    return ceil(len(text) / 4)


def _total(input: int | None, output: int | None, reported: int | None) -> int | None:
    parts = None if input is None and output is None else (input or 0) + (output or 0)
    # A total below its own parts would show as a negative remainder.
    return parts if reported is None else max(reported, parts or 0)
