"""Token usage in one shape, either reported by the provider or estimated and marked as an estimate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from .._content.reading import count
from .usage_shapes import (
    CACHE_INCLUDED,
    CACHE_SEPARATE,
    DETAILS,
    PARTS,
    PATHS,
    PLAIN,
    TOOL_PROMPT,
    WHOLES,
    numbers,
    reasoning_is_separate,
    tier_in,
)

Source = Literal["provider", "estimate"]


class Usage(NamedTuple):
    """The tokens of one model call. `None` means unknown, `0` means zero.

    `input` includes the cached and the audio tokens, `output` the reasoning and the audio tokens. This is the
    convention of LangChain and Sentry: the details are subsets.
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
    cache_creation_1h: int | None = None
    """Of `cache_creation`: what is kept for an hour, which has a price of its own. It has no attribute."""
    tier: str | None = None
    """The service tier, if the report names it."""

    @classmethod
    def reported(cls, raw: object) -> Usage | None:
        """Read the usage that a provider reported.

        Args:
            raw: A mapping in one of the shapes of `usage_shapes.PATHS`. Anything else is not usage.

        Returns:
            The usage, or `None` if the input, the output and the total are all missing or unusable.
        """
        if raw is None or not isinstance(raw, (dict, Mapping)) or WHOLES.isdisjoint(raw):
            return None
        found: dict[str, int] = {}
        if raw.keys() == PLAIN:  # LangChain's, without details
            input, output, total = raw["input_tokens"], raw["output_tokens"], raw["total_tokens"]
            are_numbers = input.__class__ is output.__class__ is total.__class__ is int
            if are_numbers and input >= 0 and output >= 0 and input + output == count(total):
                return cls(input, output, total)  # as most reports are
            input, output, total = count(input), count(output), count(total)
        else:
            found = numbers(raw)
            input, output, total = found.get("input"), found.get("output"), found.get("total")
        if input is None and output is None and total is None:
            return None
        if not TOOL_PROMPT.isdisjoint(raw):
            found["tool_prompt"] = sum(count(raw.get(key)) or 0 for key in TOOL_PROMPT)
        if PARTS.isdisjoint(found):  # there is nothing to reconcile
            input, output = _missing(input, output, total)
            return cls(input, output, _total(input, output, total), tier=tier_in(raw))
        cached = found.get("cache_read", 0) + found.get("cache_creation", 0)
        reasoning = found.get("reasoning", 0)
        # First the details of which the shape says whether their total includes them. A 0 is nothing to decide on.
        if cached and not CACHE_INCLUDED.isdisjoint(raw):
            input, cached = None if input is None else max(input, cached), 0
        elif not CACHE_SEPARATE.isdisjoint(raw):
            input, cached = _with(input, cached), 0
        if reasoning_is_separate(raw):
            output, reasoning = _with(output, reasoning), 0
        input = _with(input, found.get("tool_prompt", 0))
        # What the reported total has on top of its two parts: the other details that the parts do not include.
        rest = total - (input or 0) - (output or 0) if total is not None else None
        is_cached_beside, is_reasoning_beside = _beside(cached, input, reasoning, output, rest)
        input = _with(input, cached) if is_cached_beside else input
        output = _with(output, reasoning) if is_reasoning_beside else output
        input, output = _missing(input, output, total)
        created = _within(found.get("cache_creation"), input)
        return cls(
            input,
            output,
            _total(input, output, total),
            _within(found.get("cache_read"), input),
            created,
            _within(found.get("reasoning"), output),
            _within(found.get("audio_input"), input),
            _within(found.get("audio_output"), output),
            cache_creation_1h=_within(found.get("cache_creation_1h"), created),
            tier=tier_in(raw),
        )

    @property
    def is_nothing(self) -> bool:
        """Whether it says that no tokens were used."""
        return not (self.input or self.output or self.total)

    @property
    def has_no_answer(self) -> bool:
        """Whether it says that no tokens were answered: what a total has beyond the prompt may be an answer's."""
        return not self.output and (self.total or 0) <= (self.input or 0)

    def repeats(self, earlier: Usage | None) -> bool:
        """Whether this report and the earlier one of the same stream both count from the start of the stream.

        Some servers send such a report with every chunk. LangChain adds up all reports, which counts the prompt once
        per chunk. The last report alone is right. The prompt is the same in all of them, and the answer does not
        shrink: another number means that something was added, such as what a tool of Gemini's has read.

        Args:
            earlier: The previous report, if there is one.
        """
        return (
            earlier is not None
            and bool(earlier.input)
            and self.input == earlier.input
            and (self.output or 0) >= (earlier.output or 0)
        )

    def after(self, earlier: Usage | None) -> Usage:
        """Return what a stream has used by now, if this is its report and the earlier one is what it had used before.

        Some providers report the prompt first and only the answer's tokens later, or what was added since the report
        before. LangChain adds up the reports of all chunks, so their sum is right unless they repeat each other.

        Args:
            earlier: What had been reported before, if anything.
        """
        if earlier is None or self.repeats(earlier):
            return self
        return Usage.together((earlier, self)) or self

    def detailed_by(self, other: Usage | None) -> Usage:
        """Return this usage with the details that are only in another report of the same tokens.

        Args:
            other: The provider's own report, if there is one. If it counts other tokens, it is left out.
        """
        if other is None or (self.input, self.output) != (other.input, other.output):
            return self
        unknown = {name: getattr(other, name) for name in (*DETAILS, "tier") if getattr(self, name) is None}
        return self._replace(**unknown) if any(value is not None for value in unknown.values()) else self

    def over(self, earlier: Usage | None) -> Usage:
        """Return this usage with the details of an earlier report of the same tokens where those are larger.

        Workaround: as LangChain puts a v3 stream together, it adds up the tokens of its chunks, but keeps the details
        of the last one (langchain-core 1.4 to 1.8, `_compat_bridge`). So Gemini's cached tokens and thoughts are lost.
        It can go when the message of such a stream has the details of all chunks.

        Args:
            earlier: What has been added up from the chunks, if anything.
        """
        if earlier is None or (self.input, self.output) != (earlier.input, earlier.output):
            return self
        details = {name: (getattr(self, name), getattr(earlier, name)) for name in DETAILS}
        larger: dict[str, Any] = {
            name: theirs for name, (ours, theirs) in details.items() if (theirs or 0) > (ours or 0)
        }
        return self._replace(**larger) if larger else self

    def cut_short(self, prompt: int | None, arrived: int) -> Usage:
        """Return this usage as an estimate for an answer of which this does not count all, or nothing.

        Args:
            prompt: The estimated tokens of the prompt, for a provider that has not reported them.
            arrived: The estimated tokens of the answer. The provider's number counts if it is larger.
        """
        input, output = self.input or prompt, max(self.output or 0, arrived)
        return self._replace(input=input, output=output, total=_total(input, output, None), source="estimate")

    def with_estimated_input(self, prompt: int | None) -> Usage:
        """Return this usage. If it reports 0 or no input tokens, fill in the estimate and mark it as an estimate.

        A model that answers has read a prompt, so 0 is wrong. LangChain writes 0 where a provider leaves the number
        out: Anthropic's protocol at the end of a stream. Ollama leaves it out for a prompt that it has cached, and
        langchain-ollama 1.1 then passes on no usage but Ollama's own.

        Args:
            prompt: The estimated tokens of the prompt, or `None` if there is no estimate.
        """
        if self.input or not self.output or not prompt:
            return self
        return self._replace(input=prompt, total=_total(prompt, self.output, None), source="estimate")

    @classmethod
    def together(cls, usages: Iterable[Usage]) -> Usage | None:
        """Return the sum of several usages, or `None` if there are no usages.

        A field that is unknown in all of them is unknown in the sum. The sum is an estimate if any of them is one.
        """
        each = list(usages)
        if len(each) < 2:
            return each[0] if each else None
        sums = {field: _sum(*(getattr(usage, field) for usage in each)) for field in PATHS}
        return cls(
            **sums,
            source="estimate" if any(usage.source == "estimate" for usage in each) else "provider",
            tier=next((usage.tier for usage in each if usage.tier is not None), None),
        )

    @classmethod
    def stated(cls, input: int | None, output: int | None) -> Usage:
        """Make a usage from numbers that the application took from the provider.

        Args:
            input: Tokens of the prompt.
            output: Tokens of the answer.
        """
        return cls(input=input, output=output, total=_total(input, output, None))

    @classmethod
    def estimated(cls, input: int | None, output: int) -> Usage:
        """Make a usage that is marked as an estimate.

        Args:
            input: Tokens of the prompt, or `None` if there is no estimate of them.
            output: Tokens of the answer.
        """
        return cls(input=input, output=output, total=_total(input, output, None), source="estimate")


