"""What the `configurable` of a call's config says of it: the conversation, the user, and chosen metadata."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.runnables.config import ensure_config
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed, fake_model

SAID = {"thread_id": "T9", "user_id": "u-1", "tenant": "acme"}
OTHER = {"thread_id": "T10", "user_id": "u-2", "tenant": "umbra"}
IS_COPIED = "tenant" in ensure_config({"configurable": SAID})["metadata"]
"""Whether LangChain copies it into the metadata of every run: langchain-core before 1.3."""
KEYS = ("gen_ai.conversation.id", "user.id", "langchain_stream.metadata.tenant")
QUESTION = {"question": "Hi"}


@tool
def search(question: str) -> str:
    """Find something."""
    return question


def prompt() -> Runnable[Any, Any]:
    """A prompt."""
    return ChatPromptTemplate.from_template("{question}")


async def abatch(app: Runnable[Any, Any], questions: list[Any], config: Any, **kwargs: Any) -> None:
    await app.abatch(questions, config, **kwargs)


async def batch(app: Runnable[Any, Any], questions: list[Any], config: Any, **kwargs: Any) -> None:
    app.batch(questions, config, **kwargs)


BATCHES = (batch, abatch)

APPS: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "prompt and model": lambda: prompt() | ScriptedModel(),
    "function and tool": lambda: RunnableLambda(lambda asked: asked) | search,
    "with a branch": lambda: prompt() | RunnableParallel(one=ScriptedModel()),
}
NESTED: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "with retries": lambda: (prompt() | ScriptedModel()).with_retry(),
    "with fallbacks": lambda: (prompt() | ScriptedModel()).with_fallbacks([prompt() | fake_model()]),
}


def config(said: dict[str, str] = SAID, **options: Any) -> Any:
    """A config with a handler that asks for all of it."""
    handler = SentryStreamHandler(user_key="user_id", metadata_keys=("tenant",))
    return {"callbacks": [handler], "configurable": said, **options}


def told(captured: Captured) -> list[tuple[Any, ...]]:
    """What is recorded of it on each span."""
    return sorted((tuple(span.attributes.get(key) for key in KEYS) for span in captured.spans), key=str)


@needs_async_context(lambda run: is_async(run))
@pytest.mark.parametrize("run", BATCHES)
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_batch_has_it_on_every_span(shape: str, app: str, number: int, run: Any) -> None:
    """Both of a chain's roots and all calls in them, though LangChain sets no context for the steps of a batch."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await run(APPS[app](), [QUESTION] * number, config())
    assert told(captured) == [tuple(SAID.values())] * 2 * number


@needs_async_context(lambda run: is_async(run))
@pytest.mark.parametrize("run", BATCHES)
@pytest.mark.parametrize("app", NESTED)
async def test_a_batch_inside_a_batch_has_it(app: str, run: Any) -> None:
    """On the calls; with `abatch` not on the outermost span: nothing on the stack names the config of the inner one."""
    with capture_spans(**content_allowed(True)) as captured:
        await run(NESTED[app](), [QUESTION] * 2, config())
    pipeline = (None,) * 3 if is_async(run) and not IS_COPIED else tuple(SAID.values())
    assert told(captured) == sorted([tuple(SAID.values()), pipeline] * 2, key=str)


@needs_async_context(lambda run: is_async(run))
@pytest.mark.parametrize("run", BATCHES)
@pytest.mark.parametrize("returned", [False, True], ids=["raised", "returned"])
async def test_each_of_a_batch_has_its_own(run: Any, returned: bool) -> None:
    """With a config for each, no span has the values of another one."""
    with capture_spans(**content_allowed(True)) as captured:
        configs = [config(), config(OTHER)]
        await run(prompt() | ScriptedModel(), [QUESTION] * 2, configs, return_exceptions=returned)
    assert told(captured) == sorted([tuple(SAID.values()), tuple(OTHER.values())] * 2, key=str)


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_chain_has_it_on_every_span(way: Way) -> None:
    """In every other way of calling it, too."""
    with capture_spans(**content_allowed(True)) as captured:
        await way.run(prompt() | ScriptedModel(), QUESTION, config())
    assert told(captured) == [tuple(SAID.values())] * 2


