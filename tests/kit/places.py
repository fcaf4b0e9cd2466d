"""The places where users' code runs inside a run, each as users write it, and the span that it is inside of."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    after_agent,
    after_model,
    before_agent,
    before_model,
    wrap_model_call,
    wrap_tool_call,
)
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import LLM, BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import StructuredTool, tool
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Send

from tests.kit.inside import Calling
from tests.kit.wire import HAS_V3, fake_model

SYNC = ("invoke", "stream")
ASYNC = ("ainvoke", "astream", "events v2")
CHAIN = (*SYNC, *ASYNC)
V3 = ("events v3",) if HAS_V3 else ()
GRAPH_V3 = V3 if "astream_events" in vars(Pregel) else ()
"""Chat models have v3 events since langchain-core 1.4, graphs since LangGraph 1.2, other runnables not at all."""
WAYS = (*CHAIN, *V3)

ASKED = {"messages": [("user", "Hi")]}

Work = Callable[[str], None]
AWork = Callable[[str], Any]


@dataclass(frozen=True)
class Place:
    """A place where users' code runs.

    Args:
        name: What it is.
        make: Makes the runnable, of the work that is to be done there, sync and async.
        parents: The work that is done, and the name of the span that it is inside of.
        question: What the runnable is called with.
        ways: The ways to call it.
    """

    name: str
    make: Callable[[Work, AWork], Runnable[Any, Any]]
    parents: dict[str, str]
    question: Any = "Hi"
    ways: tuple[str, ...] = (*CHAIN, *GRAPH_V3)

    def __str__(self) -> str:
        return self.name


async def run(runnable: Any, way: str, question: Any, config: Any, between: Callable[[], None]) -> None:
    """Call a runnable in one of the ways, and do something between the chunks of a stream."""
    if way == "invoke":
        runnable.invoke(question, config)
    elif way == "stream":
        for _ in runnable.stream(question, config):
            between()
    elif way == "ainvoke":
        await runnable.ainvoke(question, config)
    elif way == "astream":
        async for _ in runnable.astream(question, config):
            between()
    elif way == "events v2":
        async for _ in runnable.astream_events(question, config, version="v2"):
            between()
    else:
        async for _ in await runnable.astream_events(question, config, version="v3"):
            between()


# -- Nodes ------------------------------------------------------------------------------------------------------------


def graph(*nodes: Any, name: str | None = None) -> Any:
    """A graph of nodes one after the other."""
    built: Any = StateGraph(MessagesState)
    names = [START, *(f"node{index}" for index in range(len(nodes))), END]
    for index, node in enumerate(nodes):
        built.add_node(f"node{index}", node)
    for before, after in pairwise(names):
        built.add_edge(before, after)
    return built.compile(name=name)


def function_node(work: Work, awork: AWork) -> Any:
    def node(state: MessagesState) -> dict[str, Any]:
        work("work")
        return {}

    return graph(node)


def async_node(work: Work, awork: AWork) -> Any:
    async def node(state: MessagesState) -> dict[str, Any]:
        await awork("work")
        return {}

    return graph(node)


def object_nodes(work: Work, awork: AWork) -> Any:
    class Step:
        def __call__(self, state: MessagesState) -> dict[str, Any]:
            work("called")
            return {}

        def method(self, state: MessagesState) -> dict[str, Any]:
            work("method")
            return {}

        def partial(self, name: str, state: MessagesState) -> dict[str, Any]:
            work(name)
            return {}

    step = Step()
    return graph(step, step.method, partial(step.partial, "partial"))


def lambda_node(work: Work, awork: AWork) -> Any:
    def node(state: MessagesState) -> dict[str, Any]:
        work("work")
        return {}

    async def anode(state: MessagesState) -> dict[str, Any]:
        await awork("work")
        return {}

    return graph(RunnableLambda(node, anode))


def conditional_edge(work: Work, awork: AWork) -> Any:
    def choose(state: MessagesState) -> str:
        work("work")
        return END

    built: Any = StateGraph(MessagesState)
    built.add_node("node", lambda state: {})
    built.add_edge(START, "node")
    built.add_conditional_edges("node", choose)
    return built.compile()


class Items(TypedDict):
    done: Annotated[list[str], operator.add]


def sent_nodes(work: Work, awork: AWork) -> Any:
    def each(state: Any) -> dict[str, Any]:
        work(state["name"])
        return {"done": [state["name"]]}

    built: Any = StateGraph(Items)
    built.add_node("each", each)
    built.add_conditional_edges(
        START, lambda state: [Send("each", {"name": name}) for name in ("one", "two")], ["each"]
    )
    built.add_edge("each", END)
    return built.compile()


def subgraph_as_node(work: Work, awork: AWork) -> Any:
    return graph(function_node(work, awork), name="outer")


def subgraph_called(work: Work, awork: AWork) -> Any:
    def inside(state: MessagesState) -> dict[str, Any]:
        work("inner")
        return {}

    inner = graph(inside, name="inner")

    def node(state: MessagesState) -> dict[str, Any]:
        inner.invoke(state)
        work("outer")
        return {}

    return graph(node, name="outer")


def functional(work: Work, awork: AWork) -> Any:
    @task
    def step(text: str) -> str:
        work("task")
        return text

    @entrypoint()
    def flow(text: str) -> str:
        work("entrypoint")
        return step(text).result()

    return flow


# -- Tools and middleware ---------------------------------------------------------------------------------------------


def agent_with(tools: list[Any], middleware: Any = (), name: str = "scout") -> Any:
    calls = tuple(each.name for each in tools)
    return create_agent(Calling(calls=calls), tools, middleware=list(middleware), name=name)


def tools(work: Work, awork: AWork) -> Any:
    @tool
    def look() -> str:
        """Look."""
        work("look")
        return "seen"

    @tool
    def hear() -> str:
        """Hear."""
        work("hear")
        return "heard"

    return agent_with([look, hear])


def async_tool(work: Work, awork: AWork) -> Any:
    async def look() -> str:
        """Look."""
        await awork("look")
        return "seen"

    return agent_with([StructuredTool.from_function(coroutine=look, name="look")])


def hooks(work: Work, awork: AWork) -> Any:
    made: list[AgentMiddleware[Any, Any]] = [
        decorate(_named(name, lambda state, runtime, name=name: work(name)))
        for name, decorate in (
            ("before_agent", before_agent),
            ("before_model", before_model),
            ("after_model", after_model),
            ("after_agent", after_agent),
        )
    ]
    return agent_with([], made)


def _named(name: str, function: Callable[..., Any]) -> Any:
    function.__name__ = name
    return function


def wrappers(work: Work, awork: AWork) -> Any:
    @wrap_model_call
    def around_model(request: Any, handler: Any) -> Any:
        work("around_model")
        return handler(request)

    @wrap_tool_call
    def around_tool(request: Any, handler: Any) -> Any:
        work("around_tool")
        return handler(request)

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    class Once(Calling):
        pass

    return create_agent(Once(calls=("look",)), [look], middleware=[around_tool, around_model], name="scout")


# -- Chains -----------------------------------------------------------------------------------------------------------


def step(work: Work, awork: AWork, name: str = "work") -> Any:
    def function(given: Any) -> Any:
        work(name)
        return given

    async def afunction(given: Any) -> Any:
        await awork(name)
        return given

    return RunnableLambda(function, afunction)


def generator(work: Work, awork: AWork) -> Any:
    def function(given: Iterator[Any]) -> Iterator[Any]:
        for each in given:
            work("work")
            yield each

    async def afunction(given: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for each in given:
            await awork("work")
            yield each

    return RunnableLambda(lambda given: given) | RunnableGenerator(function, afunction)


class NoRun(Runnable[Any, Any]):
    """A runnable of the user's own that makes no run of itself."""

    def __init__(self, work: Work, awork: AWork) -> None:
        self.work, self.awork = work, awork

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        self.work("work")
        return input

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        await self.awork("work")
        return input


