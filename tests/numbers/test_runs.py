"""Ways of running: how what LangChain and LangGraph signal, or do not, ends up on the spans."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from inspect import signature
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents import middleware as middlewares
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.embeddings import FakeEmbeddings
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, RetryPolicy

from sentry_langchain_stream import SentryStreamHandler, watch_runs
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG
from tests.kit.absent import needs
from tests.kit.async_context import needs_async_context
from tests.kit.helpers import Clock, handler_on
from tests.kit.trees.agents import HI, THREAD, handoff, interrupted
from tests.kit.trees.script import USAGE, Tool, actor, calls
from tests.kit.trees.ways import settled
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel, content_allowed
from tests.numbers.kit import Says, ask, says, tokens

KEYS = ("attempt", "fallback", "control", "outcome")


def told(captured: Captured, *ops: str) -> list[dict[str, Any]]:
    """What the spans with these ops have under `KEYS`, in the order of their start."""
    spans = sorted((span for span in captured.spans if span.op in ops), key=lambda span: span.start)
    read = [{key: span.attributes.get(f"langchain_stream.{key}") for key in KEYS} for span in spans]
    return [{key: value for key, value in each.items() if value is not None} for each in read]


async def run(app: Any, way: str, shape: str = BOTH_MODELS[-1], asked: Any = HI, **config: Any) -> Captured:
    handler = SentryStreamHandler()
    configured = {**config, "callbacks": [handler]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if way == "ainvoke":
            await app.ainvoke(asked, configured)
        elif way == "astream":
            async for _ in app.astream(asked, configured):
                pass
        else:
            app.invoke(asked, configured)
        await settled(handler)
    assert handler.live_runs == 0
    return captured


WAYS = pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
SHAPES = pytest.mark.parametrize("shape", BOTH_MODELS)
async_nodes = needs_async_context(lambda way: way != "invoke")

# -- Attempts and fallbacks ----------------------------------------------------------------------------------------


def middleware(name: str, *arguments: Any, **options: Any) -> list[Any]:
    """A middleware that this version of langchain may not have."""
    found = getattr(middlewares, name, None)
    if found is None:
        pytest.skip(f"needs {name}, which this version of langchain does not have")
    return [found(*arguments, **options)]


QUICK: Any = {"max_retries": 2, "initial_delay": 0, "jitter": False}


def retried_node() -> Any:
    model = actor(ValueError("no"), "Done.")

    def node(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [model.invoke(state["messages"], config)]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("ask", node, retry_policy=RetryPolicy(initial_interval=0, jitter=False, retry_on=ValueError))
    graph.add_edge(START, "ask")
    return graph.compile()


def retried_task() -> Any:
    model = actor(ValueError("no"), "Done.")

    def ask(messages: Any) -> Any:
        return model.invoke(messages)

    policy = RetryPolicy(initial_interval=0, jitter=False, retry_on=ValueError)
    asking: Any = task(ask, retry_policy=policy)  # type: ignore[call-overload, unused-ignore]

    @entrypoint()
    def flow(state: Any) -> Any:
        return {"messages": [asking(state["messages"]).result()]}

    return flow


def retried_tool() -> Any:
    failures = iter([ValueError("no")])

    def does(subject: str) -> str:
        for failure in failures:
            raise failure
        return subject

    tools = [Tool(name="look", does=does)]
    return create_agent(
        actor(calls("look", subject="it"), "Done."), tools, middleware=middleware("ToolRetryMiddleware", **QUICK)
    )


FAILED, COMPLETED = {"outcome": "failed"}, {"outcome": "completed"}
REPEATED: dict[str, tuple[Callable[[], Any], str, list[dict[str, Any]]]] = {
    "ModelRetryMiddleware": (
        lambda: create_agent(
            actor(ValueError("no"), ValueError("no"), "Done."),
            [],
            middleware=middleware("ModelRetryMiddleware", **QUICK),
        ),
        "gen_ai.chat",
        [FAILED, {"attempt": 2, **FAILED}, {"attempt": 3, **COMPLETED}],
    ),
    "ModelFallbackMiddleware": (
        lambda: create_agent(
            actor(ValueError("no")),
            [],
            middleware=middleware(
                "ModelFallbackMiddleware", actor(ValueError("no"), name="large"), actor("Done.", name="huge")
            ),
        ),
        "gen_ai.chat",
        [FAILED, {"fallback": 1, **FAILED}, {"fallback": 2, **COMPLETED}],
    ),
    "ModelFallbackMiddleware, another provider": (
        lambda: create_agent(
            actor(ValueError("no")),
            [],
            middleware=middleware(
                "ModelFallbackMiddleware", actor("Done.").model_copy(update={"metadata": {"ls_provider": "azure"}})
            ),
        ),
        "gen_ai.chat",
        [FAILED, {"fallback": 1, **COMPLETED}],
    ),
    "ToolRetryMiddleware": (retried_tool, "gen_ai.execute_tool", [FAILED, {"attempt": 2, **COMPLETED}]),
    "RetryPolicy": (retried_node, "gen_ai.chat", [FAILED, {"attempt": 2, **COMPLETED}]),
    "RetryPolicy of a task": (retried_task, "gen_ai.chat", [FAILED, {"attempt": 2, **COMPLETED}]),
}


@WAYS
@SHAPES
@pytest.mark.parametrize("kind", REPEATED)
@async_nodes
async def test_what_a_graph_tries_again_is_an_attempt(shape: str, kind: str, way: str) -> None:
    """Middleware and retry policies leave no mark on the runs that they repeat; the repeated work shows them."""
    make, op, expected = REPEATED[kind]
    captured = await run(make(), way, shape)
    if op == "gen_ai.execute_tool" and any(
        span.op == op and "langchain_stream.tool_call_id" not in span.attributes for span in captured.spans
    ):
        pytest.skip("this version of langchain-core gives a tool the id of its call only with its result")
    assert told(captured, op) == expected


@pytest.mark.skipif("timeout" not in signature(StateGraph.add_node).parameters, reason="needs langgraph 1.2")
async def test_a_node_that_runs_again_after_its_time_was_over_is_an_attempt() -> None:
    """LangGraph cancels a node that takes too long, and the retry policy of the node has it run again."""
    times = iter([True, False])

    async def node(state: Any, config: RunnableConfig) -> Any:
        model = actor("Done.")
        if next(times):
            await model.ainvoke(state["messages"], config)
            await asyncio.Event().wait()
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    graph: Any = StateGraph(MessagesState)
    policy = RetryPolicy(initial_interval=0.1, jitter=False)  # the end of the first try is told a little later
    graph.add_node("ask", node, timeout=0.2, retry_policy=policy)
    graph.add_edge(START, "ask")
    assert told(await run(graph.compile(), "ainvoke"), "gen_ai.chat") == [COMPLETED, {"attempt": 2, **COMPLETED}]


@pytest.mark.skipif("timeout" not in signature(task).parameters, reason="needs langgraph 1.2")
@needs_async_context(lambda: True)
async def test_a_task_that_runs_again_after_its_time_was_over_is_an_attempt() -> None:
    """The same of a task of the functional API."""
    times = iter([True, False])

    async def ask(messages: Any) -> Any:
        answer = await actor("Done.").ainvoke(messages)
        if next(times):
            await asyncio.Event().wait()
        return answer

    options: Any = {"timeout": 0.2, "retry_policy": RetryPolicy(initial_interval=0.1, jitter=False)}
    asking: Any = task(ask, **options)

    @entrypoint()
    async def flow(state: Any) -> Any:
        return {"messages": [await asking(state["messages"])]}

    assert told(await run(flow, "ainvoke"), "gen_ai.chat") == [COMPLETED, {"attempt": 2, **COMPLETED}]


async def test_what_has_the_name_of_its_task_is_no_attempt_at_it() -> None:
    """A chain in a task may have the task's name; after one of these has failed, the next one is other work."""

    def ask(messages: Any) -> Any:
        for model in (actor(ValueError("no")), actor("Done.")):
            with suppress(ValueError):
                RunnableLambda[Any, Any](model.invoke, name="ask").invoke(messages)
        return "Done."

    asking: Any = task(ask)

    @entrypoint()
    def flow(state: Any) -> Any:
        return {"messages": [asking(state["messages"]).result()]}

    assert told(await run(flow, "invoke"), "gen_ai.chat") == [FAILED, COMPLETED]


