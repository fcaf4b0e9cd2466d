"""What happens inside of a run hangs below its span: Sentry's own spans of requests and queries, and the user's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel
from langchain_core.tools import StructuredTool
from langgraph.graph import END, START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.inside import SURROUNDINGS, Calling, World, around, assert_worked_below, name_above, parent_of, world
from tests.kit.pairwise import in_pairs, pairwise, parameters, table
from tests.kit.wire import BOTH_MODELS, WAYS, WIRE_SHAPES, Way, child_span, fake_model

LANGGRAPH = "auto.ai.langgraph"
"""The origin of the spans of Sentry's own integration."""

ASKED = {"messages": [("user", "Hi")]}


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    """A server and a database."""
    with world() as found:
        yield found


class Finding(BaseRetriever):
    """A retriever that works for what it finds."""

    work: Callable[[], None]
    awork: Callable[[], Any]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        self.work()
        return [Document("found")]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        await self.awork()
        return [Document("found")]


def step(world: World, shape: str, name: str = "work") -> RunnableLambda[Any, Any]:
    """A step of a chain that works, and hands on what it was given."""

    def work(given: Any) -> Any:
        world.work(shape, name)
        return given

    async def awork(given: Any) -> Any:
        await world.awork(shape, name)
        return given

    return RunnableLambda(work, awork)


def tool(world: World, shape: str, name: str = "look") -> StructuredTool:
    """A tool that works."""

    def work() -> str:
        """Look."""
        world.work(shape, f"work-{name}")
        return name

    async def awork() -> str:
        """Look."""
        await world.awork(shape, f"work-{name}")
        return name

    return StructuredTool.from_function(work, coroutine=awork, name=name)


def retriever(world: World, shape: str) -> Finding:
    """A retriever that works."""
    return Finding(work=lambda: world.work(shape, "work"), awork=lambda: world.awork(shape, "work"))


def graph(world: World, shape: str) -> Runnable[Any, Any]:
    """A graph of one node, which works."""
    built = StateGraph(MessagesState)
    built.add_node("ask", step(world, shape))
    built.add_edge(START, "ask")
    built.add_edge("ask", END)
    return built.compile()


@dataclass(frozen=True)
class Place:
    """Somewhere to work: what is run, what it is asked, and what works where: below which span."""

    name: str
    make: Callable[[World, str], Runnable[Any, Any]]
    question: Any
    where: dict[str, str]

    def __str__(self) -> str:
        return self.name


PLACES = (
    Place("tool", tool, {}, {"work-look": "execute_tool look"}),
    Place(
        "parallel tools of an agent",
        lambda world, shape: create_agent(
            Calling(calls=("look", "hear")), [tool(world, shape), tool(world, shape, "hear")], name="scout"
        ),
        ASKED,
        {"work-look": "execute_tool look", "work-hear": "execute_tool hear"},
    ),
    Place("node", graph, ASKED, {"work": "invoke_agent LangGraph"}),
    Place("chain", lambda world, shape: step(world, shape) | fake_model(), "Hi", {"work": "RunnableSequence"}),
    Place("end of a chain", lambda world, shape: fake_model() | step(world, shape), "Hi", {"work": "RunnableSequence"}),
    Place("retriever", retriever, "Hi", {"work": "retrieve Finding"}),
    Place(
        "retriever of a chain",
        lambda world, shape: RunnableParallel(found=retriever(world, shape), asked=step(world, shape, "asked")),
        "Hi",
        {"work": "retrieve Finding", "asked": "RunnableParallel<found,asked>"},
    ),
    Place(
        "branches",
        lambda world, shape: RunnableParallel(left=step(world, shape, "left"), right=step(world, shape, "right")),
        "Hi",
        {"left": "RunnableParallel<left,right>", "right": "RunnableParallel<left,right>"},
    ),
)


