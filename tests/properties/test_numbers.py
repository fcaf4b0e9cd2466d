"""Tokens, times and prices: whatever is reported and whenever it arrives, the numbers agree with plain arithmetic."""

from __future__ import annotations

import itertools
import json
from math import ceil, isfinite
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import Policy
from sentry_langchain_stream._content.reading import count
from sentry_langchain_stream._runs.attributes import describe
from sentry_langchain_stream._runs.call import Call, Request, Response
from sentry_langchain_stream._runs.estimates import of_stream, weight
from sentry_langchain_stream._runs.pricing import Prices
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._runs.usage_shapes import PATHS
from sentry_langchain_stream.testing import capture_spans
from tests.kit.absent import needs
from tests.kit.helpers import Clock, handler_on, prompt_of, run_of
from tests.kit.strategies import in_production, payloads, scalars, values
from tests.kit.wire import ScriptedModel, content_allowed

NUMBERS = [name for name in Usage._fields if name not in ("source", "tier")]

token_counts = st.one_of(st.none(), st.integers(0, 10**6))
names = st.sampled_from(sorted({step for paths in PATHS.values() for path in paths for step in path}))
reports = st.dictionaries(names, st.one_of(token_counts, st.dictionaries(names, token_counts, max_size=4)), max_size=6)
usages = st.one_of(
    st.builds(Usage.stated, token_counts, token_counts),
    st.builds(Usage.estimated, token_counts, st.integers(0, 10**6)),
    reports.map(Usage.reported).filter(lambda usage: usage is not None),
)


# -- Usage -----------------------------------------------------------------------------------------------------


@given(st.one_of(reports, payloads(names), values()))
def test_whatever_is_reported_is_read_or_is_no_usage(raw: Any) -> None:
    """Of anything at all there is a usage in whole numbers, with its total, or none."""
    usage = Usage.reported(raw)
    if usage is None:
        return
    for name in NUMBERS:
        number = getattr(usage, name)
        assert number is None or (type(number) is int and number >= 0), name
    assert usage.total is not None
    assert usage.total >= (usage.input or 0) + (usage.output or 0)
    assert usage.source == "provider"


def assert_consistent(usage: Usage) -> None:
    """No part is larger than its whole, nothing is negative, and the total is at least its parts."""
    for name in NUMBERS:
        assert (getattr(usage, name) or 0) >= 0, name
    for whole, parts in WHOLES.items():
        known = [number for part in parts if (number := getattr(usage, part)) is not None]
        assert not known or max(known) <= (getattr(usage, whole) or 0)
    assert (usage.cache_read or 0) + (usage.cache_creation or 0) <= (usage.input or 0)
    assert (usage.total or 0) >= (usage.input or 0) + (usage.output or 0)


WHOLES = {"input": ("cache_read", "cache_creation", "audio_input"), "output": ("reasoning", "audio_output")}


@given(st.one_of(reports, payloads(names), values()))
def test_whatever_is_reported_no_part_exceeds_its_whole(raw: Any) -> None:
    """Of any report, in whatever mixture of shapes, the details are within their totals."""
    usage = Usage.reported(raw)
    if usage is not None:
        assert_consistent(usage)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_total_that_the_provider_gives_is_that_of_input_and_output(
    given_input: int, cached: int, given_output: int, reasoning: int
) -> None:
    """Where the provider's total is the sum of its numbers, however they are divided, input and output make it up."""
    total = given_input + cached + given_output + reasoning
    report = {
        "input_tokens": given_input,
        "output_tokens": given_output,
        "total_tokens": total,
        "input_token_details": {"cache_read": cached},
        "output_token_details": {"reasoning": reasoning},
    }
    usage = Usage.reported(report)
    assert usage is not None
    assert (usage.input, usage.output, usage.total) == (given_input + cached, given_output + reasoning, total)


@given(st.lists(usages, min_size=1, max_size=5), token_counts, st.integers(0, 50))
def test_what_is_made_of_usages_is_consistent_too(each: list[Usage], prompt: int | None, arrived: int) -> None:
    """Sums, increments, cut streams and mended prompts keep the details within the totals."""
    whole, streamed = Usage.together(each), None
    for usage in each:
        streamed = usage.after(streamed)
    assert whole is not None
    assert streamed is not None
    for made in (whole, streamed):
        for usage in (made, made.with_estimated_input(prompt), made.cut_short(prompt, arrived)):
            assert_consistent(usage)
            assert_consistent(usage.detailed_by(each[-1]))


