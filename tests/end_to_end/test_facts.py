"""What the spans of agents, tools and retrievers tell, on the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Context
from hashlib import sha256
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import ToolException, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs.numbers import number
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit import HANG
from tests.kit.async_context import HAS_ASYNC_CONTEXT, is_async, needs_async_context
from tests.kit.helpers import Clock, handler_on
from tests.kit.trees import ways
from tests.kit.trees.agents import HI, THREAD, agent, agent_in_a_tool, deep, fail, handoff, interrupted
from tests.kit.trees.case import Case, record
from tests.kit.trees.script import Shelf, Tool, actor, calls
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel, active_span, content_allowed

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

PROMPT = ChatPromptTemplate.from_template("{question}")
SCOUT, CHIEF = "invoke_agent scout", "invoke_agent chief"
WHOLE = ways.ainvoke if HAS_ASYNC_CONTEXT else ways.invoke


async def run(
    app: Any,
    asked: Any = HI,
    shape: str = BOTH_MODELS[-1],
    way: ways.Run = WHOLE,
    config: Any = None,
    **handler: Any,
) -> Captured:
    """Run an application once."""
    case = Case("", lambda: app, "", asked=(asked,), config=config or {})
    return await record(case, way, shape, **handler)


def told(captured: Captured, key: str) -> dict[str, list[Any]]:
    """What the spans tell under a key, by their name."""
    found: dict[str, list[Any]] = {}
    for span in captured.spans:
        found.setdefault(span.name, []).append(span.attributes.get(key))
    return found


def usage(span: CapturedSpan) -> tuple[Any, ...]:
    return tuple(span.attributes.get(f"gen_ai.usage.{kind}_tokens") for kind in ("input", "output", "total"))


AGENTS: dict[str, Callable[[], Any]] = {"agent": agent, "in a tool": agent_in_a_tool, "deep": deep, "handoff": handoff}


@pytest.mark.parametrize("way", [ways.invoke, ways.astream], ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_models_and_tools_are_told_their_agent(shape: str, way: ways.Run) -> None:
    """A model's and a tool's span names the agent nearest above it."""
    captured = await run(agent_in_a_tool(), shape=shape, way=way)
    assert told(captured, "gen_ai.agent.name") == {
        CHIEF: ["chief"],
        "chat large": ["chief", "chief"],
        "execute_tool delegate": ["chief"],
        SCOUT: ["scout"],
        "chat small": ["scout", "scout"],
        "execute_tool look": ["scout"],
    }


@pytest.mark.parametrize("way", [ways.invoke, ways.astream], ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_an_agent_sums_up_what_was_used_below(shape: str, way: ways.Run) -> None:
    """An agent's usage is that of every model below it; the old keys, which are added up, are the models' alone."""
    captured = await run(agent_in_a_tool(), shape=shape, way=way)
    assert usage(captured.find(name=SCOUT)) == (22, 14, 36)
    assert usage(captured.find(name=CHIEF)) == (44, 28, 72)
    assert captured.find(name=CHIEF).attributes["langchain_stream.usage_source"] == "provider"
    assert sum(span.attributes.get("ai.total_tokens", 0) for span in captured.spans) == 72


def test_the_details_of_the_tokens_are_summed_up_too() -> None:
    """The conventions want cached and reasoning tokens on the agent as on its models."""
    details = {"input_token_details": {"cache_read": 4}, "output_token_details": {"reasoning": 2}}
    model = ScriptedModel(usage={"input_tokens": 11, "output_tokens": 7, "total_tokens": 18, **details})
    twice: Any = StateGraph(MessagesState).add_node(
        "one", lambda _: {"messages": [model.invoke("1"), model.invoke("2")]}
    )
    with capture_spans() as captured:
        twice.add_edge(START, "one").compile(name="scout").invoke(HI, {"callbacks": [SentryStreamHandler()]})
    attributes = captured.find(name=SCOUT).attributes
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 8
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 4


@pytest.mark.parametrize("allowed", [True, False])
def test_an_agent_has_the_instructions_of_its_own_model(allowed: bool) -> None:
    """The system prompt is on the agent's span, if inputs may be recorded, and not on that of a graph around it."""
    scout = create_agent(actor("Done."), [], system_prompt="You are a scout.", name="scout")
    team = StateGraph(MessagesState).add_node("scout", scout).add_edge(START, "scout").compile(name="team")
    with capture_spans(**content_allowed(allowed)) as captured:
        team.invoke(HI, {"callbacks": [SentryStreamHandler()]})
    found = captured.find(name=SCOUT).attributes.get("gen_ai.system_instructions")
    assert ("You are a scout." in str(found)) is allowed
    assert "gen_ai.system_instructions" not in captured.find(name="invoke_agent team").attributes
    assert (b"a scout" in b"".join(captured.envelopes)) is allowed


