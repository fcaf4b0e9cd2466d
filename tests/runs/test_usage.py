"""Token usage."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._content.reading import count
from sentry_langchain_stream._runs.usage import Usage

NAMES = [name for name in Usage._fields if name not in ("source", "tier")]


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "12",
        12,
        [("input_tokens", 1)],
        {},
        {"input_tokens": None, "output_tokens": None, "total_tokens": None},
        {"input_tokens": -1, "output_tokens": True, "total_tokens": "7"},
        {"input_token_details": {"cache_read": 4}},
        {"total_cost": 0},
    ],
    ids=repr,
)
def test_what_holds_no_number_is_no_usage(raw: object) -> None:
    """Without any usable count there is no usage, rather than one of zeros."""
    assert Usage.reported(raw) is None


def test_the_numbers_are_whole_after_reading() -> None:
    """A float that is whole becomes an int."""
    usage = Usage.reported({"input_tokens": 10.0, "output_tokens": 5.0})
    assert usage is not None
    assert {type(usage.input), type(usage.output), type(usage.total)} == {int}


@pytest.mark.parametrize(
    "raw", [{"input_token_details": [1], "input_tokens": 3}, {"input_token_details": "x", "input_tokens": 3}], ids=str
)
def test_details_in_a_strange_shape_are_unknown(raw: dict[str, Any]) -> None:
    """Details that are no mapping are unknown and cost nothing else."""
    assert Usage.reported(raw) == Usage(input=3, total=3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (7, 7), (0.0, 0), (7.0, 7), (10**12, 10**12), (2**53, 2**53)],
)
def test_a_count_is_a_whole_number(value: object, expected: int) -> None:
    """Zero and whole numbers pass, as int."""
    assert count(value) == expected
    assert type(count(value)) is int


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        -1,
        -0.5,
        0.5,
        7.9,
        math.nan,
        math.inf,
        -math.inf,
        "7",
        "",
        b"7",
        Decimal(7),
        7j,
        [7],
        {"tokens": 7},
        object,
    ],
    ids=repr,
)
def test_what_is_no_count_is_refused(value: object) -> None:
    """Bools, negatives, fractions, NaN, infinities and whatever is no number are unknown, not zero."""
    assert count(value) is None


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=2),
)
details = st.one_of(
    anything,
    st.dictionaries(
        st.sampled_from(["cache_read", "cache_creation", "reasoning", "audio", "cached_tokens", "reasoning_tokens"]),
        anything,
    ),
)
reports = st.dictionaries(
    st.sampled_from(
        [
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "prompt_tokens",
            "completion_tokens",
            "prompt_token_count",
            "candidates_token_count",
            "total_token_count",
            "cache_read_input_tokens",
            "cache_creation_input_tokens",
        ]
    ),
    anything,
).flatmap(
    lambda top: st.dictionaries(
        st.sampled_from(
            ["input_token_details", "output_token_details", "prompt_tokens_details", "completion_tokens_details"]
        ),
        details,
    ).map(lambda below: {**top, **below})
)


@settings(deadline=None, max_examples=300)
@given(reports)
def test_whatever_is_reported_no_number_is_impossible(raw: dict[str, Any]) -> None:
    """No number is negative or anything but an int, and the total is never below its parts."""
    usage = Usage.reported(raw)
    if usage is None:
        return
    for name in NAMES:
        number = getattr(usage, name)
        assert number is None or (type(number) is int and number >= 0), name
    assert usage.total is not None
    assert usage.total >= (usage.input or 0) + (usage.output or 0)
    if usage.input is not None:
        assert usage.input >= (usage.cache_read or 0) + (usage.cache_creation or 0)
    if usage.output is not None:
        assert usage.output >= (usage.reasoning or 0)


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_what_is_reported_is_stated_unchanged(given_input: int, given_output: int) -> None:
    """The provider's numbers are taken as they are, and the total is their sum."""
    total = given_input + given_output
    raw = {"input_tokens": given_input, "output_tokens": given_output, "total_tokens": total}
    assert Usage.reported(raw) == Usage(given_input, given_output, total)
    assert Usage.reported({key: raw[key] for key in ("input_tokens", "output_tokens")}) == Usage.reported(raw)


def test_a_total_below_its_parts_is_raised_to_their_sum() -> None:
    """A total that contradicts its own parts is their sum."""
    assert Usage.reported({"input_tokens": 10, "output_tokens": 5, "total_tokens": 12}) == Usage(10, 5, 15)


def test_reading_changes_nothing() -> None:
    """What LangChain hands over is left as it was."""
    raw = {"input_tokens": 1, "input_token_details": {"cache_read": 1}}
    Usage.reported(raw)
    assert raw == {"input_tokens": 1, "input_token_details": {"cache_read": 1}}


@pytest.mark.parametrize(("given_input", "total"), [(None, 5), (0, 5), (7, 12)])
def test_an_estimate_says_that_it_is_one(given_input: int | None, total: int) -> None:
    """An estimate sums what is known, knows no details, and is labelled."""
    estimate = Usage.estimated(given_input, 5)
    assert estimate == Usage(input=given_input, output=5, total=total, source="estimate")