@given(usages, token_counts, st.integers(0, 50))
def test_a_usage_with_a_guess_in_it_is_an_estimate(usage: Usage, prompt: int | None, arrived: int) -> None:
    """The source is the provider only if input, output and total are all the provider's."""
    for made in (usage.with_estimated_input(prompt), usage.cut_short(prompt, arrived)):
        if made.source == "provider":
            assert (made.input, made.output, made.total) == (usage.input, usage.output, usage.total)


@given(values())
def test_a_count_is_a_whole_number_or_nothing(value: Any) -> None:
    """A count is a whole number as it was reported, and nothing else is a count."""
    number = count(value)
    if number is None:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        assert not is_number or not 0 <= value <= 2**53 or value != value // 1
    else:
        assert type(number) is int
        assert number == value
        assert number >= 0


@given(usages, usages, usages)
def test_sums_do_not_depend_on_how_they_are_made(one: Usage, two: Usage, three: Usage) -> None:
    """What several calls used in all is the same in whatever order and groups it is added up."""
    whole = Usage.together([one, two, three])
    assert whole is not None
    left = Usage.together([one, two])
    right = Usage.together([two, three])
    assert left is not None
    assert right is not None
    assert Usage.together([left, three]) == Usage.together([one, right]) == whole == Usage.together([three, one, two])


@given(st.lists(usages, max_size=5))
def test_a_sum_is_unknown_only_where_nobody_knows(each: list[Usage]) -> None:
    """A number is the sum of those that are known; it is an estimate if one of the usages is; of none there is none."""
    whole = Usage.together(iter(each))
    if not each:
        assert whole is None
        return
    assert whole is not None
    for name in NUMBERS:
        known = [number for usage in each if (number := getattr(usage, name)) is not None]
        assert getattr(whole, name) == (sum(known) if known else None), name
    assert (whole.source == "estimate") == any(usage.source == "estimate" for usage in each)


@given(token_counts, token_counts)
def test_a_total_is_the_sum_of_what_is_known(given_input: int | None, given_output: int | None) -> None:
    """Zero is a number: the total is the sum of both sides, or the one that is known; of none, unknown."""
    usage = Usage.stated(given_input, given_output)
    assert (usage.input, usage.output) == (given_input, given_output)
    assert usage.source == "provider"
    if given_input is None and given_output is None:
        assert usage.total is None
    else:
        assert usage.total == (given_input or 0) + (given_output or 0)


@given(usages, token_counts)
def test_only_a_prompt_that_cannot_be_is_mended(usage: Usage, prompt: int | None) -> None:
    """A usage stays as it is, unless it has an answer to no prompt and there is something to go by."""
    mended = usage.with_estimated_input(prompt)
    if not usage.input and usage.output and prompt:
        assert mended.source == "estimate"
        assert (mended.input, mended.output, mended.total) == (prompt, usage.output, prompt + usage.output)
        kept = set(NUMBERS) - {"input", "total"}
        assert all(getattr(mended, name) == getattr(usage, name) for name in kept)
    else:
        assert mended is usage


@given(st.text(max_size=300), st.integers(1, 200))
def test_an_approximation_is_bounded_and_grows_with_the_text(text: str, times: int) -> None:
    """A character is a tenth of a token to two tokens; a long text is weighed as its parts are."""
    assert 0.1 * len(text) - 1e-6 <= weight(text) <= 2 * len(text) + 1e-6
    assert weight(text * times) == pytest.approx(weight(text) * times, rel=0.35, abs=1.0 + times)


@given(st.text(st.characters(exclude_characters=" -")) | st.text("abc01.,é的🙂ж", max_size=20), st.integers(0, 20))
def test_what_is_weighed_in_pieces_weighs_the_same(text: str, at: int) -> None:
    """Without indentation and ruled lines, it does not matter how a server bundles its chunks."""
    assert weight(text[:at]) + weight(text[at:]) == pytest.approx(weight(text))


@given(st.integers(0, 50), st.lists(st.text(min_size=1, max_size=80), max_size=50))
def test_a_stream_has_at_least_as_many_tokens_as_chunks(others: int, texts: list[str]) -> None:
    """Each chunk has a token, with a text or without; a stream that bundles has as many as its texts weigh."""
    tokens = sum(map(weight, texts))
    found = of_stream(others + len(texts), len(texts), tokens)
    assert found >= others + len(texts)
    assert found == others + len(texts) or found == others + ceil(tokens)