def test_the_instructions_of_other_models_are_not_the_agents() -> None:
    """What the model of a tool or of a middleware is instructed to do is on that model's span alone."""
    middleware = pytest.importorskip("langchain.agents.middleware")

    def ask(subject: str) -> str:
        actor("Fine.", name="other").invoke([("system", f"You are a {subject}."), ("user", "Hi")])
        return "Fine."

    class Guarding(middleware.AgentMiddleware):  # type: ignore[misc, name-defined, unused-ignore]
        """Has another model look at each answer."""

        def after_model(self, state: Any, runtime: Any) -> None:
            ask("guard")

    @tool(return_direct=True)
    def look(subject: str) -> str:
        """Ask a translator."""
        return ask("translator")

    scout = create_agent(
        actor(calls("look", subject="sky"), "Done."),
        [look],
        system_prompt="You are a scout.",
        middleware=[Guarding()],
        name="scout",
    )
    with capture_spans(**content_allowed(True)) as captured:
        scout.invoke(HI, {"callbacks": [SentryStreamHandler()]})
    assert captured.find(name=SCOUT).attributes["gen_ai.system_instructions"] == "You are a scout."


async def test_an_agent_names_no_model() -> None:
    """Sentry charges for tokens by the model that a span names, so an agent's span names none."""
    captured = await run(agent())
    assert not {key for key in captured.find(name=SCOUT).attributes if key.endswith(".model") or "model_id" in key}


@pytest.mark.parametrize("inside", ["alone", "in a graph"])
def test_the_tools_of_an_agent_are_its_own(inside: str) -> None:
    """What a middleware offers to another model is not the agent's, and what the agent is offered not its graph's."""
    middleware = pytest.importorskip("langchain.agents.middleware")

    class Choosing(middleware.AgentMiddleware):  # type: ignore[misc, name-defined, unused-ignore]
        """Asks another model, with another tool, which tools there are to be."""

        def before_model(self, state: Any, runtime: Any) -> None:
            actor("Any of them.", name="selector").bind_tools([Tool(name="choose")]).invoke("Which?")

    scout = create_agent(actor("Done."), [Tool(name="look")], middleware=[Choosing()], name="scout")
    team = StateGraph(MessagesState).add_node("scout", scout).add_edge(START, "scout").compile(name="team")
    with capture_spans(**content_allowed(True)) as captured:
        (scout if inside == "alone" else team).invoke(HI, {"callbacks": [SentryStreamHandler()]})
    offered = json.loads(str(captured.find(name=SCOUT).attributes["gen_ai.tool.definitions"]))
    assert [each.get("name") or each["function"]["name"] for each in offered] == ["look"]
    if inside != "alone":
        assert "gen_ai.tool.definitions" not in captured.find(name="invoke_agent team").attributes


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_agent_tells_its_tools_and_what_was_said(shape: str, allowed: bool) -> None:
    """Tools at hand, question and answer are an agent's own as they are a model's, if they may be recorded."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        await WHOLE(agent(), HI, {"callbacks": [SentryStreamHandler()]})
    attributes = captured.find(name=SCOUT).attributes
    told = {key: attributes.get(f"gen_ai.{key}") for key in ("tool.definitions", "input.messages", "output.messages")}
    if not allowed:
        assert told == dict.fromkeys(told)
        assert b"Done." not in b"".join(captured.envelopes)
        return
    read = {key: json.loads(str(value)) for key, value in told.items()}
    assert [each.get("name") or each["function"]["name"] for each in read["tool.definitions"]] == ["look"]
    assert [each["role"] for each in read["input.messages"]] == ["user"]
    assert read["output.messages"][0]["parts"] == [{"type": "text", "content": "Done."}]


@pytest.mark.parametrize("way", ways.WHOLE, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_an_agent_that_ends_with_a_tool_answers_with_its_result(shape: str, way: ways.Run) -> None:
    """With `return_direct` the user gets what the tool returned, and no model says anything after it."""
    app = create_agent(actor(calls("look", subject="it")), [Tool(name="look", return_direct=True)], name="scout")
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await way(app, HI, {"callbacks": [SentryStreamHandler()]})
    called, found = json.loads(captured.find(name=SCOUT).attributes["gen_ai.output.messages"])
    assert (called["role"], called["parts"][0]["type"]) == ("assistant", "tool_call")
    assert found == {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call-1", "result": "IT"}]}


@pytest.mark.parametrize("way", ways.V3, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_a_tool_tells_what_was_called(shape: str, way: ways.Run) -> None:
    """A tool's span tells its name, description and arguments, the id of the call and the result."""
    captured = await run(agent(), shape=shape, way=way)
    attributes = captured.find(op="gen_ai.execute_tool").attributes
    assert attributes["gen_ai.operation.name"] == "execute_tool"
    assert attributes["gen_ai.tool.name"] == "look"
    assert attributes["gen_ai.tool.description"] == "Looks something up."
    assert attributes["langchain_stream.tool_call_id"] == "call-1"
    assert json.loads(attributes["gen_ai.tool.call.arguments"]) == {"subject": "it"}
    assert "IT" in attributes["gen_ai.tool.call.result"]