def image(data: str) -> list[Any]:
    """A question about an image, whose text is always the same."""
    blocks: list[Any] = [{"type": "text", "text": "What is it?"}]
    return [HumanMessage([*blocks, {"type": "image", "base64": data, "mime_type": "image/png"}])]


@SHAPES
@pytest.mark.parametrize(
    ("first", "second"),
    [("rate Ann", "rate Bob"), (image("AAAA"), image("BBBB")), ("Another", "The second question, which is long")],
    ids=["texts as long", "images", "another text"],
)
async def test_other_work_after_a_failure_is_no_attempt(shape: str, first: Any, second: Any) -> None:
    """A model that is asked something else in the same node is a first attempt, however much the two are alike."""
    model = actor(ValueError("no"), "Done.")

    def node(state: Any, config: RunnableConfig) -> Any:
        with pytest.raises(ValueError, match="no"):
            model.invoke(first, config)
        return {"messages": [model.invoke(second, config)]}

    assert told(await run(graph_of(node), "invoke", shape), "gen_ai.chat") == [FAILED, COMPLETED]


@SHAPES
async def test_the_same_work_after_a_success_is_no_attempt(shape: str) -> None:
    """What failed before a success is over: the same question again is asked for a reason of its own."""
    model = actor(ValueError("no"), "Yes.", "Done.")

    def node(state: Any, config: RunnableConfig) -> Any:
        with pytest.raises(ValueError, match="no"):
            model.invoke("Hi", config)
        return {"messages": [model.invoke("Hi", config), model.invoke("Hi", config)]}

    captured = await run(graph_of(node), "invoke", shape)
    assert told(captured, "gen_ai.chat") == [FAILED, {"attempt": 2, **COMPLETED}, COMPLETED]


