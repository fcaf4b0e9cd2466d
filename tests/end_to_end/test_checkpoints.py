"""Saves and loads of LangGraph's checkpointers are spans below the graph, without anything of its state."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import pytest

pytest.importorskip("langgraph")
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import checkpoints
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.wire import DEFAULT_SHAPE, WAYS, WIRE_SHAPES, Way, content_allowed

QUESTION = {"messages": [("user", "canary-question")]}
THREAD = "thread-1"


@pytest.fixture(autouse=True)
def restored() -> Any:
    """Put back the methods of checkpointers after each test."""
    yield
    checkpoints.uninstall()


def answer(state: MessagesState) -> dict[str, Any]:
    """A node."""
    return {"messages": [("ai", "canary-answer")]}


def graph(saver: Any = None, **nodes: Any) -> Any:
    """A graph of these nodes, which run side by side."""
    made = StateGraph(MessagesState)
    for name, node in (nodes or {"answer": answer}).items():
        made.add_node(name, node)
        made.add_edge(START, name)
    return made.compile(checkpointer=saver, name="outer" if saver else "inner")


def config(**settings: Any) -> Any:
    """A handler that records checkpoints, and a conversation."""
    handler = SentryStreamHandler(**{"checkpoints": True, **settings})
    return {"callbacks": [handler], "configurable": {"thread_id": THREAD}}


def spans(captured: Captured) -> list[CapturedSpan]:
    """The spans of checkpointers."""
    return [each for each in captured.spans if "langchain_stream.checkpointer" in each.attributes]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_each_save_and_load_is_one_span_of_its_graph(shape: str, way: Way) -> None:
    """A graph of one node loads once, and saves its input, its result and the writes; a second turn finds them."""
    given = config()
    compiled = graph(InMemorySaver())
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(compiled, QUESTION, given)
    names = Counter(each.name for each in spans(captured))
    assert names == {"InMemorySaver.get_tuple": 1, "InMemorySaver.put": 3, "InMemorySaver.put_writes": 2}
    assert {each.parent_id for each in spans(captured)} == {captured.find(name="invoke_agent outer").span_id}
    assert {each.op for each in spans(captured)} == {"function"}
    assert not any("gen_ai.operation.name" in each.attributes for each in spans(captured))
    assert given["callbacks"][0].live_runs == 0
    (load,) = [each for each in spans(captured) if each.name.endswith("get_tuple")]
    assert load.attributes["langchain_stream.checkpoint_channels"] == 0
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(compiled, QUESTION, given)
    (load,) = [each for each in spans(captured) if each.name.endswith("get_tuple")]
    assert load.attributes["langchain_stream.checkpoint_channels"] >= 1
    (writes, *_) = [each.attributes for each in spans(captured) if each.name.endswith("put_writes")]
    assert writes["langchain_stream.checkpointer"] == "InMemorySaver"
    assert writes["langchain_stream.checkpoint_operation"] == "put_writes"
    assert writes["langchain_stream.checkpoint_writes"] >= 1


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_nothing_of_the_state_is_recorded(shape: str, allowed: bool) -> None:
    """Whether or not content is allowed, the spans of checkpointers have none of it."""
    given = config()
    with capture_spans(**{**WIRE_SHAPES[shape], **content_allowed(allowed)}) as captured:
        graph(InMemorySaver()).invoke(QUESTION, given)
    sent = json.dumps([(each.name, each.attributes) for each in spans(captured)])
    assert len(spans(captured)) == 6
    assert "canary" not in sent
    assert {each.attributes.get("gen_ai.conversation.id") for each in spans(captured)} == {THREAD}


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_nodes_side_by_side_and_graphs_in_graphs(way: Way) -> None:
    """Writes of nodes that run side by side are the graph's; those of a graph in a node are that graph's."""
    inner = graph()
    nodes = {"one": answer, "two": answer, "three": inner}
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        await way.run(graph(InMemorySaver(), **nodes), QUESTION, config())
    outer, nested = captured.find(name="invoke_agent outer"), captured.find(name="invoke_agent inner")
    found = Counter(
        (each.parent_id, each.attributes["langchain_stream.checkpoint_operation"]) for each in spans(captured)
    )
    assert set(found) == {
        (graph.span_id, name) for graph in (outer, nested) for name in ("get_tuple", "put", "put_writes")
    }
    assert found[outer.span_id, "put_writes"] == 4
    assert found[nested.span_id, "put_writes"] == 2


def test_a_graph_that_is_called_while_a_model_streams() -> None:
    """The load of a graph in a node is that graph's too where its method is found on the stack, as a model is live."""
    inner, model = graph(), FakeListChatModel(responses=["Hi"])

    def read(state: MessagesState) -> dict[str, Any]:
        for at, _ in enumerate(model.stream("Hi")):
            if at == 0:
                inner.invoke(state)
        return {}

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        graph(InMemorySaver(), read=read).invoke(QUESTION, config())
    outer, nested = captured.find(name="invoke_agent outer"), captured.find(name="invoke_agent inner")
    loads = [each.parent_id for each in spans(captured) if each.name.endswith("get_tuple")]
    assert sorted(loads, key=str) == sorted([outer.span_id, nested.span_id])


def test_a_graph_that_a_model_calls_with_the_handler_saves_as_ever() -> None:
    """LangChain gives it no parent, so the config of its checkpointer names none."""
    inner = graph(InMemorySaver())

    class Calling(FakeListChatModel):
        def _call(self, *args: Any, **kwargs: Any) -> str:
            return str(inner.invoke(QUESTION, config())["messages"][-1].content)

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        Calling(responses=["Hi"]).invoke("Hi", config())
    nested = captured.find(name="invoke_agent outer")
    saved = [each.name for each in spans(captured) if each.parent_id == nested.span_id]
    assert len([name for name in saved if name.endswith(("put", "put_writes"))]) >= 2