async def test_without_content_a_tool_tells_no_arguments() -> None:
    """Where content may not be recorded, a tool's arguments and result are not; its name and the result's size are."""
    with capture_spans(**content_allowed(False)) as captured:
        agent().invoke(HI, {"callbacks": [SentryStreamHandler()]})
    attributes = captured.find(op="gen_ai.execute_tool").attributes
    assert attributes["gen_ai.tool.name"] == "look"
    assert {key for key in attributes if "tool.call." in key} == {"gen_ai.tool.call.result.size"}
    assert attributes["gen_ai.tool.call.result.size"] == len("IT")


@pytest.mark.parametrize(
    ("handled", "kind"), [(True, "tool_error"), (False, "ToolException")], ids=["handled", "raised"]
)
async def test_a_tool_that_fails_says_with_what(handled: bool, kind: str) -> None:
    """The span of a tool that failed tells the type of the error, also if the model was told of it instead."""
    app = agent(does=fail, handle_tool_error=handled)
    with capture_spans() as captured, nullcontext() if handled else pytest.raises(ToolException):
        app.invoke(HI, {"callbacks": [SentryStreamHandler()]})
    attributes = captured.find(op="gen_ai.execute_tool").attributes
    assert attributes["error.type"] == kind
    assert attributes["langchain_stream.outcome"] == "failed"
    assert len(captured.events) == (0 if handled else 1)