# -- A call ----------------------------------------------------------------------------------------------------

pieces = st.lists(st.text(max_size=8), max_size=20)


@given(pieces, st.integers(0, 50))
def test_counting_by_chunk_is_counting_the_whole(said: list[str], prompt: int) -> None:
    """With a counter that adds up, the estimate of a stream is that of the whole text, wherever it was divided."""
    call = Call(Request(prompt=prompt_of(prompt)), 0.0)
    for piece in said:
        call.add_chunk(1.0)
        call.read(piece, len)
    if any(said):
        assert call.usage() == Usage.estimated(prompt, len("".join(said)))
    else:
        assert call.counted is None


@given(st.lists(st.tuples(st.text(max_size=5), scalars), max_size=10))
def test_a_counter_may_say_anything(said: list[tuple[str, Any]]) -> None:
    """What a `token_counter` returns or raises never breaks a stream and never makes an impossible count."""
    answers = iter([answer for text, answer in said if text])

    def counter(text: str) -> Any:
        answer = next(answers)
        if isinstance(answer, str):
            raise ValueError(answer)
        return answer

    call = Call(Request(), 0.0)
    with in_production():
        for text, _ in said:
            call.add_chunk(1.0, text)
            call.read(text, counter)
    tokens = call.arrived()
    assert type(tokens) is int
    assert tokens >= 0
    if any(isinstance(answer, str) for text, answer in said if text):
        assert tokens == call.estimated_output()


timed = st.lists(
    st.tuples(st.text("ab 1.é中", min_size=1, max_size=30), st.sampled_from([0.0, 0.25, 0.5, 2.0])), min_size=1
)


@settings(max_examples=30)  # each is a stream
@given(timed)
def test_the_handler_counts_a_chunk_as_a_call_does(said: list[tuple[str, float]]) -> None:
    """What the handler counts by itself, because it is quicker, is what `Call.add_chunk` and `Call.read` count."""
    clock = Clock()
    texts = tuple(text for text, _ in said)
    call = Call(Request(), clock(), text=Gathered(Policy(True, True)))
    moment = clock()
    for text, pause in said:
        moment += pause
        call.add_chunk(moment, text)
        call.read(text, None)
    model = ScriptedModel(pieces=texts, before=lambda number: clock.advance(said[number][1]) and None)
    with capture_spans(**content_allowed(True)) as captured:
        config: Any = {"callbacks": [handler_on(clock, max_live_runs=1)]}
        stream: Any = model.stream("Hi", config)
        for _ in texts:
            next(stream)
        ScriptedModel().invoke("Hi", config)  # takes its place: else LangChain would tell the whole text
        stream.close()
    (span,) = [each for each in captured.find_all(op="gen_ai.chat") if "langchain_stream.chunks" in each.attributes]
    assert span.attributes["langchain_stream.chunks"] == call.chunks
    assert span.attributes["gen_ai.usage.output_tokens"] == call.arrived()
    assert span.attributes["gen_ai.response.time_to_first_chunk"] == call.first_chunk_at - call.started
    if call.chunks > 1:
        assert span.attributes["langchain_stream.longest_gap"] == call.longest_gap
        assert span.attributes["langchain_stream.longest_gap_at"] == call.longest_gap_at - call.started
    assert call.text is not None
    (answer,) = json.loads(span.attributes["gen_ai.output.messages"])
    assert "".join(part["content"] for part in answer["parts"]) == call.text.text()


@given(pieces, pieces)
def test_following_events_forgets_what_came_before(before: list[str], after: list[str]) -> None:
    """A call that turns to stream events is as if they had been all there was."""
    policy = Policy(True, True)
    call, fresh = (Call(Request(), 0.0, text=Gathered(policy)) for _ in range(2))
    for moment, piece in enumerate(before):
        call.add_chunk(float(moment))
        call.read(piece, len)
    call.follow_events()
    fresh.follow_events()
    for moment, piece in enumerate(after):
        for each in (call, fresh):
            each.add_chunk(100.0 + moment * moment)
            each.read(piece, len)
    assert call.text is not None
    assert fresh.text is not None
    assert call.text.text() == fresh.text.text()
    assert (call.chunks, call.longest_gap, call.counted) == (fresh.chunks, fresh.longest_gap, fresh.counted)
    assert call.usage() == fresh.usage()
    if after:
        assert (call.first_chunk_at, call.longest_gap_at) == (fresh.first_chunk_at, fresh.longest_gap_at)


