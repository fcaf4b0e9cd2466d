"""Conversations that the application sets with Sentry's own `set_conversation_id`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import sentry_sdk
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph
from sentry_sdk.scope import Scope

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, active_span

if not hasattr(Scope, "set_conversation_id"):
    pytest.skip("Scopes have conversations since sentry-sdk 2.51.", allow_module_level=True)

from sentry_sdk.ai.utils import set_conversation_id

ID = "gen_ai.conversation.id"
PROMPT = ChatPromptTemplate.from_template("{question}")


@pytest.fixture(params=WIRE_SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    """Each wire shape."""
    return str(request.param)


@pytest.fixture
def captured(shape: str) -> Iterator[Captured]:
    """What is sent in it."""
    with capture_spans(**WIRE_SHAPES[shape]) as found:
        yield found


def ids(captured: Captured) -> set[Any]:
    """The conversations of all spans of ours."""
    return {span.attributes.get(ID) for span in captured.spans if span.name != "handle"}


def chain() -> Runnable[Any, Any]:
    """A prompt and a model."""
    return PROMPT | ScriptedModel()


@pytest.mark.parametrize("enclosed", [False, True], ids=["root", "in a span"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_conversation_is_that_of_the_start(captured: Captured, shape: str, way: Way, enclosed: bool) -> None:
    """An application that goes on to another conversation during a run moves no span of that run there."""

    def go_on(value: Any) -> Any:
        set_conversation_id("second")
        return value

    app = RunnableLambda(go_on) | chain()
    set_conversation_id("first")
    if enclosed:
        with active_span(shape):
            await way.run(app, {"question": "Hi"}, {"callbacks": [SentryStreamHandler()]})
    else:
        await way.run(app, {"question": "Hi"}, {"callbacks": [SentryStreamHandler()]})
    assert ids(captured) == {"first"}
    assert len(captured.find_all(op="gen_ai.chat")) == 1


async def test_streams_in_one_scope_keep_their_conversations(captured: Captured) -> None:
    """Of two streams that a task consumes in turns, each stays in the conversation that was set when it began."""
    streams = []
    for name in ("first", "second"):
        set_conversation_id(name)
        config: Any = {"callbacks": [SentryStreamHandler(pipeline_name=name)]}
        streams.append(chain().astream({"question": "Hi"}, config=config))
        await anext(streams[-1])
    for stream in streams:
        async for _ in stream:
            pass
    assert len(captured.spans) == 4
    for span in captured.spans:
        assert span.attributes[ID] == span.attributes["gen_ai.pipeline.name"]


@pytest.mark.parametrize("later", ["other", None], ids=["another one", "none"])
def test_a_tracked_stream_keeps_its_conversation(captured: Captured, later: str | None) -> None:
    """`track_stream` records the conversation that was set when the first item was asked for."""
    set_conversation_id("first")
    stream = track_stream(iter(["one", "two"]), model="gpt-4o-mini")
    next(stream)
    if later:
        set_conversation_id(later)
    else:
        sentry_sdk.get_current_scope().remove_conversation_id()
    for _ in stream:
        pass
    assert ids(captured) == {"first"}


def test_a_run_without_a_conversation_gets_none_at_its_end(captured: Captured) -> None:
    """A conversation that is set after a run has started is not that of the run."""
    for metadata in ({}, {"thread_id": "own"}):
        config: Any = {"callbacks": [SentryStreamHandler()], "metadata": metadata}
        stream = chain().stream({"question": "Hi"}, config=config)
        next(stream)
        set_conversation_id("later")
        for _ in stream:
            pass
        sentry_sdk.get_current_scope().remove_conversation_id()
    assert [span.attributes.get(ID) for span in captured.find_all(op="gen_ai.chat")] == [None, "own"]


def test_sentrys_conversation_comes_before_that_of_the_metadata(captured: Captured) -> None:
    """`set_conversation_id` overrides a thread's id, for every span and as it is, also if it is not opaque."""
    set_conversation_id("team/7")
    chain().invoke({"question": "Hi"}, config={"callbacks": [SentryStreamHandler()], "metadata": {"thread_id": "t"}})
    assert ids(captured) == {"team/7"}


@pytest.mark.parametrize("dialect", ["gen_ai", "ai"])
@pytest.mark.parametrize("own", [False, True], ids=["metadata", "set_conversation_id"])
def test_a_failed_call_is_one_error_of_its_conversation(captured: Captured, own: bool, dialect: Any) -> None:
    """Sentry counts failed spans with a conversation's id, so the pipeline that fails with its model has none."""

    def fail(_: int) -> None:
        raise ValueError

    if own:
        set_conversation_id("talk")
    config: Any = {"callbacks": [SentryStreamHandler(dialect=dialect)], "metadata": {"thread_id": "talk"}}
    with suppress(ValueError):
        (PROMPT | ScriptedModel(before=fail)).invoke({"question": "Hi"}, config=config)
    failed = [span for span in captured.spans if span.attributes["langchain_stream.outcome"] == "failed"]
    assert len(failed) == 2
    assert [span.attributes.get(ID) for span in failed] == [None, "talk"]


@pytest.mark.parametrize("fails", [False, True], ids=["completed", "failed"])
@pytest.mark.parametrize("own", [False, True], ids=["metadata", "set_conversation_id"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_lone_call_and_its_root_are_one_conversation_and_one_error(
    captured: Captured, way: Way, own: bool, fails: bool
) -> None:
    """A model that no chain is around gets a root span, which is of the same conversation unless it has failed."""

    def fail(_: int) -> None:
        raise ValueError

    if own:
        set_conversation_id("talk")
    model = ScriptedModel(before=fail) if fails else ScriptedModel()
    with suppress(ValueError):
        await way.run(model, "Hi", {"callbacks": [SentryStreamHandler()], "metadata": {"thread_id": "talk"}})
    found = {span.op: span.attributes.get(ID) for span in captured.spans}
    assert found == {"function": None if fails else "talk", "gen_ai.chat": "talk"}


@pytest.mark.parametrize("wraps", [False, True], ids=["as it is", "wrapped"])
def test_an_agent_that_fails_with_its_model_is_no_second_error(captured: Captured, wraps: bool) -> None:
    """The graph, its node and the model fail with one exception, or one that it caused: only the model has the id."""

    def fail(_: int) -> None:
        raise ValueError

    def answer(state: MessagesState) -> dict[str, Any]:
        try:
            return {"messages": [ScriptedModel(before=fail).invoke(state["messages"])]}
        except ValueError as error:
            if wraps:
                raise RuntimeError("no answer") from error
            raise

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    set_conversation_id("talk")
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with suppress(ValueError, RuntimeError):
        graph.compile().invoke({"messages": [HumanMessage("Hi")]}, config=config)
    found = {span.op: span.attributes.get(ID) for span in captured.spans if span.op.startswith("gen_ai.")}
    assert found == {"gen_ai.invoke_agent": None, "gen_ai.chat": "talk"}


def test_the_scope_of_the_application_stays_as_it_is(captured: Captured) -> None:
    """A run that ends in its own conversation leaves the application's, and is sent with the application's tags."""
    set_conversation_id("first")
    stream = chain().stream({"question": "Hi"}, config={"callbacks": [SentryStreamHandler()]})
    next(stream)
    set_conversation_id("second")
    sentry_sdk.set_tag("tenant", "acme")
    for _ in stream:
        pass
    assert sentry_sdk.get_current_scope().get_conversation_id() == "second"
    assert ids(captured) == {"first"}
