"""Twice, never, out of order: no exception, no second span, no leak."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import HumanMessage
from langchain_core.outputs import ChatGenerationChunk, Generation, LLMResult

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.subjects import SUBJECTS
from tests.kit.wire import SLACK, WAYS, WIRE_SHAPES, ScriptedModel, Way

ANSWER = LLMResult(generations=[[Generation(text="one two three")]])


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_handler_twice_in_one_list_counts_once(shape: str, times: int, way: Way) -> None:
    """With the same handler repeated in the callback list, there is one span, and each chunk counts once."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(ScriptedModel(), "Hi", {"callbacks": [handler] * times})
    span = captured.find(op="gen_ai.chat")
    assert span.attributes.get("langchain_stream.chunks") == (3 if way.streams else None)
    assert span.attributes["langchain_stream.outcome"] == "completed"
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_handler_on_model_and_config_counts_once(way: Way) -> None:
    """With the same handler on the model and in the config, there is one span, and each chunk counts once."""
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        await way.run(ScriptedModel(callbacks=[handler]), "Hi", {"callbacks": [handler]})
    span = captured.find(op="gen_ai.chat")
    assert span.attributes.get("langchain_stream.chunks") == (3 if way.streams else None)


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_handler_on_the_model_alone_works_in_a_chain(way: Way) -> None:
    """A handler that never saw the chain above its model opens a root of its own and keeps nothing."""
    handler = SentryStreamHandler()
    chain = next(subject for subject in SUBJECTS if subject.name == "chain")
    with capture_spans() as captured:
        await way.run(chain.make(ScriptedModel(callbacks=[handler])), chain.question, {})
    assert captured.find(op="gen_ai.chat").parent_id == captured.find(op="function").span_id
    assert handler.live_runs == 0


async def test_double_and_late_events_are_ignored() -> None:
    """A second start, tokens and ends after the end, and an error after the end change nothing."""
    handler, run_id = SentryStreamHandler(), uuid4()
    with capture_spans() as captured:
        await handler.on_llm_start({}, ["Hi"], run_id=run_id)
        await handler.on_llm_start({}, ["Hi"], run_id=run_id)
        await handler.on_llm_new_token("one", run_id=run_id)
        await handler.on_llm_end(ANSWER, run_id=run_id)
        await handler.on_llm_end(ANSWER, run_id=run_id)
        await handler.on_llm_new_token("two", run_id=run_id)
        await handler.on_llm_error(ValueError("late"), run_id=run_id)
    span = captured.find(op="gen_ai.text_completion")
    assert span.attributes["langchain_stream.outcome"] == "completed"
    assert span.attributes["langchain_stream.chunks"] == 1
    assert captured.events == []
    assert handler.live_runs == 0


async def test_unknown_runs_are_ignored() -> None:
    """Every event of a run that never started, whatever its kind, leaves no trace."""
    handler, chunk = SentryStreamHandler(), ChatGenerationChunk(message=ScriptedModel()._chunk(0).message)
    error: Any = ValueError("unknown")
    with capture_spans() as captured:
        await handler.on_llm_new_token("one", chunk=chunk, run_id=uuid4())
        await handler.on_llm_end(ANSWER, run_id=uuid4())
        await handler.on_llm_error(error, run_id=uuid4())
        await handler.on_chain_end({}, run_id=uuid4())
        await handler.on_chain_error(error, run_id=uuid4())
        await handler.on_tool_end("", run_id=uuid4())
        await handler.on_tool_error(error, run_id=uuid4())
        await handler.on_retriever_end([], run_id=uuid4())
        await handler.on_retriever_error(error, run_id=uuid4())
    assert captured.spans == []
    assert captured.events == []


async def test_a_run_id_may_be_used_again() -> None:
    """The same run id, used for one call after another, gives a span for each."""
    handler, run_id = SentryStreamHandler(), uuid4()
    with capture_spans() as captured:
        for _ in range(3):
            await ScriptedModel().ainvoke("Hi", config={"callbacks": [handler], "run_id": run_id})
    assert len(captured.find_all(op="gen_ai.chat")) == 3
    assert handler.live_runs == 0


async def test_a_run_id_used_by_two_calls_at_once_is_two_runs() -> None:
    """Two async streams under one run id, read in turns by one task: a span each, no leak."""
    handler, run_id = SentryStreamHandler(), uuid4()
    with capture_spans() as captured:
        first = ScriptedModel().astream("First", config={"callbacks": [handler], "run_id": run_id})
        second = ScriptedModel().astream("Second", config={"callbacks": [handler], "run_id": run_id})
        for stream in (first, second, first, second):
            await anext(stream)
        for stream in (first, second):
            async for _ in stream:
                pass
    spans = captured.find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in spans] == ["completed", "completed"]
    assert len({span.attributes["langchain_stream.chunks"] for span in spans}) == 1
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_children_end_before_their_parent(shape: str) -> None:
    """Ending a run ends first what is open below it, and the ends that follow are ignored."""
    handler, chain, inner, model = SentryStreamHandler(), uuid4(), uuid4(), uuid4()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await handler.on_chain_start({}, {}, run_id=chain, name="outer")
        await handler.on_chain_start({}, {}, run_id=inner, parent_run_id=chain)
        await handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=model, parent_run_id=inner)
        await handler.on_llm_new_token("one", run_id=model)
        await handler.on_chain_error(ValueError("boom"), run_id=chain)
        assert handler.live_runs == 0
        await handler.on_llm_end(ANSWER, run_id=model)
        await handler.on_chain_end({}, run_id=inner)
    span, root = captured.find(op="gen_ai.chat"), captured.find(op="function")
    assert span.end <= root.end + SLACK
    assert span.attributes["langchain_stream.outcome"] == "cancelled"
    assert root.attributes["langchain_stream.outcome"] == "failed"


def test_batches_that_are_seen_in_part_leave_nothing() -> None:
    """A handler that sees one prompt of each call of two keeps nothing, and every call has a pipeline of its own."""
    seen, other = SentryStreamHandler(), SentryStreamHandler()
    model: Any = FakeListLLM(responses=["one", "two"])
    with capture_spans() as captured:
        for _ in range(50):
            model.generate(["x", "y"], callbacks=[[seen], [other]])
        for _ in range(50):
            model.generate(["x", "y"], callbacks=[seen])
    assert len(captured.find_all(op="function")) == 150
    assert len(captured.find_all(op="gen_ai.text_completion")) == 200
    for handler in (seen, other):
        assert handler.live_runs == 0
        assert handler._runs._roots._batches == {}


def test_copies_are_the_handler_itself_and_pickles_have_its_settings() -> None:
    """A config may be copied or sent to another process: a copy has the same handler, a pickle a new one like it."""
    handler = SentryStreamHandler("support-bot", include_prompts=False)
    assert copy.copy(handler) is copy.deepcopy({"callbacks": [handler]})["callbacks"][0] is handler
    with capture_spans() as captured:
        ScriptedModel().invoke("Hi", config={"callbacks": [pickle.loads(pickle.dumps(handler))]})
    assert captured.find(op="function").name == "support-bot"