def test_a_batch_in_a_run_has_that_of_its_own_config() -> None:
    """A batch that a function starts with another `configurable` is another conversation than the function's."""
    inner = prompt() | ScriptedModel()

    def start(asked: Any, config: RunnableConfig) -> Any:
        own: RunnableConfig = {**config, "configurable": OTHER}
        return inner.batch([asked], own)

    outer = RunnableLambda(start)
    with capture_spans(**content_allowed(True)) as captured:
        outer.invoke(QUESTION, config())
    found = {span.op: tuple(span.attributes.get(key) for key in KEYS) for span in captured.spans}
    assert found["function"] == tuple(SAID.values())


def asks(state: MessagesState) -> dict[str, Any]:
    """A plain function as a node."""
    return {"messages": [ScriptedModel().invoke("Hi")]}


def graph(node: Any, name: str) -> Any:
    """A graph of one node."""
    built = StateGraph(MessagesState)
    built.add_node("node", node)
    built.add_edge(START, "node")
    return built.compile(name=name)


SUB = graph(asks, "sub")


def calls(*threads: str | None) -> Any:
    """Something that calls a graph once in each of these threads, and then a model."""

    def step(_: Any) -> Any:
        for each in threads:
            SUB.invoke({"messages": []}, {"configurable": {"thread_id": each}} if each else None)
        return asks({"messages": []})

    return step


THREAD = {"configurable": {"thread_id": "outer"}}


@pytest.mark.parametrize("settings", [{}, {"user_key": "user_id"}], ids=["nothing chosen", "a user key"])
@pytest.mark.parametrize(
    ("threads", "said", "expected"),
    [
        ([None], THREAD, ["outer", "outer", "outer", "outer"]),
        (["one"], THREAD, ["outer", "one", "one", "outer"]),
        (["one", "two"], THREAD, ["outer", "one", "one", "two", "two", "outer"]),
        (["one"], {}, [None, "one", "one", None]),
        (["one"], {**THREAD, "metadata": {"conversation_id": "said"}}, ["said", "said", "said", "said"]),
        ([None], {**THREAD, "metadata": {"thread_id": "said"}}, ["said", "said", "said", "said"]),
        (["one"], {**THREAD, "metadata": {"thread_id": "said"}}, ["said", "one", "one", "said"]),
    ],
)
@pytest.mark.parametrize("outer", ["graph", "function"])
def test_a_graph_that_is_called_inside_has_its_own_conversation(
    outer: str, threads: list[str | None], said: dict[str, Any], expected: list[Any], settings: dict[str, Any]
) -> None:
    """LangGraph copies the outer thread into all metadata inside: a graph called with a thread of its own keeps that.

    What the application says by a key that ranks higher is inherited.
    """
    step = calls(*threads)
    app: Any = graph(step, "top") if outer == "graph" else RunnableLambda(step)
    with capture_spans() as captured:
        app.invoke({"messages": []}, {"callbacks": [SentryStreamHandler("bot", **settings)], **said})
    assert [span.attributes.get(KEYS[0]) for span in captured.spans] == expected


def test_a_call_further_inside_may_come_back_to_the_outer_conversation() -> None:
    """A graph in a graph of another conversation is called with the outer one's thread: its span and calls agree."""

    def back(_: Any) -> Any:
        SUB.invoke({"messages": []}, {"configurable": {"thread_id": "outer"}})
        return {"messages": []}

    middle = graph(back, "middle")

    def step(_: Any) -> Any:
        middle.invoke({"messages": []}, {"configurable": {"thread_id": "other"}})
        return {"messages": []}

    with capture_spans() as captured:
        graph(step, "top").invoke({"messages": []}, {"callbacks": [SentryStreamHandler("bot")], **THREAD})
    assert [span.attributes.get(KEYS[0]) for span in captured.spans] == ["outer", "other", "outer", "outer"]


@needs_async_context(lambda way: is_async(way))
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_chain_that_is_called_in_a_node_has_its_own_conversation(way: Way) -> None:
    """It is called with a thread of its own, as a graph may be, and so is what it calls."""
    inner = prompt() | ScriptedModel()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [inner.invoke(QUESTION, {"configurable": {"thread_id": "own"}})]}

    with capture_spans() as captured:
        await way.run(graph(node, "top"), {"messages": []}, {"callbacks": [SentryStreamHandler()], **THREAD})
    assert [(span.op, span.attributes.get(KEYS[0])) for span in captured.spans] == [
        ("gen_ai.invoke_agent", "outer"),
        ("gen_ai.chat", "own"),
    ]


