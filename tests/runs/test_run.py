"""The record of a run."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._runs.call import Call, Request, Response
from sentry_langchain_stream._runs.details import Agent, Retrieval, ToolCall
from sentry_langchain_stream._runs.ending import Ending
from sentry_langchain_stream._runs.places import Tree
from sentry_langchain_stream._runs.usage import Usage
from tests.kit.helpers import Clock, filled_agent, filled_usage, prompt_of, run_of

REPORTED = Usage(100, 50, 150, cache_read=40)


def call_with(chunks: int = 0, **fields: Any) -> Call:
    """A call that a number of chunks arrived for, its prompt estimated at 11 tokens."""
    clock = Clock()
    call = Call(Request(prompt=prompt_of(11)), clock(), **{"finished": True, **fields})
    for _ in range(chunks):
        call.add_chunk(clock.advance(1))
    return call


def test_a_call_begins_without_chunks() -> None:
    """Before anything arrived there are no chunks, no usage and no text."""
    call = call_with()
    assert (call.chunks, call.streamed, call.text, call.usage()) == (0, False, None, None)


def test_chunks_are_timed() -> None:
    """The first and the last chunk are remembered, and the longest gap with the moment it began."""
    clock = Clock(100.0)
    call = Call(Request(), clock())
    for pause in (2.0, 0.5, 3.0, 0.5, 3.0):
        call.add_chunk(clock.advance(pause))
    assert call.chunks == 5
    assert call.first_chunk_at == 102.0
    assert call.last_chunk_at == 109.0
    assert call.longest_gap == 3.0
    assert call.longest_gap_at == 102.5


def test_waiting_for_the_first_chunk_is_no_gap() -> None:
    """A single chunk has no gap, however late it came."""
    clock = Clock()
    call = Call(Request(), clock())
    call.add_chunk(clock.advance(60))
    assert (call.chunks, call.longest_gap) == (1, 0.0)
    assert call.first_chunk_at == call.last_chunk_at == clock()


@settings(deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_whatever_the_pauses_the_timing_is_sound(pauses: list[int]) -> None:
    """The longest gap is the longest pause between two chunks, and lies between the first and the last of them."""
    clock = Clock(500.0)
    call = Call(Request(), clock())
    moments = [clock.advance(pause) for pause in pauses]
    for moment in moments:
        call.add_chunk(moment)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert call.chunks == len(pauses)
    assert (call.first_chunk_at, call.last_chunk_at) == (moments[0], moments[-1])
    assert call.longest_gap == max(gaps, default=0.0)
    if gaps:
        assert call.first_chunk_at <= call.longest_gap_at
        assert call.longest_gap_at + call.longest_gap <= call.last_chunk_at


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        pytest.param(call_with(3, reported=REPORTED), REPORTED, id="the provider's word"),
        pytest.param(call_with(3, reported=REPORTED, counted=9), REPORTED, id="the provider's word, though counted"),
        pytest.param(
            call_with(reported=Usage(0, 0, 0)), Usage(0, 0, 0), id="the provider says zero, which is not unknown"
        ),
        pytest.param(call_with(3), Usage(11, 3, 14, source="estimate"), id="no report: the chunks are an estimate"),
        pytest.param(
            call_with(3, counted=9), Usage(11, 9, 20, source="estimate"), id="no report: the user's count is better"
        ),
        pytest.param(call_with(0, counted=9), Usage(11, 9, 20, source="estimate"), id="no report, no stream"),
        pytest.param(call_with(0), None, id="nothing reported, nothing arrived"),
        pytest.param(call_with(0, finished=False), None, id="broken off before anything arrived"),
        pytest.param(
            call_with(3, reported=Usage(100, 1, 101, cache_read=40), finished=False),
            Usage(100, 3, 103, cache_read=40, source="estimate"),
            id="broken off: the prompt as reported, the answer estimated",
        ),
        pytest.param(
            call_with(3, counted=9, reported=Usage(100, 1, 101), finished=False),
            Usage(100, 9, 109, source="estimate"),
            id="broken off: the answer as counted",
        ),
        pytest.param(
            call_with(3, reported=REPORTED, finished=False),
            REPORTED._replace(source="estimate"),
            id="broken off: an answer is never estimated below what was reported",
        ),
        pytest.param(
            call_with(3, reported=REPORTED, finished=False, response=Response(finish_reasons=("stop",))),
            REPORTED,
            id="left after the model said why it stopped",
        ),
        pytest.param(
            call_with(3, reported=Usage(None, 1, 1), finished=False),
            Usage(11, 3, 14, source="estimate"),
            id="broken off: a prompt that was not reported is estimated",
        ),
    ],
)
def test_the_usage_of_a_call(call: Call, expected: Usage | None) -> None:
    """Usage is the provider's where that is the last word, else an estimate that says so, else unknown."""
    assert call.usage() == expected