@SHAPES
@pytest.mark.parametrize("question", ["A", "Z"])
async def test_a_call_after_one_with_fallbacks_is_no_fallback(shape: str, question: str) -> None:
    """A model that is called in the same node after a fallback has answered is no fallback itself."""
    model = actor(ValueError("no")).with_fallbacks([actor("Yes.", name="large")])
    other = actor("Done.", name="huge")

    def node(state: Any, config: RunnableConfig) -> Any:
        return {"messages": [model.invoke("A", config), other.invoke(question, config)]}

    captured = await run(graph_of(node), "invoke", shape)
    assert told(captured, "gen_ai.chat") == [FAILED, {"fallback": 1, **COMPLETED}, COMPLETED]


@SHAPES
async def test_embeddings_after_a_failure_are_no_attempts(shape: str) -> None:
    """The texts of an embedding model are not compared."""
    times = iter([True, False])

    class Failing(FakeEmbeddings):
        def embed_query(self, text: str) -> list[float]:
            if next(times):
                raise ValueError("no")
            return super().embed_query(text)

    def node(state: Any) -> Any:
        with pytest.raises(ValueError, match="no"):
            model.embed_query("A")
        model.embed_query("B")
        return {}

    model = Failing(size=3)
    assert told(await run(graph_of(node), "invoke", shape), "gen_ai.embeddings") == [FAILED, COMPLETED]


