"""Details that are reported beside the input or the output rather than in it: what the reported total says of them."""

from __future__ import annotations

from typing import Any

import pytest

from sentry_langchain_stream._runs.usage import Usage


def report(input: int, output: int, total: int, cached: int = 0, reasoning: int = 0) -> dict[str, Any]:
    """A report in LangChain's shape, in which the details should be in the input and the output."""
    return {
        "input_tokens": input,
        "output_tokens": output,
        "total_tokens": total,
        "input_token_details": {"cache_read": cached},
        "output_token_details": {"reasoning": reasoning},
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            report(100, 5, 169, cached=64, reasoning=64), Usage(100, 69, 169, 64, reasoning=64), id="as much reasoning"
        ),
        pytest.param(
            report(10, 70, 144, cached=64, reasoning=64), Usage(74, 70, 144, 64, reasoning=64), id="as much cached"
        ),
        pytest.param(
            report(100, 70, 234, cached=64, reasoning=64), Usage(164, 70, 234, 64, reasoning=64), id="either of the two"
        ),
        pytest.param(
            report(10, 5, 79, cached=64, reasoning=64), Usage(74, 5, 79, 64, reasoning=None), id="only one of the two"
        ),
        pytest.param(report(10, 5, 143, cached=64, reasoning=64), Usage(74, 69, 143, 64, reasoning=64), id="both"),
        pytest.param(
            report(100, 5, 145, cached=40, reasoning=64), Usage(140, 5, 145, 40), id="cached, but no reasoning"
        ),
        pytest.param(
            report(10, 70, 120, 64, 40), Usage(10, 110, 120, reasoning=40), id="reasoning, but nothing cached"
        ),
        pytest.param(report(10, 5, 20, 64, 64), Usage(74, 69, 143, 64, reasoning=64), id="neither, both larger"),
        pytest.param(report(100, 70, 180, 64, 64), Usage(100, 70, 180, 64, reasoning=64), id="neither, none larger"),
        pytest.param(report(10, 5, 100, cached=64), Usage(74, 5, 100, 64, reasoning=0), id="less than is on top"),
        pytest.param(report(10, 5, 15, 64, 64), Usage(74, 69, 143, 64, reasoning=64), id="a total without them"),
    ],
)
def test_the_total_decides_what_is_beside(raw: dict[str, Any], expected: Usage) -> None:
    """Of what the total has on top, as much is added as there is, first what is larger than its whole."""
    assert Usage.reported(raw) == expected


def test_what_the_shape_says_goes_first() -> None:
    """Gemini's cached tokens are in its prompt, also where they are as many as the thoughts beside the candidates."""
    raw = {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 4, "cachedContentTokenCount": 4}
    assert Usage.reported({**raw, "totalTokenCount": 19}) == Usage(10, 9, 19, 4, reasoning=4)


def test_a_total_may_have_counted_a_part_of_the_cache() -> None:
    """langchain-aws before 1.5 adds what was read to the total, and not what was written: both are beside the input."""
    raw = report(519, 13, 3_051) | {"input_token_details": {"cache_read": 2_519, "cache_creation": 219}}
    assert Usage.reported(raw) == Usage(3_257, 13, 3_270, 2_519, 219, reasoning=0)
