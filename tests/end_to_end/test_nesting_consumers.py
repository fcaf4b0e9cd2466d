"""What happens outside of a run never hangs below it: between two chunks, beside it, and after it however it ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.language_models import LLM
from langchain_core.outputs import GenerationChunk
from langchain_core.runnables import Runnable, RunnableBranch, RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.inside import SURROUNDINGS, World, world
from tests.kit.pairwise import pairwise, parameters
from tests.kit.wire import (
    WIRE_SHAPES,
    ScriptedModel,
    active_span,
    child_span,
    current_span_id,
    fake_model,
    needs_v3,
)

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    """A server and a database."""
    with world() as found:
        yield found


@pytest.fixture(scope="module")
def openai() -> Iterator[ChatOpenAI]:
    """The real model class, asking a server."""
    with serving(create_endpoint(Answer(pieces=("a", "b", "c")))) as url:
        yield ChatOpenAI(
            model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), stream_usage=True, max_retries=0
        )


class Completing(LLM):
    """A model that is no chat model, and does not tell its run manager of chunks: LangChain signals none of them."""

    @property
    def _llm_type(self) -> str:
        return "completing"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return "one two"

    def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for piece in ("one ", "two ", "three"):
            yield GenerationChunk(text=piece)

    async def _astream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for piece in ("one ", "two ", "three"):
            yield GenerationChunk(text=piece)


class Tracing(ScriptedModel):
    """A model that has a span of its own open while it streams, as an instrumented client may."""

    shape: str = ""

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        with child_span(self.shape, "client"), child_span(self.shape, "connection"):
            yield from super()._stream(messages, stop, run_manager, **kwargs)

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        with child_span(self.shape, "client"), child_span(self.shape, "connection"):
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield chunk


def _pieces(given: Iterator[Any]) -> Iterator[Any]:
    yield from given


async def _apieces(given: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for each in given:
        yield each


def _graph(shape: str) -> Any:
    async def anode(state: MessagesState) -> Any:
        return {"messages": [await fake_model().ainvoke("Hi")]}

    graph = StateGraph(MessagesState)
    graph.add_node("first", RunnableLambda(lambda state: {"messages": [fake_model().invoke("Hi")]}, anode))
    graph.add_node("second", lambda state: {"messages": [("ai", "Bye")]})
    graph.add_edge(START, "first")
    graph.add_edge("first", "second")
    graph.add_edge("second", END)
    return graph.compile().with_config(configurable={"thread_id": "1"})


STREAMED: dict[str, Callable[[str], Runnable[Any, Any]]] = {
    "model": lambda shape: ScriptedModel(),
    "model that is no chat model": lambda shape: Completing(),
    "model with spans of its own": lambda shape: Tracing(shape=shape),
    "chain": lambda shape: RunnableLambda(str) | ScriptedModel() | RunnableGenerator(_pieces, _apieces),
    "branch": lambda shape: RunnableBranch(
        (bool, RunnableGenerator(_pieces, _apieces) | ScriptedModel()), fake_model()
    ),
    "parallel": lambda shape: RunnableParallel(left=RunnableLambda(str) | ScriptedModel(), right=ScriptedModel()),
    "function that streams": lambda shape: RunnableLambda(lambda given: ScriptedModel()),
    "fallback": lambda shape: (RunnableLambda(str) | ScriptedModel()).with_fallbacks(
        [RunnableLambda(str) | fake_model()]
    ),
    "graph": _graph,
}
"""What is streamed."""


def asked(name: str) -> Any:
    return {"messages": [("user", "Hi")]} if name == "graph" else "Hi"


def assert_outside(captured: Captured, name: str, above: str | None) -> None:
    """Everything called `name` hangs below the span `above`."""
    found = captured.find_all(name=name)
    parents = {span.parent_id for span in found}
    assert found
    assert parents == {captured.find(name=above).span_id if above is not None else None}, captured.tree()


@pytest.mark.parametrize(
    ("name", "shape", "application"),
    parameters(pairwise((name, *where) for name in STREAMED for where in SURROUNDINGS)),
)
async def test_the_consumer_of_an_async_stream_is_outside(
    outside: World, shape: str, name: str, application: bool
) -> None:
    """What it does between two chunks, and in tasks that it starts there, hangs where it would without us."""
    handler: Any = SentryStreamHandler()

    async def task() -> None:
        current.append(current_span_id())

    async def consume() -> None:
        async for _ in STREAMED[name](shape).astream(asked(name), config={"callbacks": [handler]}):
            current.append(current_span_id())
            if application:
                with child_span(shape, "between"):
                    await outside.aget("between")
            await asyncio.create_task(task())
        current.append(current_span_id())

    current: list[str | None] = []
    above: str | None = None
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if application:
            with active_span(shape, "application") as above:
                await consume()
        else:
            await consume()
    assert set(current) == {above}, captured.tree()
    if application:
        assert_outside(captured, "between", "application")
    assert handler.live_runs == 0


@pytest.mark.parametrize(
    ("name", "shape", "application"),
    parameters(pairwise((name, *where) for name in STREAMED for where in SURROUNDINGS)),
)
def test_the_consumer_of_a_stream_is_outside(outside: World, shape: str, name: str, application: bool) -> None:
    """What it does between two chunks, and in threads that it starts there, hangs where it would without us."""
    handler: Any = SentryStreamHandler()

    def consume() -> None:
        for _ in STREAMED[name](shape).stream(asked(name), config={"callbacks": [handler]}):
            current.append(current_span_id())
            thread = threading.Thread(target=lambda: current.append(current_span_id()))
            thread.start()
            thread.join()
            if application:
                with child_span(shape, "between"):
                    outside.get("between")
        current.append(current_span_id())

    current: list[str | None] = []
    above: str | None = None
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if application:
            with active_span(shape, "application") as above:
                consume()
        else:
            consume()
    assert set(current) == {above}, captured.tree()
    if application:
        assert_outside(captured, "between", "application")
    assert handler.live_runs == 0


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_interleaved_streams_do_not_nest_in_each_other(shape: str, name: str) -> None:
    """Two generators that are pulled in turn: each has its tree below the application."""
    handler: Any = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        streams = [
            STREAMED[name](shape).stream(asked(name), config={"callbacks": [handler], "run_name": f"stream {number}"})
            for number in (1, 2)
        ]
        for _ in zip(*streams, strict=True):
            assert current_span_id() == above
        assert current_span_id() == above
    assert_same_trees(captured)


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda name: name == "graph")
async def test_interleaved_async_streams_do_not_nest_in_each_other(shape: str, name: str) -> None:
    """Two async generators pulled in turn by one task, and two more by tasks of their own."""
    handler: Any = SentryStreamHandler()

    def stream(number: int) -> Any:
        config: Any = {"callbacks": [handler], "run_name": f"stream {number}"}
        return STREAMED[name](shape).astream(asked(name), config=config)

    async def drain(number: int) -> None:
        async for _ in stream(number):
            await asyncio.sleep(0)

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
        one, two = stream(1), stream(2)
        async for _ in one:
            await anext(two, None)
        async for _ in two:
            pass
        await asyncio.gather(drain(3), drain(4))
    assert_same_trees(captured)


def assert_same_trees(captured: Captured) -> None:
    """Below the application are trees of the same form."""
    told = captured.tree()
    lines = [line for line in told.splitlines()[1:] if "create_agent" not in line]
    starts = [number for number, line in enumerate(lines) if not line.startswith("    ")]
    trees = [sorted(lines[start:end]) for start, end in zip(starts, [*starts[1:], None], strict=True)]
    forms = {tuple(line[: line.index("stream")] if "stream " in line else line for line in tree) for tree in trees}
    assert len(trees) in (2, 4), told
    assert len(forms) == 1, told


@pytest.mark.parametrize("version", ["v2", pytest.param("v3", marks=needs_v3)])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_consumer_of_events_is_outside(shape: str, version: Any) -> None:
    """Of `astream_events`, from before the first event until after the last."""
    handler: Any = SentryStreamHandler()
    current: list[str | None] = []
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        events: Any = ScriptedModel().astream_events("Hi", config={"callbacks": [handler]}, version=version)
        if version == "v3":
            events = await events
        current.append(current_span_id())
        async for _ in events:
            current.append(current_span_id())
        current.append(current_span_id())
        while handler.live_runs:
            await asyncio.sleep(0)
    assert set(current) == {above}
    assert len(captured.find_all(op="gen_ai.chat")) == 1


@needs_v3
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_consumer_of_v3_events_is_outside(shape: str) -> None:
    """Of `stream_events`, from before the first event until after the last."""
    handler: Any = SentryStreamHandler()
    current: list[str | None] = []
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        events: Any = ScriptedModel().stream_events("Hi", config={"callbacks": [handler]}, version="v3")
        current.append(current_span_id())
        for _ in events:
            current.append(current_span_id())
        current.append(current_span_id())
    assert set(current) == {above}
    assert len(captured.find_all(op="gen_ai.chat")) == 1