@WAYS
@SHAPES
@pytest.mark.parametrize("name", [None, "answer"])
@async_nodes
async def test_a_fallback_is_one_whatever_its_run_is_called(shape: str, way: str, name: str | None) -> None:
    """`with_config(run_name=...)` hides that it is a call with fallbacks."""
    app: Any = actor(ValueError("no")).with_fallbacks([actor("Done.", name="large")])
    app = RunnableLambda(lambda state: state["messages"]) | (app.with_config(run_name=name) if name else app)
    assert told(await run(app, way, shape), "gen_ai.chat") == [FAILED, {"fallback": 1, **COMPLETED}]


@pytest.mark.parametrize("name", [None, "answer"])
@SHAPES
def test_a_sync_stream_with_fallbacks_that_is_left_ends(shape: str, name: str | None) -> None:
    """If the consumer leaves at the first chunk, LangChain does not end the call with fallbacks."""
    app: Any = ScriptedModel().with_fallbacks([ScriptedModel()])
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = (app.with_config(run_name=name) if name else app).stream("Hi", {"callbacks": [handler]})
        next(stream)
        stream.close()
        assert handler.live_runs == 0
    assert told(captured, "gen_ai.chat") == [{"outcome": "abandoned"}]


# -- Control -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stream", "astream"])
@SHAPES
@needs_async_context(lambda way: way == "astream")
async def test_an_agent_that_is_left_at_its_interrupt_waits_for_a_human(shape: str, way: str) -> None:
    """The consumer leaves the stream at `__interrupt__`: the agent has been left, and it waits."""
    handler = SentryStreamHandler()
    config: Any = {**THREAD, "callbacks": [handler]}
    app = interrupted()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        if way == "stream":
            stream = app.stream(HI, config)
            for update in stream:
                if "__interrupt__" in update:
                    break
            stream.close()
        else:
            astream = app.astream(HI, config)
            async for update in astream:
                if "__interrupt__" in update:
                    break
            await astream.aclose()
        await settled(handler)
    (agent,) = told(captured, "gen_ai.invoke_agent")
    assert agent["control"] == "interrupt"


STATIC = {"interrupt_before": ["tools"], "interrupt_after": ["model"]}


@WAYS
@SHAPES
@pytest.mark.parametrize("kind", STATIC)
@needs("langgraph.callbacks")
@async_nodes
async def test_an_agent_that_stops_at_a_node_waits_for_a_human(shape: str, kind: str, way: str) -> None:
    """`interrupt_before` and `interrupt_after` raise nothing that LangChain would signal."""
    options: Any = {kind: STATIC[kind], "checkpointer": InMemorySaver()}
    app = create_agent(actor(calls("look", subject="it"), "Done."), [Tool(name="look")], **options)
    captured = await run(app, way, shape, **THREAD)
    assert told(captured, "gen_ai.invoke_agent") == [{"control": "interrupt", **COMPLETED}]


@WAYS
@SHAPES
@async_nodes
async def test_a_tool_that_returns_a_command_to_its_parent_hands_over(shape: str, way: str) -> None:
    """`Command(graph=Command.PARENT)` is returned, not raised; the agent that hands off is told so as before."""
    captured = await run(handoff(), way, shape)
    assert told(captured, "gen_ai.execute_tool") == [{"control": "handoff", **COMPLETED}]
    controls = [each.get("control") for each in told(captured, "gen_ai.invoke_agent")]
    assert controls == [None, "handoff", None]


async def test_a_command_within_the_graph_is_no_handoff() -> None:
    """A command that goes to a node of the same graph hands over to nobody."""
    found = ToolMessage("Found.", tool_call_id="call-1")
    tools = [Tool(name="look", does=lambda subject: Command(update={"messages": [found]}))]
    captured = await run(create_agent(actor(calls("look", subject="it"), "Done."), tools), "invoke")
    assert told(captured, "gen_ai.execute_tool", "gen_ai.invoke_agent") == [COMPLETED, COMPLETED]