def test_without_an_estimate_of_the_prompt_the_input_is_unknown() -> None:
    """Where the prompt was not estimated the input stays unknown, not zero."""
    call = Call(Request(), 0.0, counted=4)
    assert call.usage() == Usage(None, 4, 4, source="estimate")


def test_the_top_is_the_topmost_run() -> None:
    """A run finds the topmost run through all that are above it; a top run is its own."""
    top = run_of()
    middle = run_of(parent=top)
    bottom = run_of(parent=middle)
    assert bottom.root() is middle.root() is top.root() is top


def test_runs_share_nothing() -> None:
    """Each run has children and failed spans of its own."""
    one, other = run_of(), run_of()
    one.add_child(other)
    one.ending.remember({one.id: None})
    assert (other.children, other.ending.failed) == ((), {})


def test_two_records_of_one_run_id_are_two() -> None:
    """Run ids can repeat: records are compared by identity."""
    one = run_of()
    assert one != dataclasses.replace(one)
    assert len({one, dataclasses.replace(one)}) == 2


@pytest.mark.parametrize("record", [Request(), Response()], ids=repr)
def test_request_and_response_do_not_change(record: Request | Response) -> None:
    """What was asked and answered cannot be changed once it was read."""
    with pytest.raises(AttributeError):
        record.model = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "record",
    [Call(Request(), 0.0), run_of(), ToolCall("t"), Retrieval("r"), Agent("a"), Tree()],
    ids=lambda record: type(record).__name__,
)
def test_a_record_takes_no_field_that_it_does_not_declare(record: Any) -> None:
    """Records are slotted: nothing can be kept on one unnoticed."""
    with pytest.raises(AttributeError):
        record.error = ValueError()


def test_a_run_belongs_to_every_agent_above_it() -> None:
    """The agents of a run are those from itself up to the top, the nearest first."""
    outer, inner = filled_agent(), filled_agent()
    top = run_of(kind="agent", detail=outer)
    tool = run_of(kind="tool", detail=ToolCall("ask"), parent=top)
    below = run_of(kind="agent", detail=inner, parent=tool)
    model = run_of(Call(Request(), 0.0), parent=below)
    assert [*model.agents()] == [*below.agents()] == [inner, outer]
    assert [*tool.agents()] == [*top.agents()] == [outer]
    assert [*run_of().agents()] == []


def test_an_agent_sums_up_what_its_models_used() -> None:
    """Of one model the usage is the agent's as it is, of several the sum."""
    agent = Agent("scout")
    agent.add(filled_usage())
    assert agent.usage == filled_usage()
    agent.add(Usage(1, 2, 3))
    assert agent.usage is not None
    assert (agent.usage.input, agent.usage.output, agent.usage.total) == (101, 52, 153)


def test_a_run_remembers_the_last_failures_only() -> None:
    """Of many failures below the last eight are kept: one of those may yet be what the run fails with."""
    run, others = run_of(), [run_of() for _ in range(10)]
    for number, other in enumerate(others):
        run.ending.remember({other.id: cast(Any, number)})
    assert [*run.ending.failed.values()] == [*range(2, 10)]


def test_an_answer_is_given_other_messages_in_a_copy() -> None:
    """`with_messages` leaves the response as it was, and keeps everything but the messages."""
    response = Response("m", "1", ("stop",), None)
    assert response.with_messages("[]") == Response("m", "1", ("stop",), "[]")
    assert response.messages is None


@pytest.mark.parametrize(
    ("touched", "chunks", "expected"),
    [(5.0, [], 5.0), (5.0, [7.0], 7.0), (9.0, [7.0], 9.0), (5.0, [6.0, 8.0], 8.0)],
)
def test_when_something_last_happened(touched: float, chunks: list[float], expected: float) -> None:
    """A tree was active when a run of it last started or ended, or when a chunk last came, however far down."""
    top = above = run_of(tree=Tree(touched=touched))
    for at in chunks:
        below = run_of(Call(Request(), 0.0, last_chunk_at=at), parent=above, tree=top.tree)
        above.add_child(below)
        above = below
    assert top.active_at() == expected


def test_the_failures_below_a_run_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many descendants that failed, the last ones are remembered, each with its span."""
    monkeypatch.setattr(Ending, "_MOST_FAILED", 2)
    ending = Ending()
    for number in range(5):
        ending.remember({UUID(int=number): None})
    assert [*ending.failed] == [UUID(int=3), UUID(int=4)]
    ending.remember({UUID(int=number): None for number in range(5, 9)})
    assert [*ending.failed] == [UUID(int=7), UUID(int=8)]