def in_executor(work: Work, awork: AWork) -> Any:
    async def afunction(given: Any) -> Any:
        await run_in_executor(None, work, "work")
        return given

    return RunnableLambda(lambda given: given, afunction)


def batch_in_a_step(work: Work, awork: AWork) -> Any:
    inner: RunnableLambda[str, None] = RunnableLambda(work)

    def function(given: Any) -> Any:
        inner.batch(["one", "two"])
        return given

    return RunnableLambda(function)


# -- Models and retrievers ---------------------------------------------------------------------------------------------


class SyncOnly(BaseChatModel):
    """A chat model without async methods, as users write them: LangChain calls it in a thread."""

    model_name: str = "working"
    work: Any

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.work("work")
        return ChatResult(generations=[ChatGeneration(message=AIMessage("one two"))])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.work("work")
        for text in ("one ", "two"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))


class Working(SyncOnly):
    """A chat model that works for its answer, with async methods of its own."""

    awork: Any

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await self.awork("work")
        return ChatResult(generations=[ChatGeneration(message=AIMessage("one two"))])

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        await self.awork("work")
        for text in ("one ", "two"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))


class Completing(LLM):
    """A completion model that works for its answer."""

    model_name: str = "completing"
    work: Any
    awork: Any

    @property
    def _llm_type(self) -> str:
        return "openai"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        self.work("work")
        return "one two"

    async def _acall(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        await self.awork("work")
        return "one two"


class Embedding(Embeddings):
    def __init__(self, work: Work) -> None:
        self.work = work

    def embed_query(self, text: str) -> list[float]:
        self.work("embedding")
        return [1.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class Finding(BaseRetriever):
    """A retriever that embeds the query and works."""

    embedding: Any
    work: Any
    awork: Any

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        self.embedding.embed_query(query)
        self.work("work")
        return [Document("found")]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        await asyncio.to_thread(self.embedding.embed_query, query)
        await self.awork("work")
        return [Document("found")]


AGENT = "invoke_agent LangGraph"
SEQUENCE = {"work": "RunnableSequence"}
SCOUT = "invoke_agent scout"

PLACES = (
    Place("node, a function", function_node, {"work": AGENT}, ASKED),
    Place("node, an async function", async_node, {"work": AGENT}, ASKED, (*ASYNC, *GRAPH_V3)),
    Place("node, an object", object_nodes, dict.fromkeys(("called", "method", "partial"), AGENT), ASKED),
    Place("node, a RunnableLambda", lambda_node, {"work": AGENT}, ASKED),
    Place("conditional edge", conditional_edge, {"work": AGENT}, ASKED),
    Place("Send", sent_nodes, {"one": AGENT, "two": AGENT}, {"done": []}),
    Place("sub-graph as a node", subgraph_as_node, {"work": AGENT}, ASKED),
    Place("sub-graph called", subgraph_called, {"inner": "invoke_agent inner", "outer": "invoke_agent outer"}, ASKED),
    Place("entrypoint and task", functional, {"entrypoint": AGENT, "task": AGENT}),
    Place("tools", tools, {"look": "execute_tool look", "hear": "execute_tool hear"}, ASKED),
    Place("async tool", async_tool, {"look": "execute_tool look"}, ASKED, (*ASYNC, *GRAPH_V3)),
    Place(
        "hooks of an agent",
        hooks,
        dict.fromkeys(("before_agent", "before_model", "after_model", "after_agent"), SCOUT),
        ASKED,
    ),
    Place("around a tool", wrappers, {"around_tool": SCOUT}, ASKED, SYNC),
    Place("lambda without a chain", step, {"work": "function"}, ways=CHAIN),
    Place("step of a chain", lambda work, awork: step(work, awork) | fake_model(), SEQUENCE, ways=CHAIN),
    Place(
        "last step of a chain",
        lambda work, awork: RunnablePassthrough() | step(work, awork),
        {"work": "RunnableSequence"},
        ways=CHAIN,
    ),
    Place(
        "branches",
        lambda work, awork: RunnableParallel(left=step(work, awork, "left"), right=step(work, awork, "right")),
        dict.fromkeys(("left", "right"), "RunnableParallel<left,right>"),
        ways=CHAIN,
    ),
    Place("RunnableGenerator", generator, SEQUENCE, ways=CHAIN),
    Place(
        "runnable without a run",
        lambda work, awork: RunnablePassthrough() | NoRun(work, awork),
        {"work": "RunnableSequence"},
        ways=CHAIN,
    ),
    Place("executor", in_executor, {"work": "RunnableLambda"}, ways=ASYNC),
    Place("batch in a step", batch_in_a_step, {"one": "function", "two": "function"}, ways=CHAIN),
    Place("chat model", lambda work, awork: Working(work=work, awork=awork), {"work": "chat working"}, ways=WAYS),
    Place("sync chat model", lambda work, awork: SyncOnly(work=work), {"work": "chat working"}, ways=WAYS),
    Place(
        "chat model in a chain",
        lambda work, awork: RunnablePassthrough() | Working(work=work, awork=awork),
        {"work": "chat working"},
        ways=CHAIN,
    ),
    Place(
        "completion model in a chain",
        lambda work, awork: RunnablePassthrough() | Completing(work=work, awork=awork),
        {"work": "text_completion completing"},
        ways=CHAIN,
    ),
    Place(
        "retriever and embeddings",
        lambda work, awork: Finding(embedding=Embedding(work), work=work, awork=awork),
        {"work": "retrieve Finding", "embedding": "embeddings"},
        ways=SYNC,
    ),
    Place(
        "async retriever",
        lambda work, awork: Finding(embedding=Embedding(lambda name: None), work=work, awork=awork),
        {"work": "retrieve Finding"},
        ways=ASYNC,
    ),
)
"""Every place that `docs/runs.md` promises."""

ALONE = Place(
    "completion model alone",
    lambda work, awork: Completing(work=work, awork=awork),
    {"work": "text_completion completing"},
    ways=SYNC,
)
"""Inside on the sync ways only: LangChain signals an async start in a context that is not the model's."""
