"""The edges that random examples rarely meet: what a call counts, and what its span and others state of it."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from sentry_langchain_stream._content.offered_tools import tool_definitions
from sentry_langchain_stream._content.policy import NOTHING, Policy
from sentry_langchain_stream._from_clients.requests import Given
from sentry_langchain_stream._runs.attributes import describe
from sentry_langchain_stream._runs.call import Call, Request
from sentry_langchain_stream._runs.estimates import PromptBy
from sentry_langchain_stream._runs.kinds import RunKind
from sentry_langchain_stream._runs.parameters import PARAMETERS, request_parameters
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._runtime import containment
from sentry_langchain_stream._vocabulary import names, providers
from sentry_langchain_stream._vocabulary.keys import Dialect
from tests.kit.helpers import prompt_of, run_of
from tests.kit.strategies import in_production

OPEN = Policy(True, True)


# -- Usage -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"input_tokens": 10, "input_token_details": {"cache_read": 15}}, Usage(25, None, 25, 15)),
        ({"input_tokens": 10, "input_token_details": {"cache_read": 10}}, Usage(10, None, 10, 10)),
        (
            {"output_tokens": 5, "total_tokens": 8, "output_token_details": {"reasoning": 3}},
            Usage(None, 8, 8, reasoning=3),
        ),
        (
            {"output_tokens": 5, "total_tokens": 8, "output_token_details": {"reasoning": 2}},
            Usage(3, 5, 8, reasoning=2),
        ),
    ],
    ids=["larger than its whole", "the whole", "just what is missing", "less than is missing"],
)
def test_a_part_is_beside_its_whole_where_it_cannot_be_in_it(raw: dict[str, Any], expected: Usage) -> None:
    """A part larger than its whole, or just as large as what the total has besides, is added to it."""
    assert Usage.reported(raw) == expected


def test_what_was_written_to_the_cache_is_what_is_a_number() -> None:
    """Of the numbers by time to live, one that is none counts for nothing."""
    told = {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": "many"}
    assert Usage.reported({"input_tokens": 9, "input_token_details": told}) == Usage(9, None, 9, cache_creation=3)


@pytest.mark.parametrize(
    ("now", "before", "repeats"),
    [
        (Usage(1), Usage(1), True),
        (Usage(2), Usage(1), False),
        (Usage(1), Usage(2), False),
        (Usage(None), Usage(1), False),
        (Usage(0), Usage(1), False),
        (Usage(1), Usage(0), False),
        (Usage(1), Usage(None), False),
        (Usage(1), None, False),
    ],
)
def test_a_report_repeats_one_whose_prompt_it_has_too(now: Usage, before: Usage | None, repeats: bool) -> None:
    """Only the same prompt, counted before, tells that a report counts from the start."""
    assert now.repeats(before) is repeats


# -- Request parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARAMETERS)
def test_of_two_spellings_the_one_that_stands_first_counts(name: str) -> None:
    """Where a source has a parameter in every spelling, in whatever order, the first in our table is taken."""
    spellings, _ = PARAMETERS[name]
    values: list[Any] = [["a"], ["b"], ["c"], ["d"]] if name == "stop" else [*range(len(spellings))]
    told: dict[str, Any] = dict(zip(spellings, values, strict=True))
    expected = request_parameters([{spellings[0]: values[0]}])
    assert expected
    assert request_parameters([told]) == request_parameters([dict(reversed(told.items()))]) == expected


# -- What a run states -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", get_args(Dialect))
@pytest.mark.parametrize("kind", get_args(RunKind))
def test_the_operation_of_each_kind(kind: RunKind, dialect: Dialect) -> None:
    """Agents, tools and handoffs state what they are, and pipelines whose op would be a model's; no other run does."""
    told: dict[str, str | None] = {"agent": "invoke_agent", "tool": "execute_tool"}
    told |= {"handoff": "handoff", "pipeline": "invoke_agent" if dialect == "ai" else None}
    run = run_of(Call(Request(operation="chat"), 0.0) if kind == "model" else None, kind)
    expected = "chat" if kind == "model" else told.get(kind)
    assert describe(run, dialect).get("gen_ai.operation.name") == expected


def test_a_call_that_nobody_answered_names_no_model_that_did() -> None:
    """The model that was asked for stands in for the one that answered only where one has."""
    call = Call(Request(model="m"), 0.0, ended=1.0)
    assert "gen_ai.response.model" not in describe(run_of(call), "gen_ai")
    call.streamed = True
    assert "gen_ai.response.model" not in describe(run_of(call), "gen_ai")
    call.finished = True
    assert describe(run_of(call), "gen_ai")["gen_ai.response.model"] == "m"


def test_a_stream_of_less_than_a_second_has_its_rate() -> None:
    """However short the time between the chunks, their rate is stated."""
    call = Call(Request(), 0.0, streamed=True, finished=True, reported=Usage.stated(1, 10), ended=0.5)
    call.add_chunk(0.25)
    call.add_chunk(0.5)
    assert describe(run_of(call), "gen_ai")["langchain_stream.decode_rate"] == 20.0