def _beside(cached: int, input: int | None, reasoning: int, output: int | None, rest: int | None) -> tuple[bool, bool]:
    """Whether the cached tokens are beside the input rather than in it, and the reasoning beside the output.

    What the reported total has on top of its parts decides. If that is neither of the two, a detail that is larger than
    its total is beside it, because it cannot be in it. The total may have a part of a detail, as with langchain-aws
    before 1.5.

    Args:
        cached: The tokens that were read from the cache or written to it.
        input: The input, if it was reported.
        reasoning: The reasoning tokens.
        output: The output, if it was reported.
        rest: What the reported total has on top of the input and the output.
    """
    is_cached_larger = input is not None and cached > input
    is_reasoning_larger = output is not None and reasoning > output
    if rest is not None and rest > 0:
        if rest == cached + reasoning:
            return True, True
        if rest == cached == reasoning:  # one of the two: in doubt the cached ones
            is_reasoning = is_reasoning_larger and not is_cached_larger
            return not is_reasoning, is_reasoning
        if rest in (cached, reasoning):
            return rest == cached, rest == reasoning
    return is_cached_larger, is_reasoning_larger


def _with(whole: int | None, part: int) -> int | None:
    """Return a total with a detail that it does not include. Without it, Sentry's cost could become negative."""
    return (whole or 0) + part if part else whole


def _within(part: int | None, whole: int | None) -> int | None:
    """Return a detail, unless its total is unknown or smaller: the two contradict each other then."""
    return part if part is not None and whole is not None and part <= whole else None


def _sum(*numbers: int | None) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None


def _missing(input: int | None, output: int | None, total: int | None) -> tuple[int | None, int | None]:
    """Return input and output. If one of them is unknown, it is what the other one leaves of the total.

    Both are unknown if they are 0 and the total is not: LangChain writes 0 where a provider reports a total only. What
    a total has beyond other numbers is added to neither: with Gemini it may be thoughts or the results of tools.
    """
    if input == output == 0 and total:
        return None, None
    if total is not None and output is None and input is not None:
        return input, max(total - input, 0)
    if total is not None and input is None and output is not None:
        return max(total - output, 0) or None, output  # a model that answers has read a prompt
    return input, output


def _total(input: int | None, output: int | None, reported: int | None) -> int | None:
    parts = None if input is None and output is None else (input or 0) + (output or 0)
    # A reported total that is smaller than input plus output is wrong, so the sum is used.
    return parts if reported is None else max(reported, parts or 0)