seconds = st.one_of(st.just(0.0), st.floats(0.001, 10_000.0))


@given(st.lists(seconds, max_size=15), seconds, st.integers(1, 5_000))
def test_the_timing_stated_is_that_of_plain_arithmetic(pauses: list[float], rest: float, tokens: int) -> None:
    """First chunk, longest gap and both rates agree with what a list of all moments says."""
    clock = Clock(1_000.0)
    call = Call(Request(), clock(), streamed=True, finished=True, reported=Usage.stated(1, tokens))
    moments = [clock.advance(pause) for pause in pauses]
    for moment in moments:
        call.add_chunk(moment)
    call.ended = clock.advance(rest)
    told = describe(run_of(call), "gen_ai")

    expected: dict[str, float] = {"langchain_stream.chunks": len(moments)}
    if moments:
        expected["gen_ai.response.time_to_first_chunk"] = moments[0] - 1_000.0
    gaps = [(after - before, before) for before, after in itertools.pairwise(moments)]
    if gaps:
        longest = max(gap for gap, _ in gaps)
        expected["langchain_stream.longest_gap"] = longest
        begun = next(before for gap, before in gaps if gap == longest)
        expected["langchain_stream.longest_gap_at"] = begun - 1_000.0
    if call.ended > 1_000.0:
        expected["gen_ai.response.tokens_per_second"] = tokens / (call.ended - 1_000.0)
    if moments and moments[-1] > moments[0]:
        after_first = tokens * (len(moments) - 1) / len(moments)
        expected["langchain_stream.decode_rate"] = after_first / (moments[-1] - moments[0])
    timing = ("chunk", "gap", "decode", "per_second")
    assert {key: value for key, value in told.items() if any(word in key for word in timing)} == pytest.approx(expected)


@given(
    st.one_of(st.none(), usages),
    st.one_of(st.none(), st.integers(0, 100)),
    token_counts,
    st.integers(0, 50),
    st.booleans(),
    st.booleans(),
)
def test_a_call_has_one_usage(
    reported: Usage | None, counted: int | None, prompt: int | None, chunks: int, finished: bool, stopped: bool
) -> None:
    """The provider's last word stands, if it counts what has arrived; before it, an estimate is never below it."""
    response = Response(finish_reasons=("stop",)) if stopped else Response()
    call = Call(Request(prompt=prompt_of(prompt)), 0.0, reported=reported, counted=counted, finished=finished)
    call.response, call.chunks = response, chunks
    used = call.usage()
    has_arrived = chunks > 0 or counted is not None
    is_silent = reported is not None and not reported.output and (reported.total or 0) <= (reported.input or 0)
    if reported is not None and (finished or stopped) and not (has_arrived and is_silent):
        assert used == reported.with_estimated_input(prompt)
    elif reported is None and not chunks and counted is None:
        assert used is None
    else:
        assert used is not None
        assert used.source == "estimate"
        arrived = chunks if counted is None else counted
        assert used.output == max(arrived, (reported.output or 0) if reported is not None else 0)
        assert used.input == ((reported.input if reported is not None else None) or prompt)
        assert used.total == (used.input or 0) + (used.output or 0)


# -- Prices ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prices() -> Prices:
    """The price list."""
    return Prices()


models = st.sampled_from(
    [
        ("openai", "gpt-4o-mini"),
        ("openai", "o3"),
        ("openai", "gpt-4o-audio-preview"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gcp.gemini", "gemini-2.5-pro"),
        ("aws.bedrock", "amazon.nova-pro-v1:0"),
        ("x_ai", "grok-4"),
        ("openai", "text-embedding-3-small"),
        ("nobody", "nothing"),
    ]
)


@given(usages, models)
@needs("genai_prices")
def test_whatever_was_used_a_cost_is_possible(prices: Prices, usage: Usage, asked: tuple[str, str]) -> None:
    """A cost is finite and not negative, and its total is the sum of both sides; or there is none."""
    provider, model = asked
    call = Call(Request(provider=provider, model=model), 0.0, reported=usage, finished=True)
    cost = prices.cost(call)
    if cost is None:
        return
    told = [cost.input, cost.output, cost.total, cost.cache_read, cost.cache_creation, cost.reasoning]
    assert all(isfinite(each) and each >= 0 for each in told if each is not None)
    assert cost.total == pytest.approx(cost.input + cost.output)
    for detail in ("cache_read", "cache_creation", "reasoning"):
        assert (getattr(cost, detail) is None) == (getattr(usage, detail) is None)