@pytest.mark.parametrize("call", ["invoke", "batch"])
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"session_id": "chat-7", "user_id": "ada"}, ("chat-7", "ada")),
        ({"tenant": "acme"}, (None, None)),
        ({"user_id": "ada"}, (None, "ada")),
    ],
)
def test_a_chain_takes_nothing_of_what_it_calls(
    call: str, said: dict[str, Any], expected: tuple[str | None, str | None]
) -> None:
    """The metadata of a model that a chain calls say whose that model's run is, and not whose the chain's."""
    own: Any = {"metadata": {"conversation_id": "job-1", "user_id": "service"}}
    chain: Any = RunnableLambda(lambda asked: (prompt() | ScriptedModel()).invoke(QUESTION, own))
    handler = SentryStreamHandler("bot", user_key="user_id", metadata_keys=("tenant",))
    config: Any = {"callbacks": [handler], "configurable": said}
    with capture_spans() as captured:
        chain.batch(["Hi"], config) if call == "batch" else chain.invoke("Hi", config)
    found = [tuple(span.attributes.get(key) for key in KEYS[:2]) for span in captured.spans]
    assert found == [expected, ("job-1", "service")]


def fails(_: Any) -> None:
    raise KeyError("no such order")


def yields(asked: Any) -> Any:
    yield from asked


async def ayields(asked: Any) -> Any:
    async for each in asked:
        yield each


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    "step", [RunnableLambda(str), RunnableLambda(fails), RunnableGenerator(yields, ayields)], ids=str
)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_function_that_calls_nothing_has_it(shape: str, step: Any, way: Way) -> None:
    """No child tells of its config, so it is read as it starts; if it fails, that is an error of the conversation."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured, suppress(KeyError):
        await way.run(step, "Hi", config())
    assert told(captured) == [tuple(SAID.values())]


def test_what_the_metadata_of_a_function_says_comes_first() -> None:
    """Metadata wins over `configurable`, as with every other run."""
    said: Any = {"conversation_id": "said", "user_id": "ada", "tenant": "mine"}
    with capture_spans(**content_allowed(True)) as captured:
        RunnableLambda(str).invoke("Hi", config(metadata=said))
    assert told(captured) == [("said", "ada", "mine")]


def test_a_graph_has_it_on_its_own_span() -> None:
    """Its nodes are started with the config that the graph was called with."""

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [ScriptedModel().invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("answer", answer)
    graph.add_edge(START, "answer")
    with capture_spans(**content_allowed(True)) as captured:
        graph.compile().invoke({"messages": [HumanMessage("Hi")]}, config())
    assert told(captured) == [tuple(SAID.values())] * 2


@pytest.mark.skipif(IS_COPIED, reason="langchain-core before 1.3 copies `configurable` into the metadata")
def test_a_model_that_is_called_directly_has_none_of_it() -> None:
    """LangChain does not tell of it there, unless it is in the metadata too, as docs/runs.md says."""
    with capture_spans(**content_allowed(True)) as captured:
        ScriptedModel().invoke("Hi", config())
        ScriptedModel().invoke("Hi", config(metadata=SAID))
    found = [tuple(span.attributes.get(key) for key in KEYS) for span in captured.find_all(op="gen_ai.chat")]
    assert found == [(None,) * 3, tuple(SAID.values())]


async def test_a_hook_that_the_application_calls_finds_no_config() -> None:
    """Only below a call of LangChain's is a variable of that name the config of a run."""
    handler = SentryStreamHandler(user_key="user_id")
    root, below = uuid4(), uuid4()

    async def fire(config: Any) -> None:
        await handler.on_chat_model_start({}, [[HumanMessage("Hi")]], run_id=below, parent_run_id=root)

    with capture_spans() as captured:
        await handler.on_chain_start({}, {}, run_id=root, name="outer")
        await fire({"callbacks": SimpleNamespace(parent_run_id=root), "configurable": SAID})
        await handler.on_chain_error(ValueError(), run_id=root)
    assert len(captured.spans) == 2
    assert not any(key in span.attributes for span in captured.spans for key in KEYS)