def test_a_chain_that_loads_with_the_config_of_its_node() -> None:
    """A chain in a node is no graph for a call of the checkpointer with that node's config."""
    saver = InMemorySaver()

    def look(_: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        def load(_: Any) -> None:
            saver.get_tuple(config)

        RunnableLambda(load).with_config(run_name="chain").invoke("Hi", config)
        return {}

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        graph(saver, look=look).invoke(QUESTION, config(chains=True))
    assert captured.find(name="chain").parent_id == captured.find(name="look").span_id
    (load,) = [each for each in spans(captured) if each.parent_id == captured.find(name="chain").span_id]
    assert load.name == "InMemorySaver.get_tuple"


def test_two_conversations_at_a_time() -> None:
    """Of two streams that are read in turns, each has the spans of its own thread."""
    saver = InMemorySaver()
    compiled = graph(saver)
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        given = config()
        streams = [
            compiled.stream(QUESTION, {**given, "configurable": {"thread_id": thread}}) for thread in ("a-1", "b-2")
        ]
        for _ in zip(*streams, strict=True):
            pass
        assert all(next(stream, None) is None for stream in streams)
    agents = {
        each.span_id: each.attributes["gen_ai.conversation.id"] for each in captured.find_all(name="invoke_agent outer")
    }
    assert sorted(agents.values()) == ["a-1", "b-2"]
    assert Counter(agents[each.parent_id or ""] for each in spans(captured)) == {"a-1": 6, "b-2": 6}


def test_a_checkpointer_that_is_called_in_a_node_or_a_chain() -> None:
    """A call of the application's own is a span where it is made; outside of every run it has none."""
    saver = InMemorySaver()

    def look(_: Any) -> dict[str, Any]:
        saver.get_tuple({"configurable": {"thread_id": THREAD, "checkpoint_ns": ""}})
        return {}

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        given = config(chains=True)
        graph(saver, look=look).invoke(QUESTION, given)
        RunnableLambda(look).with_config(run_name="chain").invoke("Hi", {"callbacks": given["callbacks"]})
        before = len(spans(captured))
        look("")
        assert len(spans(captured)) == before
    for name in ("look", "chain"):
        (span,) = [each for each in spans(captured) if each.parent_id == captured.find(name=name).span_id]
        assert span.name == "InMemorySaver.get_tuple"


def test_a_failure_reaches_the_caller() -> None:
    """The checkpointer's exception is raised unchanged, and its span has the exception's type."""
    error = ConnectionError("boom")

    class Broken(InMemorySaver):
        def put(self, *args: Any, **kwargs: Any) -> Any:
            raise error

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured, pytest.raises(ConnectionError) as raised:
        graph(Broken()).invoke(QUESTION, config())
    assert raised.value is error
    failed = [each for each in spans(captured) if each.attributes.get("error.type")]
    assert failed
    assert {each.name for each in failed} == {"Broken.put"}


def test_a_checkpointer_without_task_paths() -> None:
    """LangGraph sees the signature of a wrapped method: an older checkpointer is not given what it does not take."""
    seen: list[int] = []

    class Older(InMemorySaver):
        def put_writes(self, config: Any, writes: Any, task_id: str) -> None:  # type: ignore[override]
            seen.append(len(writes))
            super().put_writes(config, writes, task_id)

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        graph(Older()).invoke(QUESTION, config())
    assert len(seen) == len([each for each in spans(captured) if each.name == "Older.put_writes"]) == 2


def test_without_langgraph_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without LangGraph there is nothing to record, and the handler is not made."""
    monkeypatch.setattr(checkpoints, "_family", None)
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.base", None)
    with pytest.raises(ImportError, match="checkpoints=True needs langgraph"):
        SentryStreamHandler(checkpoints=True)


def test_off_nothing_is_wrapped() -> None:
    """Without `checkpoints=True` the methods are LangGraph's own, and there is no span."""
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        graph(InMemorySaver()).invoke(QUESTION, config(checkpoints=False))
    assert not hasattr(InMemorySaver.put, "__wrapped__")
    assert spans(captured) == []


def test_a_handler_without_checkpoints_records_none() -> None:
    """While another handler with `checkpoints=True` exists, a graph of a plain handler has no spans of checkpoints."""
    SentryStreamHandler(checkpoints=True)
    saver = InMemorySaver()

    def look(_: Any) -> dict[str, Any]:
        saver.get_tuple({"configurable": {"thread_id": THREAD, "checkpoint_ns": ""}})
        return {}

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        graph(saver, look=look, inner=graph()).invoke(QUESTION, config(checkpoints=False))
    assert hasattr(InMemorySaver.put, "__wrapped__")
    assert len(captured.find_all(name="invoke_agent outer")) == 1
    assert spans(captured) == []


def test_of_many_threads_the_latest_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many conversations there are, as few as are allowed are kept, by the last time that each was used."""
    monkeypatch.setattr(checkpoints, "_MOST_THREADS", 2)
    compiled, given = graph(InMemorySaver()), config()
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        for thread in ("a-1", "b-2", "a-1", "c-3"):
            compiled.invoke(QUESTION, {**given, "configurable": {"thread_id": thread}})
    assert len(spans(captured)) == 4 * 6
    assert list(checkpoints._roots) == ["a-1", "c-3"]