@pytest.mark.parametrize(
    ("place", "way", "shape", "application"),
    parameters(pairwise((*run, *where) for run in table(PLACES, WAYS) for where in SURROUNDINGS)),
)
@needs_async_context(lambda place, way: place.name.endswith("node") and is_async(way))
async def test_work_inside_of_a_run_hangs_below_its_span(
    outside: World, place: Place, way: Way, shape: str, application: bool
) -> None:
    """Requests, queries and the user's spans: below the tool, agent, pipeline or retriever that they happen in."""
    handler: Any = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, application):
        await way.run(place.make(outside, shape), place.question, {"callbacks": [handler]})
        await outside.awork(shape, "after")
    for name, above in place.where.items():
        assert_worked_below(captured, name, above)
    if application:
        assert_worked_below(captured, "after", "application")
    else:
        assert not [span for span in captured.spans if span.name == "after" and parent_of(captured, span)]
    assert handler.live_runs == 0


@pytest.mark.parametrize("batch", ["batch", "abatch"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_runs_of_a_batch_do_not_mix(outside: World, shape: str, batch: str) -> None:
    """Each input's work hangs below the pipeline of that input."""
    handler: Any = SentryStreamHandler()

    def work(name: str) -> str:
        outside.work(shape, name)
        return name

    async def awork(name: str) -> str:
        await outside.awork(shape, name)
        return name

    chain = RunnableLambda(work, awork) | RunnableLambda(str)
    config: Any = [{"callbacks": [handler], "run_name": f"pipeline of {name}"} for name in "abc"]
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        if batch == "batch":
            chain.batch(["a", "b", "c"], config)
        else:
            await chain.abatch(["a", "b", "c"], config)
    for name in "abc":
        assert_worked_below(captured, name, f"pipeline of {name}")


@in_pairs(shape=WIRE_SHAPES, way=WAYS, inner=(False, True))
async def test_spans_of_concurrent_branches_do_not_nest_in_each_other(shape: str, way: Way, inner: bool) -> None:
    """Two branches that have a span open at the same time: each hangs below the pipeline."""
    handler: Any = SentryStreamHandler()
    threads = threading.Barrier(2, timeout=HANG)
    tasks = [asyncio.Event(), asyncio.Event()]

    def branch(number: int) -> RunnableLambda[Any, Any]:
        def work(given: Any) -> Any:
            threads.wait()
            with child_span(shape, f"branch {number}"):
                threads.wait()
                with child_span(shape, f"below {number}"):
                    threads.wait()
            return given

        async def awork(given: Any) -> Any:
            with child_span(shape, f"branch {number}"):
                tasks[number].set()
                await asyncio.wait_for(tasks[1 - number].wait(), HANG)
                with child_span(shape, f"below {number}"):
                    await asyncio.sleep(0)
            return given

        return RunnableLambda(work, awork)

    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        branches: Runnable[Any, Any] = RunnableParallel(left=branch(0), right=branch(1))
        if inner:
            branches = RunnableLambda(lambda given: given) | branches
        await way.run(branches, "Hi", {"callbacks": [handler]})
    for number in (0, 1):
        assert name_above(captured, f"branch {number}") == (
            "RunnableSequence" if inner else "RunnableParallel<left,right>"
        )
        assert name_above(captured, f"below {number}") == f"branch {number}"


def _threads(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _pool(work: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


@in_pairs(shape=WIRE_SHAPES, way=WAYS, start=(_threads, _pool))
async def test_work_in_a_thread_of_a_tool_hangs_below_the_tool(
    outside: World, shape: str, way: Way, start: Callable[[Callable[[], None]], None]
) -> None:
    """A tool's span is the parent of work in a thread that the tool starts and waits for, with or without a pool."""

    def look() -> str:
        """Look."""
        start(lambda: outside.work(shape, "work"))
        return "seen"

    handler: Any = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        await way.run(StructuredTool.from_function(look), {}, {"callbacks": [handler]})
    assert_worked_below(captured, "work", "execute_tool look")


@in_pairs(shape=BOTH_MODELS, place=[place for place in PLACES if len(place.where) == 1], way=WAYS)
async def test_nesting_can_be_switched_off(outside: World, shape: str, place: Place, way: Way) -> None:
    """With `nesting=False` the parent of what happens in a run is the span that is active without the handler."""
    handler: Any = SentryStreamHandler(nesting=False)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        await way.run(place.make(outside, shape), place.question, {"callbacks": [handler]})
    # Sentry's own integration has a span active around the `invoke` of a graph.
    foreign = [span.name for span in captured.spans if span.op == "gen_ai.invoke_agent" and span.origin == LANGGRAPH]
    for name in place.where:
        assert_worked_below(captured, name, foreign[0] if foreign else "application")
