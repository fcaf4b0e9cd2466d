"""From the record of a run to its span's attributes."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from sentry_langchain_stream._runs import call_facts
from sentry_langchain_stream._runs.attributes import describe
from sentry_langchain_stream._runs.call import Call, Request, Response
from sentry_langchain_stream._runs.kinds import Outcome
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._vocabulary.keys import AttributeValue, Dialect
from tests.kit.helpers import Clock, filled_call, filled_run, prompt_of, run_of

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

IN_BOTH: dict[str, AttributeValue] = {
    "gen_ai.pipeline.name": "support-bot",
    "pipeline_name": "support-bot",
    "ai.pipeline.name": "support-bot",
    "gen_ai.agent.name": "scout",
    "gen_ai.conversation.id": "thread-1",
    "langchain_stream.attempt": 2,
    "langchain_stream.fallback": 1,
    "langchain_stream.control": "interrupt",
    "langchain_stream.tags": ["beta"],
    "langchain_stream.metadata.plan": "free",
    "langchain_stream.outcome": "failed",
    "error.type": "TimeoutError",
    "langchain_stream.evicted": "idle",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o-mini",
    "ai.model_id": "gpt-4o-mini",
    "gen_ai.provider.name": "openai",
    "gen_ai.function_id": "ChatOpenAI",
    "langchain_stream.run_name": "ChatOpenAI",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.request.top_p": 0.9,
    "gen_ai.request.top_k": 40,
    "gen_ai.request.max_tokens": 256,
    "gen_ai.request.seed": "7",
    "gen_ai.request.stop_sequences": ["END"],
    "gen_ai.request.frequency_penalty": 0.1,
    "gen_ai.request.presence_penalty": 0.2,
    "gen_ai.request.reasoning.level": "high",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.finish_reasons": "stop,length",
    "gen_ai.response.streaming": True,
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 50,
    "gen_ai.usage.total_tokens": 150,
    "ai.total_tokens": 150,
    "ai.total_tokens.used": 150,
    "gen_ai.usage.cache_read.input_tokens": 40,
    "gen_ai.usage.cache_creation.input_tokens": 30,
    "gen_ai.usage.reasoning.output_tokens": 20,
    "langchain_stream.audio_input": 10,
    "langchain_stream.audio_output": 5,
    "langchain_stream.usage_source": "provider",
    "cache.hit": True,
    "gen_ai.cost.input_tokens": 0.5,
    "gen_ai.cost.output_tokens": 0.25,
    "gen_ai.cost.total_tokens": 0.75,
    "gen_ai.cost.cache_read.input_tokens": 0.125,
    "gen_ai.cost.cache_creation.input_tokens": 0.0625,
    "gen_ai.cost.reasoning.output_tokens": 0.03125,
    "langchain_stream.request_fee": 0.015625,
    "gen_ai.response.tokens_per_second": 5.0,  # 50 tokens in the 10 s from 10 to 20
    "langchain_stream.decode_rate": 4.5,  # 3 of 4 chunks, 22.5 of the 30 tokens that are no reasoning, in 5 s
    "langchain_stream.chunks": 4,
    "gen_ai.response.time_to_first_chunk": 2.0,
    "langchain_stream.longest_gap": 3.0,
    "langchain_stream.final_silence": 3.0,
    "langchain_stream.longest_gap_at": 3.0,  # it began at 13, three seconds after the start
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]',
    "gen_ai.output.messages": (
        '[{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}], "finish_reason": "stop"}]'
    ),
    "gen_ai.system_instructions": "Be brief.",
    "gen_ai.tool.definitions": '[{"type": "function", "name": "get_weather"}]',
}
ADDED: dict[Dialect, dict[str, AttributeValue]] = {
    "gen_ai": {},
    "ai": {"ai.prompt_tokens.used": 100, "ai.completion_tokens.used": 50, "ai.streaming": True},
}
PIPELINE: dict[str, AttributeValue] = {
    "gen_ai.pipeline.name": "support-bot",
    "pipeline_name": "support-bot",
    "ai.pipeline.name": "support-bot",
    "langchain_stream.outcome": "completed",
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_all_that_can_be_known_of_a_call(dialect: Dialect) -> None:
    """A call of which everything is known states exactly these attributes."""
    assert describe(filled_run(), dialect) == IN_BOTH | ADDED[dialect]


@pytest.mark.parametrize(
    ("dialect", "added"),
    [("gen_ai", {}), ("ai", {"gen_ai.operation.name": "invoke_agent"})],
)
def test_a_pipeline_does_not_look_like_a_model_call(dialect: Dialect, added: dict[str, AttributeValue]) -> None:
    """A run that is no model call states its pipeline; where its op is an "ai." one it says that it is an agent."""
    assert describe(run_of(kind="pipeline"), dialect) == PIPELINE | added


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_of_which_nothing_is_known(dialect: Dialect) -> None:
    """What is unknown is left out, not stated as empty, zero or "None"."""
    expected = PIPELINE | {"gen_ai.operation.name": "chat"}
    assert describe(run_of(Call(Request(), 10.0, ended=20.0)), dialect) == expected


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_the_outcome_is_stated(outcome: Outcome) -> None:
    """Every outcome is stated as it is."""
    assert describe(run_of(outcome=outcome), "gen_ai")["langchain_stream.outcome"] == outcome


def test_a_model_that_did_not_say_its_name_is_the_one_asked_for() -> None:
    """Where the answer names no model, the model asked for answered."""
    call = filled_call()
    call.response, call.named = Response(), None
    assert describe(run_of(call), "gen_ai")["gen_ai.response.model"] == "gpt-4o-mini"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_zero_is_stated(dialect: Dialect) -> None:
    """Zero tokens are a fact, and are stated under every key; so are a temperature and a seed of zero."""
    call = Call(
        Request(parameters={"temperature": 0.0, "seed": "0", "top_k": 0}),
        0.0,
        reported=Usage(0, 0, 0, 0, 0, 0, 0, 0),
        finished=True,
        ended=1.0,
    )
    stated = describe(run_of(call), dialect)
    assert stated["gen_ai.request.temperature"] == 0.0
    assert stated["gen_ai.request.seed"] == "0"
    assert stated["gen_ai.request.top_k"] == 0
    counts = {key: value for key, value in stated.items() if "tokens" in key or "audio" in key}
    assert len(counts) == {"gen_ai": 11, "ai": 13}[dialect]
    assert set(counts.values()) == {0}


def test_an_estimate_is_labelled() -> None:
    """Tokens that the provider did not report are marked as an estimate."""
    call = Call(Request(prompt=prompt_of(3)), 0.0, counted=4, ended=1.0)
    stated = describe(run_of(call), "gen_ai")
    assert stated["langchain_stream.usage_source"] == "estimate"
    assert (stated["ai.total_tokens"], stated["gen_ai.usage.input_tokens"]) == (7, 3)


def test_a_call_without_a_duration_has_no_rate() -> None:
    """Where no time passed no rate is stated, and nothing is divided by zero."""
    call = Call(Request(), 5.0, reported=Usage(1, 1, 2), finished=True, ended=5.0)
    stated = describe(run_of(call), "gen_ai")
    assert "gen_ai.response.tokens_per_second" not in stated
    assert "langchain_stream.decode_rate" not in stated
    assert stated["ai.total_tokens"] == 2


def test_an_answer_in_one_piece_has_no_stream_timing() -> None:
    """A call that was not streamed states no chunks, no first chunk and no gaps."""
    call = Call(Request(), 5.0, reported=Usage(1, 10, 11), finished=True, ended=7.0)
    stated = describe(run_of(call), "gen_ai")
    assert stated["gen_ai.response.streaming"] is False
    assert stated["gen_ai.response.tokens_per_second"] == 5.0
    assert not {key for key in stated if "chunk" in key or "gap" in key or "decode" in key}


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [
        ([], {"langchain_stream.chunks": 0}),
        ([2.0], {"langchain_stream.chunks": 1, "gen_ai.response.time_to_first_chunk": 2.0}),
        (
            [2.0, 1.0],
            {
                "langchain_stream.chunks": 2,
                "gen_ai.response.time_to_first_chunk": 2.0,
                "langchain_stream.longest_gap": 1.0,
                "langchain_stream.longest_gap_at": 2.0,
            },
        ),
        (
            [2.0, 0.0],
            {
                "langchain_stream.chunks": 2,
                "gen_ai.response.time_to_first_chunk": 2.0,
                "langchain_stream.longest_gap": 0.0,
                "langchain_stream.longest_gap_at": 2.0,
            },
        ),
    ],
    ids=["no chunk", "one chunk", "two chunks", "two chunks at once"],
)
def test_stream_timing(pauses: list[float], expected: dict[str, AttributeValue]) -> None:
    """A streamed call states as much of its timing as its number of chunks allows, in seconds since the start."""
    clock = Clock(1000.0)
    call = Call(Request(), clock(), streamed=True)
    for pause in pauses:
        call.add_chunk(clock.advance(pause))
    call.ended = clock.advance(1.0)
    stated = describe(run_of(call), "gen_ai")
    assert {key: value for key, value in stated.items() if "chunk" in key or "gap" in key} == expected


@pytest.mark.usefixtures("lenient")
def test_what_cannot_be_worked_out_costs_its_own_group_only(caplog: pytest.LogCaptureFixture) -> None:
    """A group of facts that fails is left out and said; all other groups are stated."""
    call = filled_call()
    broken: Any = ["no mapping"]
    call.request = call.request._replace(parameters=broken)
    stated = describe(run_of(call), "gen_ai")
    assert "attributes.parameters failed with AttributeError" in caplog.text
    assert stated["ai.total_tokens"] == 150
    assert stated["gen_ai.response.id"] == "chatcmpl-1"
    assert stated["gen_ai.pipeline.name"] == "support-bot"
    assert "gen_ai.input.messages" in stated


@pytest.mark.usefixtures("lenient")
def test_parameters_that_cannot_be_read_do_not_cost_the_model() -> None:
    """The model is stated whatever is wrong with the parameters of its request."""
    call = filled_call()
    broken: Any = ["no mapping"]
    call.request = call.request._replace(parameters=broken)
    stated = describe(run_of(call), "gen_ai")
    assert stated["gen_ai.request.model"] == stated["ai.model_id"] == "gpt-4o-mini"


def test_a_failure_is_not_hidden_from_our_tests() -> None:
    """When strict, what cannot be worked out raises."""
    call = filled_call()
    broken: Any = ["no mapping"]
    call.request = call.request._replace(parameters=broken)
    with pytest.raises(AttributeError):
        describe(run_of(call), "gen_ai")


def test_describing_changes_nothing() -> None:
    """Describing a run twice gives the same, and leaves its record as it was."""
    run = filled_run()
    call = run.call
    assert call is not None

    def record() -> Any:
        plain = dataclasses.replace(call, request=call.request._replace(prompt=None))  # which has no value of its own
        return dataclasses.asdict(plain), call.request

    before = record()
    assert describe(run, "ai") == describe(run, "ai")
    assert record() == before


def test_every_request_parameter_has_a_fact() -> None:
    """What is extracted of the request parameters can all be stated."""
    from sentry_langchain_stream._runs.parameters import PARAMETERS

    assert set(call_facts._PARAMETERS) == set(PARAMETERS)