# -- Calls that a node does not wait for ---------------------------------------------------------------------------


def graph_of(node: Any) -> Any:
    graph: Any = StateGraph(MessagesState)
    graph.add_node("ask", node)
    graph.add_edge(START, "ask")
    return graph.compile()


class Held(Says):
    """Answers as a whole, when it is let go."""

    gate: Any = None
    begun: Any = None

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self.begun.set()
        await self.gate.wait()
        return self._generate(*args)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.gate, threading.Event):
            self.begun.set()
            assert self.gate.wait(HANG)
        return super()._generate(*args, **kwargs)


ANSWER = AIMessage("Done.", usage_metadata=USAGE)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_a_call_in_a_nodes_background_task_completes_after_its_graph(shape: str) -> None:
    """It is a late child like any other: completed, with its tokens, below the graph's span."""
    model = Held(messages=[ANSWER], gate=asyncio.Event(), begun=asyncio.Event())
    tasks: list[asyncio.Task[Any]] = []

    async def node(state: Any, config: RunnableConfig) -> Any:
        tasks.append(asyncio.create_task(model.ainvoke("Hi", config)))
        await model.begun.wait()
        return {}

    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await graph_of(node).ainvoke(HI, {"callbacks": [handler]})
        assert handler.live_runs == 1
        model.gate.set()
        await tasks[0]
        await settled(handler)
    span = captured.find(op="gen_ai.chat")
    agent = captured.find(op="gen_ai.invoke_agent")
    assert told(captured, "gen_ai.chat") == told(captured, "gen_ai.invoke_agent") == [COMPLETED]
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((11, 7, 18), "provider")
    assert (span.trace_id, span.parent_id) == (agent.trace_id, agent.span_id)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_call_in_a_nodes_thread_completes_after_its_graph(shape: str) -> None:
    """The same in a thread."""
    model = Held(messages=[ANSWER], gate=threading.Event(), begun=threading.Event())
    threads: list[threading.Thread] = []

    def node(state: Any, config: RunnableConfig) -> Any:
        threads.append(threading.Thread(target=model.invoke, args=("Hi", config)))
        threads[0].start()
        assert model.begun.wait(HANG)
        return {}

    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        graph_of(node).invoke(HI, {"callbacks": [handler]})
        model.gate.set()
        threads[0].join(HANG)
        assert handler.live_runs == 0
    assert told(captured, "gen_ai.chat") == [COMPLETED]
    assert tokens(captured.find(op="gen_ai.chat")) == (11, 7, 18)


@needs_async_context()
async def test_a_call_that_a_later_node_waits_for_counts_for_its_agent() -> None:
    """A call that one node starts and another waits for belongs to the agent, which sums it up."""
    model = Held(messages=[ANSWER], gate=asyncio.Event(), begun=asyncio.Event())
    tasks: list[asyncio.Task[Any]] = []

    async def start(state: Any, config: RunnableConfig) -> Any:
        tasks.append(asyncio.create_task(model.ainvoke("Hi", config)))
        await model.begun.wait()
        return {}

    async def wait(state: Any) -> Any:
        model.gate.set()
        return {"messages": [await tasks[0]]}

    graph: Any = StateGraph(MessagesState)
    graph.add_node("start", start)
    graph.add_node("wait", wait)
    graph.add_edge(START, "start")
    graph.add_edge("start", "wait")
    captured = await run(graph.compile(), "ainvoke")
    assert told(captured, "gen_ai.chat") == [COMPLETED]
    assert captured.find(op="gen_ai.invoke_agent").attributes["gen_ai.usage.total_tokens"] == 18


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_a_hedged_call_is_cancelled(shape: str) -> None:
    """The slower of two calls is cancelled as its node ends, with no time to say so before the node's end."""
    slow = Held(messages=[ANSWER], gate=asyncio.Event(), begun=asyncio.Event())
    quick = says(ANSWER)

    async def node(state: Any, config: RunnableConfig) -> Any:
        hedge = asyncio.create_task(slow.ainvoke("Hi", config))
        await slow.begun.wait()
        answer = await quick.ainvoke("Hi", config)
        hedge.cancel()
        return {"messages": [answer]}

    captured = await run(graph_of(node), "ainvoke", shape)
    assert told(captured, "gen_ai.invoke_agent") == [COMPLETED]
    assert told(captured, "gen_ai.chat") == [{"outcome": "cancelled"}, COMPLETED]