def test_usage_does_not_change() -> None:
    """A usage cannot be changed after it was read."""
    with pytest.raises(AttributeError):
        Usage().input = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("earlier", "later", "repeats"),
    [
        (None, Usage(10, 1, 11), False),
        (Usage(10, 1, 11), Usage(10, 2, 12), True),
        (Usage(10, 1, 11), Usage(12, 2, 14), False),
        (Usage(10, 3, 13), Usage(10, 2, 12), False),
        (Usage(10, 1, 11), Usage(0, 2, 2), False),
        (Usage(10, 1, 11), Usage(None, 2, 2), False),
        (Usage(0, 1, 1), Usage(10, 2, 12), False),
        (Usage(None, 1, 1), Usage(10, 2, 12), False),
    ],
    ids=repr,
)
def test_a_report_that_counts_the_prompt_again_repeats_the_one_before(
    earlier: Usage | None, later: Usage, repeats: bool
) -> None:
    """Two reports of the same prompt each count from the start; one of no or other tokens tells what came since."""
    assert later.repeats(earlier) is repeats


@pytest.mark.parametrize(
    ("reported", "prompt", "expected"),
    [
        (Usage(0, 5, 5), 7, Usage(7, 5, 12, source="estimate")),
        (Usage(0, 5, 5, reasoning=3), 7, Usage(7, 5, 12, reasoning=3, source="estimate")),
        (Usage(0, 5, 5), None, Usage(0, 5, 5)),
        (Usage(0, 5, 5), 0, Usage(0, 5, 5)),
        (Usage(0, 0, 0), 7, Usage(0, 0, 0)),
        (Usage(None, 5, 5), 7, Usage(7, 5, 12, source="estimate")),
        (Usage(None, 5, 5), None, Usage(None, 5, 5)),
        (Usage(3, 5, 8), 7, Usage(3, 5, 8)),
    ],
    ids=repr,
)
def test_an_answer_to_nothing_is_mended_with_an_estimate(reported: Usage, prompt: int | None, expected: Usage) -> None:
    """Where output is reported but an input of zero, the input is estimated, and the whole is labelled so."""
    assert reported.with_estimated_input(prompt) == expected


def test_what_several_calls_used_is_added_up() -> None:
    """Each number is the sum of those that are known, and what nobody knows stays unknown."""
    assert Usage.together([]) is None
    assert Usage.together([Usage(1, 2, 3)]) == Usage(1, 2, 3)
    assert Usage.together([Usage(1, 2, 3, cache_read=1), Usage(10, None, 10)]) == Usage(11, 2, 13, cache_read=1)


def test_what_was_used_together_is_in_the_tier_that_one_of_them_names() -> None:
    """Of several reports of one stream, one may name the service tier."""
    assert Usage.together([Usage(1, 0, 1), Usage(0, 2, 2, tier="flex")]) == Usage(1, 2, 3, tier="flex")


def test_what_is_kept_for_an_hour_is_added_up() -> None:
    """The tokens that several calls wrote to the cache for an hour are a part of all that they wrote."""
    created = [{"ephemeral_5m_input_tokens": 5}, {"ephemeral_1h_input_tokens": 3}]
    usages = [Usage.reported({"input_tokens": 9, "output_tokens": 1, "input_token_details": each}) for each in created]
    both = Usage.together(usage for usage in usages if usage is not None)
    assert both is not None
    assert (both.cache_creation, both.cache_creation_1h) == (8, 3)


def test_what_a_tool_of_gemini_has_read_is_input() -> None:
    """Gemini counts the results of its own tools beside the prompt, and in the total."""
    raw = {"promptTokenCount": 10, "candidatesTokenCount": 5, "toolUsePromptTokenCount": 7, "totalTokenCount": 22}
    assert Usage.reported(raw) == Usage(17, 5, 22)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        pytest.param(
            Usage(9, 2, 11, cache_read=4, tier="flex"), Usage(9, 2, 11, 4, reasoning=1, tier="flex"), id="more"
        ),
        pytest.param(Usage(9, 2, 11, reasoning=2), Usage(9, 2, 11, reasoning=1), id="known already"),
        pytest.param(Usage(8, 2, 10, cache_read=4), Usage(9, 2, 11, reasoning=1), id="of other tokens"),
        pytest.param(None, Usage(9, 2, 11, reasoning=1), id="none"),
    ],
)
def test_details_come_from_another_report_of_the_same_tokens(other: Usage | None, expected: Usage) -> None:
    """What a package has left out is taken from the provider's own report, and nothing that it has is replaced."""
    assert Usage(9, 2, 11, reasoning=1).detailed_by(other) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"input_tokens": 10, "total_tokens": 15}, Usage(10, 5, 15)),
        ({"input_tokens": 10, "total_tokens": 10}, Usage(10, 0, 10)),
        ({"input_tokens": 10, "total_tokens": 9}, Usage(10, 0, 10)),
        ({"output_tokens": 10, "total_tokens": 15}, Usage(5, 10, 15)),
    ],
    ids=repr,
)
def test_a_part_that_is_missing_is_the_rest_of_the_total(raw: dict[str, int], expected: Usage) -> None:
    """Where a provider reports the total and one of its parts, the other one is known, and never negative."""
    assert Usage.reported(raw) == expected


@pytest.mark.parametrize(
    ("later", "earlier", "expected"),
    [
        pytest.param(Usage(10, 2, 12), None, Usage(10, 2, 12), id="the first"),
        pytest.param(Usage(0, 3, 3), Usage(10, 2, 12), Usage(10, 5, 15), id="what was added"),
        pytest.param(Usage(10, 5, 15), Usage(10, 2, 12), Usage(10, 5, 15), id="counted from the start"),
    ],
)
def test_a_report_follows_the_ones_before(later: Usage, earlier: Usage | None, expected: Usage) -> None:
    """A report in a stream adds up with those before, unless both count from the start."""
    assert later.after(earlier) == expected