@pytest.mark.parametrize("way", ways.ANY, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_retriever_counts_its_documents(shape: str, way: ways.Run) -> None:
    """A retriever's span tells its name, how many documents it found, and for what."""
    captured = await run(Shelf(), "Hi", shape, way)
    attributes = captured.find(name="retrieve Shelf").attributes
    assert attributes["langchain_stream.retriever"] == "Shelf"
    assert attributes["langchain_stream.documents"] == 2
    assert attributes["langchain_stream.query"] == "Hi"
    assert "gen_ai.operation.name" not in attributes


@pytest.mark.parametrize("app", AGENTS)
@pytest.mark.parametrize(
    ("config", "conversation"),
    [
        (THREAD, "thread-1"),
        ({"metadata": {"session_id": "session-1"}}, "session-1"),
        ({"metadata": {"conversation_id": "talk-1", "session_id": "session-1"}}, "talk-1"),
        ({"metadata": {"thread_id": 7}}, "7"),
        ({"configurable": {"thread_id": "ann@example.org/1"}}, sha256(b"ann@example.org/1").hexdigest()[:32]),
        ({}, None),
    ],
    ids=["thread", "session", "conversation", "number", "not opaque", "none"],
)
async def test_a_whole_tree_is_of_one_conversation(app: str, config: Any, conversation: str | None) -> None:
    """Every span of a run tells the conversation that it is part of, by an opaque id."""
    captured = await run(AGENTS[app](), config=config)
    assert {span.attributes.get("gen_ai.conversation.id") for span in captured.spans} == {conversation}


async def test_tags_and_chosen_metadata_are_told() -> None:
    """The user's tags and the chosen metadata are told of a run and those below it; LangChain's own tags are not."""
    config = {"tags": ["shop"], "metadata": {"tenant": "acme", "plan": "gold"}}
    captured = await run(agent(), config=config, metadata_keys=["tenant", "missing"])
    for span in captured.spans:
        assert span.attributes["langchain_stream.tags"] == ["shop"]
        labels = {key: value for key, value in span.attributes.items() if ".metadata." in key}
        assert labels == {"langchain_stream.metadata.tenant": "acme"}


async def test_without_content_there_are_no_tags() -> None:
    """Tags and metadata are the user's own words: they are told only where inputs are."""
    with capture_spans(**content_allowed(False)) as captured:
        handler = SentryStreamHandler(metadata_keys=["tenant"])
        config: Any = {"callbacks": [handler], "tags": ["shop"], "metadata": {"tenant": "acme"}}
        agent().invoke(HI, config)
    assert not {key for span in captured.spans for key in span.attributes if "tags" in key or ".metadata." in key}


@pytest.mark.parametrize("way", ways.WHOLE, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_later_attempts_are_numbered(shape: str, way: ways.Run) -> None:
    """Of a call that is retried, the first attempt has no number and the later ones have theirs."""
    model = actor(ValueError("busy"), ValueError("busy"), "Yes.").with_retry(wait_exponential_jitter=False)
    captured = await run(PROMPT | model, {"question": "Hi"}, shape, way)
    assert told(captured, "langchain_stream.attempt") == {"demo": [None], "chat small": [None, 2, 3]}
    assert told(captured, "error.type")["chat small"] == ["ValueError", "ValueError", None]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_later_attempts_of_a_model_that_has_the_handler_to_itself_are_numbered(shape: str) -> None:
    """So it is where the handler is the model's own and sees nothing above it, below a span of the application's."""
    model = actor(ValueError("busy"), ValueError("busy"), "Yes.")
    model.callbacks = [SentryStreamHandler()]
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
        model.with_retry(wait_exponential_jitter=False).invoke("Hi")
    calls = captured.find_all(op="gen_ai.chat")
    assert [call.attributes.get("langchain_stream.attempt") for call in calls] == [None, 2, 3]


async def test_an_attempt_of_a_chain_is_one_of_what_is_in_it() -> None:
    """Where a chain is retried, what runs inside is told the attempt of the chain."""
    retried = (Shelf() | RunnableLambda(str) | actor(ValueError("busy"), "Yes.")).with_retry(
        wait_exponential_jitter=False
    )
    captured = await run(RunnableLambda(str) | retried, "Hi")
    assert told(captured, "langchain_stream.attempt") == {
        "demo": [None],
        "retrieve Shelf": [None, 2],
        "chat small": [None, 2],
    }


@pytest.mark.parametrize("way", ways.ANY, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_fallbacks_count_what_failed_before(shape: str, way: ways.Run) -> None:
    """A fallback tells how many calls failed before it, also from within a chain; the first call tells nothing."""
    second = PROMPT | actor(ValueError("full"), name="second")
    first = PROMPT | actor(ValueError("busy"), name="first")
    app = first.with_fallbacks([second, PROMPT | actor("Yes.", name="third")])
    captured = await run(RunnableLambda(lambda question: question) | app, {"question": "Hi"}, shape, way)
    assert told(captured, "langchain_stream.fallback") == {
        "demo": [None],
        "chat first": [None],
        "chat second": [1],
        "chat third": [2],
    }


@pytest.mark.parametrize("way", ways.ANY, ids=lambda way: way.__name__)
@pytest.mark.parametrize("in_chain", [False, True])
@needs_async_context(lambda way: is_async(way))
async def test_a_fallback_with_fallbacks_counts_what_failed_before_it(in_chain: bool, way: ways.Run) -> None:
    """What failed before the outer fallback counts for the calls of the inner ones, too."""
    second = actor(ValueError("full"), name="second").with_fallbacks([actor("Yes.", name="third")])
    app = (PROMPT | actor(ValueError("busy"), name="first")).with_fallbacks([PROMPT | second])
    captured = await run(
        RunnableLambda(lambda question: question) | app if in_chain else app, {"question": "Hi"}, way=way
    )
    found = told(captured, "langchain_stream.fallback")
    assert [found[f"chat {name}"] for name in ("first", "second", "third")] == [[None], [1], [2]]


def test_a_step_beside_a_fallback_is_none() -> None:
    """A branch that starts while the fallback of another one is running does not run because something failed."""
    is_running, may_go_on = Event(), Event()

    def wait(number: int) -> None:
        is_running.set()
        may_go_on.wait(HANG)

    one = actor(ValueError("busy"), name="first").with_fallbacks([ScriptedModel(model_name="slow", before=wait)])
    two: Any = RunnableLambda(lambda text: text if is_running.wait(HANG) else "") | actor("Yes.", name="other")
    app: Any = RunnableParallel(one=one, two=two | RunnableLambda(lambda _: may_go_on.set()))
    with capture_spans() as captured:
        app.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    found = told(captured, "langchain_stream.fallback")
    assert [found[f"chat {name}"] for name in ("first", "slow", "other")] == [[None], [1], [None]]


def _refuse(_: int) -> None:
    raise ValueError("busy")


# `abatch` starts its runs in tasks of their own, where only the name tells a call with fallbacks.
@pytest.mark.parametrize(("way", "name"), [("batch", None), ("batch", "ask"), ("abatch", None)])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_fallbacks_of_a_batch_count_what_failed_before(shape: str, way: str, name: str | None) -> None:
    """Each call of a batch tells what failed before it, also if the call with fallbacks has a name of its own."""
    app: Any = ScriptedModel(before=_refuse).with_fallbacks([ScriptedModel()])
    if name is not None:
        app = app.with_config(run_name=name)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        done = getattr(app, way)(["Hi", "Ho"], {"callbacks": [SentryStreamHandler()]})
        if way == "abatch":
            await done
    calls = captured.find_all(op="gen_ai.chat")
    facts = [each.attributes for each in calls]
    said = [(told["langchain_stream.outcome"], told.get("langchain_stream.fallback")) for told in facts]
    assert sorted(said, key=str) == [("completed", 1), ("completed", 1), ("failed", None), ("failed", None)]


@pytest.mark.parametrize("way", ways.V3, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_an_interrupt_is_told(shape: str, way: ways.Run) -> None:
    """A tool that waits for a human, and its agent, came to their end and say why; resumed, they say nothing."""
    app = interrupted()
    first = await run(app, shape=shape, way=way, config=THREAD)
    for span in (first.find(name=SCOUT), first.find(op="gen_ai.execute_tool")):
        assert span.attributes["langchain_stream.control"] == "interrupt"
        assert span.attributes["langchain_stream.outcome"] == "completed"
        assert "error.type" not in span.attributes
    assert first.events == []
    second = await run(app, Command(resume="yes"), shape, way, THREAD)
    assert {each for values in told(second, "langchain_stream.control").values() for each in values} == {None}


@pytest.mark.parametrize("way", ways.V3, ids=lambda way: way.__name__)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_a_handoff_is_told(shape: str, way: ways.Run) -> None:
    """The agent that hands over came to its end and says so; the one that goes on and the graph of both do not."""
    captured = await run(handoff(), shape=shape, way=way)
    control = told(captured, "langchain_stream.control")
    assert control[SCOUT] == ["handoff"]
    assert control["invoke_agent clerk"] == control["invoke_agent office"] == [None]
    assert {span.attributes["langchain_stream.outcome"] for span in captured.spans} == {"completed"}


async def test_a_tree_that_opens_is_not_idle() -> None:
    """What another thread starts, while a tree opens, does not end that tree, however long the process has run."""
    runs = [uuid4(), uuid4()]
    started: list[Any] = []

    def meanwhile(_: object) -> float:
        if len(handler._runs) == 1:
            started.append(Context().run(handler.on_chain_start, {}, {}, run_id=runs[1]))
        return 1.0

    handler = handler_on(Clock(1e6))
    with capture_spans(traces_sampler=meanwhile):
        await handler.on_chain_start({}, {}, run_id=runs[0], name="LangGraph")
        assert [handler._runs.get(number(run_id)) is not None for run_id in runs] == [True, True]
    assert len(started) == 1


def test_a_tools_result_tells_the_id_of_the_call() -> None:
    """Where LangChain does not tell it at the start, as langchain-core 1.0, the id of the call is the result's."""
    handler: Any = SentryStreamHandler()
    run_id = uuid4()
    with capture_spans() as captured:
        handler.on_tool_start({"name": "look"}, "it", run_id=run_id)
        handler.on_tool_end(ToolMessage("IT", tool_call_id="call-1"), run_id=run_id)
    assert captured.find(op="gen_ai.execute_tool").attributes["langchain_stream.tool_call_id"] == "call-1"
