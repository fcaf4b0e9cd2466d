"""Reads and writes of a LangGraph store are spans, where the caller is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

pytest.importorskip("langgraph")
pytest.importorskip("langchain")
from langchain.tools import ToolRuntime
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.config import get_store
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore, GetOp, PutOp
from langgraph.store.base.batch import AsyncBatchedBaseStore
from langgraph.store.memory import InMemoryStore

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import memory
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.wire import DEFAULT_SHAPE, WAYS, WIRE_SHAPES, Way, content_allowed

try:  # LangChain 1.0 had a node of its own
    from langchain.tools.tool_node import _ToolNode as ToolNode  # type: ignore[import-not-found, attr-defined, unused-ignore]
except ImportError:
    from langgraph.prebuilt import ToolNode

SPACE = ("canary-user", "facts")


@pytest.fixture(autouse=True)
def restored() -> Any:
    """Put back the methods of stores after each test."""
    yield
    memory.uninstall()


class Batched(AsyncBatchedBaseStore):
    """A store with a background task, as AsyncPostgresStore is."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = InMemoryStore()

    async def abatch(self, ops: Any) -> Any:
        """Carry the operations out."""
        return self.inner.batch(ops)


def spans(captured: Captured) -> list[CapturedSpan]:
    """The spans of memory operations."""
    return [each for each in captured.spans if "langchain_stream.memory_operation" in each.attributes]


def told(captured: Captured) -> list[tuple[Any, Any]]:
    """The operations and the number of items, in their order."""
    return [
        (each.attributes["langchain_stream.memory_operation"], each.attributes.get("gen_ai.memory.record.count"))
        for each in spans(captured)
    ]


ALL = [
    ("upsert_memory", 1),
    ("search_memory", 1),
    ("search_memory", 0),
    ("search_memory", 1),
    ("upsert_memory,search_memory", 2),
    ("delete_memory", 1),
]


def use(store: BaseStore) -> list[Any]:
    """Use a store as tools do."""
    store.put(SPACE, "canary-id", {"text": "canary-value"})
    found: list[Any] = [store.get(SPACE, "canary-id"), store.get(SPACE, "none")]
    found.append(store.search(SPACE, query="canary-query"))
    found.append(store.batch(iter([PutOp(SPACE, "b", {"n": 1}), GetOp(SPACE, "canary-id")])))
    store.delete(SPACE, "b")
    return [each is not None for each in found]


async def ause(store: BaseStore) -> list[Any]:
    """The same, in coroutines."""
    await store.aput(SPACE, "canary-id", {"text": "canary-value"})
    found: list[Any] = [await store.aget(SPACE, "canary-id"), await store.aget(SPACE, "none")]
    found.append(await store.asearch(SPACE, query="canary-query"))
    found.append(await store.abatch(iter([PutOp(SPACE, "b", {"n": 1}), GetOp(SPACE, "canary-id")])))
    await store.adelete(SPACE, "b")
    return [each is not None for each in found]