@pytest.mark.parametrize(
    ("reasoning", "pieces", "rate"),
    [
        pytest.param(1_000, " word", 25.0, id="kept"),  # 2 of 3 visible chunks, 50 * 2/3 tokens, in 4/3 s
        pytest.param(20, " word" * 16, 25.0, id="streamed"),
        pytest.param(None, " word" * 16, 25.0, id="unknown"),
    ],
)
def test_the_rate_after_the_first_chunk_leaves_out_reasoning_that_was_not_streamed(
    reasoning: int | None, pieces: str, rate: float
) -> None:
    """Reasoning that a model keeps comes before the first chunk, so its tokens are not divided by the time after it."""
    output = 50 + (reasoning or 0 if pieces == " word" else 0)
    details = {} if reasoning is None else {"output_token_details": {"reasoning": reasoning}}
    reported = Usage.reported({"input_tokens": 1, "output_tokens": output, "total_tokens": output + 1, **details})
    call = Call(Request(), 0.0, streamed=True, finished=True, reported=reported, ended=9.0)
    for moment in (7.0, 7.5, 7.0 + 4 / 3):
        call.add_chunk(moment, pieces)
    assert describe(run_of(call), "gen_ai")["langchain_stream.decode_rate"] == pytest.approx(rate)


def test_an_answer_to_no_prompt_is_given_the_estimate_of_it() -> None:
    """Where a finished call reports that no prompt was read, its estimate stands in."""
    call = Call(Request(prompt=prompt_of(7)), 0.0, reported=Usage.stated(0, 3), finished=True)
    assert call.usage() == Usage.estimated(7, 3)
    assert Call(Request(), 0.0, reported=Usage(5), counted=0).usage() == Usage.estimated(5, 0)


@pytest.mark.parametrize("answer", [None, -1, True, "3", float("nan"), float("inf")])
def test_a_counter_that_fails_is_said(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Where a `token_counter` makes no number of a chunk, its log line names it, and the whole stream is estimated."""
    call = Call(Request(), 0.0)
    containment.forget_reports()
    with in_production():
        for said in (100, answer, 100):
            call.add_chunk(1.0, "words")
            call.read("words", lambda _: said)  # noqa: B023
    assert call.arrived() == call.estimated_output() == 3
    assert "token_counter failed with ValueError" in caplog.text


def test_a_call_that_follows_events_starts_afresh() -> None:
    """From then on events count, and the longest gap is between those."""
    call = Call(Request(), 0.0, counted=7)
    for moment in (1.0, 9.0):
        call.add_chunk(moment)
    call.follow_events()
    assert (call.by_events, call.counted) == (True, None)
    for moment in (10.0, 10.5):
        call.add_chunk(moment)
    assert (call.chunks, call.longest_gap, call.longest_gap_at) == (2, 0.5, 10.0)


def test_what_the_cache_answers_was_no_stream() -> None:
    """An answer from LangChain's cache has no chunks and no tokens."""
    call = Call(Request(prompt=prompt_of(3)), 0.0, streamed=True, chunks=4, counted=4, reported=Usage.stated(3, 4))
    call.from_cache()
    assert (call.cached, call.streamed, call.chunks, call.counted, call.reported) == (True, False, 0, None, None)
    assert call.usage() is None


def test_a_request_is_changed_in_a_copy() -> None:
    """Other messages are given to a copy, which has all else."""
    prompt = prompt_of(1)
    request = Request(model="m", messages="[]", prompt=prompt)
    assert request.with_messages("[1]") == Request(model="m", messages="[1]", prompt=prompt)
    assert request == Request(model="m", messages="[]", prompt=prompt)


def digest_of(**given: Any) -> int | None:
    prompt = Given(**given).complete(Request(), NOTHING, None).prompt
    assert prompt is not None
    return prompt.digest()


def test_prompts_are_compared_by_their_content() -> None:
    """A call that fails is tried again only where the same is asked, which a text of the same length is not."""
    one, again, other = (digest_of(messages=[{"role": "user", "content": text}]) for text in ("Hi", "Hi", "Ho"))
    assert one == again != other
    assert digest_of(prompt="Hi") == digest_of(prompt="Hi") != digest_of(prompt="Ho")


def test_unknown_prompts_are_not_compared() -> None:
    """Of a stream that is tracked without its prompt nobody knows what it repeats."""
    assert digest_of() is None


def test_a_prompt_is_estimated_once_and_only_if_it_is_asked_for() -> None:
    """With the provider's number nobody asks."""
    asked: list[int] = []

    def estimate() -> int:
        asked.append(1)
        return 7

    request = Request(prompt=PromptBy(list, estimate))
    assert Call(request, 0.0, reported=Usage.stated(3, 4), finished=True).usage() == Usage.stated(3, 4)
    assert asked == []
    assert request.estimated_input == request.estimated_input == 7
    assert asked == [1]


def test_names_by_default() -> None:
    """Without a platform the op is LangChain's; hints do not run into each other; Gemini spells its tools twice."""
    assert names.op("chat", "ai") == "ai.chat_completions.create.langchain"
    assert providers.find(None, "co", "here") is None
    for spelling in ("function_declarations", "functionDeclarations"):
        told = tool_definitions({"tools": [{spelling: [{"name": "a"}, {"name": "b"}]}]}, OPEN)
        assert told == '[{"type": "function", "name": "a"}, {"type": "function", "name": "b"}]'