# -- Silence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_silence_at_the_end_of_a_stream_is_recorded(shape: str) -> None:
    """A stream that stalls and is then left has no longest gap that shows it: the last one has no second chunk."""
    clock = Clock()
    model: Any = ScriptedModel(before=lambda number: clock.advance(0.03))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = model.stream("Hi", {"callbacks": [handler_on(clock)]})
        next(stream)
        next(stream)
        clock.advance(1.5)
        stream.close()
    attributes = captured.find(op="gen_ai.chat").attributes
    assert attributes["langchain_stream.longest_gap"] == pytest.approx(0.03)
    assert attributes["langchain_stream.final_silence"] == pytest.approx(1.5)


def test_a_stream_without_chunks_has_no_final_silence() -> None:
    """Silence is after something."""
    assert "langchain_stream.final_silence" not in ask(says(ANSWER)).attributes


# -- The config ----------------------------------------------------------------------------------------------------


@WAYS
@SHAPES
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
@async_nodes
async def test_the_session_of_a_message_history_is_the_conversation(shape: str, way: str) -> None:
    """langchain-core 1.8 keeps the `configurable` values out of the metadata; the config has them."""
    chain = RunnableLambda(lambda messages: messages) | actor("Done.")
    app = RunnableWithMessageHistory(chain, lambda session_id: InMemoryChatMessageHistory())
    captured = await run(app, way, shape, [("user", "Hi")], configurable={"session_id": "session-1"})
    conversations = {span.name: span.attributes.get("gen_ai.conversation.id") for span in captured.spans}
    assert set(conversations.values()) == {"session-1"}


@SHAPES
def test_chosen_values_of_the_config_are_recorded(shape: str) -> None:
    """By the allow-list only, and only as plain values."""
    handler = SentryStreamHandler(metadata_keys=["plan", "client"])
    config: Any = {"configurable": {"plan": "free", "secret": "hush", "client": object()}, "callbacks": [handler]}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        (RunnableLambda(str) | actor("Done.")).invoke("Hi", config)
    for span in captured.spans:
        assert span.attributes["langchain_stream.metadata.plan"] == "free"
        assert "langchain_stream.metadata.client" not in span.attributes
    assert b"hush" not in b"".join(captured.envelopes)


# -- Costs ---------------------------------------------------------------------------------------------------------


class Perplexity(Says):
    """Perplexity's, as LangChain names it."""

    def _get_ls_params(self, *args: Any, **kwargs: Any) -> Any:
        return {"ls_provider": "perplexity", "ls_model_name": "sonar", "ls_model_type": "chat"}


@needs("genai_prices")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_fee_of_a_request_is_beside_the_cost_of_its_tokens(shape: str) -> None:
    """The total is that of the tokens, which is what its key says; Perplexity's fee per search has a key of its own."""
    usage: Any = {"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500}
    with watch_runs() as runs:
        span = ask(Perplexity(messages=[AIMessage("Done.", usage_metadata=usage)]), shape=shape, cost=True)
    cost = {key: span.attributes[f"gen_ai.cost.{key}_tokens"] for key in ("input", "output", "total")}
    assert cost["total"] == pytest.approx(cost["input"] + cost["output"])
    assert span.attributes["langchain_stream.request_fee"] == pytest.approx(0.012)
    assert runs.cost == runs[0].cost == pytest.approx(cost["total"] + 0.012)  # which a bill is made of