@needs_async_context(lambda kind: kind != "sync")
@pytest.mark.parametrize("kind", ["sync", "async", "background task"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_each_operation_is_one_span_of_its_caller(shape: str, kind: str) -> None:
    """Each call is one span below the run that makes it, and the store returns what it would have returned."""
    handler = SentryStreamHandler(memory=True)
    made: dict[str, type[BaseStore]] = {"background task": Batched}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        config: Any = {"callbacks": [handler]}
        if kind == "sync":
            returned = RunnableLambda[Any, Any](lambda _: use(InMemoryStore())).invoke("Hi", config)
        else:

            async def node(_: str) -> list[Any]:
                return await ause(made.get(kind, InMemoryStore)())  # here, so that its task has the run's context

            returned = await RunnableLambda(node).ainvoke("Hi", config)
    assert returned == [True, False, True, True]
    assert told(captured) == ALL
    assert len({each.parent_id for each in spans(captured)}) == 1
    assert {each.op for each in spans(captured)} == {"function"}
    # Sentry's pages know a memory span by its operation, of which a batch may have several.
    known = [operation if "," not in operation else None for operation, _ in ALL]
    assert [each.attributes.get("gen_ai.operation.name") for each in spans(captured)] == known
    assert handler.live_runs == 0


def note(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """A node that writes with both of LangGraph's ways to get the graph's store."""
    for store in (get_store(), runtime.store):
        assert store is not None
        store.put(SPACE, "a", {"n": 1})
    return {}


@tool
def recall(runtime: ToolRuntime) -> str:
    """Read with both of these ways."""
    return " ".join(str(store.get(SPACE, "a")) for store in (get_store(), runtime.store) if store is not None)


async def anote(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
    """The same node, as a coroutine."""
    for store in (get_store(), runtime.store):
        assert store is not None
        await store.aput(SPACE, "a", {"n": 1})
    return {}


@tool("recall")
async def arecall(runtime: ToolRuntime) -> str:
    """The same tool, as a coroutine."""
    return " ".join([str(await store.aget(SPACE, "a")) for store in (get_store(), runtime.store) if store is not None])


@needs_async_context(lambda way: way.name.startswith("a"))
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_store_of_a_graph_in_nodes_and_tools(shape: str, way: Way) -> None:
    """From `get_store` or from the runtime: a node's operations are the graph's, a tool's are the tool's."""
    is_async = way.name.startswith("a")
    builder = StateGraph(MessagesState)
    builder.add_node("note", anote if is_async else note)
    builder.add_node("tools", ToolNode([arecall if is_async else recall]))
    graph = builder.add_edge(START, "note").add_edge("note", "tools").compile(name="keeper", store=InMemoryStore())
    asked = {"messages": [AIMessage("", tool_calls=[{"name": "recall", "args": {}, "id": "1"}])]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(graph, asked, {"callbacks": [SentryStreamHandler(memory=True)]})
    assert told(captured) == [("upsert_memory", 1)] * 2 + [("search_memory", 1)] * 2
    by_node, by_tool = captured.find(name="invoke_agent keeper"), captured.find(name="execute_tool recall")
    assert [each.parent_id for each in spans(captured)] == [by_node.span_id] * 2 + [by_tool.span_id] * 2


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_contents_are_recorded_only_if_they_may_be(shape: str, allowed: bool) -> None:
    """Namespace, key, query and values are content; the number of items is not."""
    with capture_spans(**{**WIRE_SHAPES[shape], **content_allowed(allowed)}) as captured:
        RunnableLambda[Any, Any](lambda _: use(InMemoryStore())).invoke(
            "Hi", {"callbacks": [SentryStreamHandler(memory=True)]}
        )
    sent = json.dumps([each.attributes for each in spans(captured)])
    for canary in ("canary-user", "canary-id", "canary-query", "canary-value"):
        assert (canary in sent) is allowed
    assert told(captured) == ALL


def test_a_failure_reaches_the_caller() -> None:
    """The store's exception is raised unchanged, and the span has its type."""
    error = ConnectionError("boom")

    class Broken(InMemoryStore):
        def batch(self, ops: Any) -> Any:
            raise error

    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured, pytest.raises(ConnectionError) as raised:
        RunnableLambda[Any, Any](lambda _: Broken().get(SPACE, "a")).invoke(
            "Hi", {"callbacks": [SentryStreamHandler(memory=True)]}
        )
    assert raised.value is error
    (span,) = spans(captured)
    assert span.attributes["error.type"] == "ConnectionError"
    (issue,) = [payload for kind, payload in captured.items if kind == "event"]
    assert issue["contexts"]["trace"]["span_id"] == span.span_id


@pytest.mark.usefixtures("lenient")
def test_what_an_iterator_of_operations_raises_reaches_the_caller() -> None:
    """The operations of a batch may come from a generator of the application, whose exception is the application's."""
    error = ValueError("no more")

    def operations() -> Iterator[Any]:
        yield PutOp(SPACE, "a", {"text": "b"})
        raise error

    store = InMemoryStore()
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]), pytest.raises(ValueError, match="no more") as raised:
        RunnableLambda[Any, Any](lambda _: store.batch(operations())).invoke(
            "Hi", {"callbacks": [SentryStreamHandler(memory=True)]}
        )
    assert raised.value is error


def test_off_nothing_is_wrapped() -> None:
    """Without `memory=True` the store's methods are LangGraph's own, and there is no span."""
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        RunnableLambda[Any, Any](lambda _: use(InMemoryStore())).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert not hasattr(InMemoryStore.get, "__wrapped__")
    assert spans(captured) == []


def test_a_handler_without_memory_records_none() -> None:
    """While another handler with `memory=True` exists, a run of a plain handler has no spans of memory."""
    SentryStreamHandler(memory=True)
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE]) as captured:
        RunnableLambda[Any, Any](lambda _: use(InMemoryStore())).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert hasattr(InMemoryStore.get, "__wrapped__")
    assert len(captured.find_all(op="function")) == 1
    assert spans(captured) == []


def batched(*ops: Any) -> dict[str, Any]:
    """The attributes of the span of a batch."""
    with capture_spans(**WIRE_SHAPES[DEFAULT_SHAPE], **content_allowed(True)) as captured:
        RunnableLambda[Any, Any](lambda _: InMemoryStore().batch(ops)).invoke(
            "Hi", {"callbacks": [SentryStreamHandler(memory=True)]}
        )
    (span,) = spans(captured)
    return dict(span.attributes)


def test_a_put_of_nothing_is_a_delete() -> None:
    """LangGraph deletes by a `PutOp` without a value, which is recorded as a delete with no content."""
    found = batched(PutOp(SPACE, "a", None))
    assert found["langchain_stream.memory_operation"] == "delete_memory"
    assert "gen_ai.memory.records" not in found


def test_a_batch_names_its_namespace_if_there_is_one() -> None:
    """A batch has the namespace that all of its operations share, and no namespace if they differ."""
    name = "gen_ai.memory.store.id"
    assert batched(PutOp(SPACE, "a", {"n": 1}), GetOp(SPACE, "b"))[name] == "canary-user/facts"
    assert name not in batched(PutOp(SPACE, "a", {"n": 1}), GetOp(("other",), "b"))


def test_a_record_that_was_found_by_its_meaning_has_a_score() -> None:
    """A search by similarity records the score of each item, by which Sentry's page sorts them."""
    index: Any = {"dims": 2, "embed": lambda texts: [[1.0, 0.0] for _ in texts]}
    store = InMemoryStore(index=index)

    def use(_: str) -> int:
        store.put(SPACE, "drink", {"text": "tea"})
        return len(store.search(SPACE, query="coffee"))

    config: Any = {"callbacks": [SentryStreamHandler(memory=True)]}
    with capture_spans(**content_allowed(True)) as captured:
        assert RunnableLambda(use).invoke("Hi", config) == 1
    written, found = (json.loads(str(each.attributes["gen_ai.memory.records"])) for each in spans(captured))
    assert [sorted(each) for each in (*written, *found)] == [["content", "id"], ["content", "id", "score"]]


def _carry_out(store: BaseStore, operations: Any, _: object) -> Any:
    return store.batch(operations)


def test_a_batch_that_reads_counts_what_it_writes() -> None:
    """Of a batch that reads and writes, the count is that of the items found and written, and the items are shown."""
    store = InMemoryStore()
    store.put(("ada",), "old", {"text": "tea"})
    for key, count, shown in (("old", 3, "tea"), ("none", 2, "milk")):
        with capture_spans(**content_allowed(True)) as captured:
            operations: list[Any] = [
                PutOp(("ada",), "new", {"text": "milk"}),
                PutOp(("ada",), "gone", None),
                GetOp(("ada",), key),
            ]
            batch: Any = RunnableLambda(partial(_carry_out, store, operations))
            batch.invoke("Hi", {"callbacks": [SentryStreamHandler(memory=True)]})
        span = captured.find(name="upsert_memory,delete_memory,search_memory")
        assert span.attributes["gen_ai.memory.record.count"] == count
        assert shown in span.attributes["gen_ai.memory.records"]
