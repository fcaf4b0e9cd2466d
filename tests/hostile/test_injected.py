"""The arguments on a tool's span are what the model asked for, and nothing that LangChain or LangGraph injects."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.tools import InjectedState, InjectedStore, ToolRuntime
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, InjectedToolCallId, StructuredTool, tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, ConfigDict

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, content_allowed

try:  # LangChain 1.0 had a node of its own
    from langchain.tools.tool_node import _ToolNode as ToolNode  # type: ignore[import-not-found, attr-defined, unused-ignore]
except ImportError:
    from langgraph.prebuilt import ToolNode

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # langgraph's, of a context

CANARY = "canary-credential"
ASKED = {"city": "Vienna", "state": "Texas", "config": {"unit": "C"}, "store": "north"}
"""What the model asks for. The names are those of what LangChain injects, but these are the model's."""


@dataclass
class Context:
    credential: str = CANARY


# Annotations are evaluated in this module, so the functions stand at its top.


def by_name(city: str, runtime: Any) -> str:
    """Look."""
    return city


def without_annotation(city: str, runtime) -> str:  # type: ignore[no-untyped-def]
    """Look."""
    return city


def by_class(city: str, runtime: ToolRuntime) -> str:
    """Look."""
    return city


def by_parameters(city: str, runtime: ToolRuntime[Context, Any]) -> str:
    """Look."""
    return city


def by_other_name(city: str, around: ToolRuntime) -> str:
    """Look."""
    return city


def state(city: str, given: Annotated[dict[str, Any], InjectedState]) -> str:
    """Look."""
    return city


def field_of_state(city: str, given: Annotated[list[Any], InjectedState("messages")]) -> str:
    """Look."""
    return city


def store(city: str, given: Annotated[BaseStore, InjectedStore()]) -> str:
    """Look."""
    return city


def call_id(city: str, given: Annotated[str, InjectedToolCallId]) -> str:
    """Look."""
    return city


def config(city: str, config: RunnableConfig) -> str:
    """Look."""
    return city


def everything(
    city: str,
    config: RunnableConfig,
    runtime: ToolRuntime,
    given: Annotated[dict[str, Any], InjectedState],
    shelf: Annotated[BaseStore, InjectedStore],
    id: Annotated[str, InjectedToolCallId],
) -> str:
    """Look."""
    return city


class Arguments(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    city: str
    runtime: ToolRuntime
    given: Annotated[dict[str, Any], InjectedState]


def by_schema(city: str, runtime: Any, given: Any) -> str:
    """Look."""
    return city


def names_of_the_model(city: str, state: str = "", config: Any = None, store: str = "") -> str:
    """Look."""
    return city


class Look(BaseTool):
    name: str = "look"
    description: str = "Look."

    def _run(self, city: str, runtime: ToolRuntime, given: Annotated[dict[str, Any], InjectedState]) -> str:
        return city


async def in_a_coroutine(city: str, runtime: ToolRuntime, given: Annotated[dict[str, Any], InjectedState]) -> str:
    """Look."""
    return city


TOOLS: dict[str, Callable[[], BaseTool]] = {
    **{
        each.__name__: (lambda each=each: StructuredTool.from_function(each, name="look"))  # type: ignore[misc]
        for each in (
            *(by_name, without_annotation, by_class, by_parameters, by_other_name, state, field_of_state),
            *(store, call_id, config, everything, names_of_the_model),
        )
    },
    "decorated": lambda: tool("look")(everything),
    "by schema": lambda: StructuredTool.from_function(by_schema, name="look", args_schema=Arguments),
    "class": Look,
    "coroutine": lambda: StructuredTool.from_function(coroutine=in_a_coroutine, name="look"),
}


def node(made: BaseTool, args: dict[str, Any]) -> Any:
    built: Any = StateGraph(MessagesState, context_schema=Context)
    call = {"name": "look", "args": args, "id": "call-1", "type": "tool_call"}
    built.add_node("model", lambda _: {"messages": [AIMessage("", tool_calls=[call])]})
    built.add_node("tools", ToolNode([made]))
    built.add_edge(START, "model")
    built.add_edge("model", "tools")
    return built.compile(store=InMemoryStore())


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize("shape", BOTH_MODELS)
async def test_arguments_are_what_the_model_asked_for(shape: str, way: str, kind: str) -> None:
    """In whatever way LangGraph injects the state, the store, the runtime or the config: none of it is recorded."""
    if kind == "coroutine" and way == "invoke":
        pytest.skip("an async tool")
    asked = ASKED if kind == "names_of_the_model" else {"city": "Vienna"}
    app = node(TOOLS[kind](), asked)
    settings: Any = {"callbacks": [SentryStreamHandler()], "configurable": {"credential": CANARY}}
    question = {"messages": [("user", CANARY)]}
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        if way == "invoke":
            app.invoke(question, settings, context=Context())
        else:
            await app.ainvoke(question, settings, context=Context())
    span = captured.find(op="gen_ai.execute_tool")
    assert span.attributes["langchain_stream.outcome"] == "completed"
    assert json.loads(span.attributes["gen_ai.tool.call.arguments"]) == asked
    assert CANARY not in str(span.attributes)


def test_an_agent() -> None:
    """The same holds for LangChain's agents."""
    call = {"name": "look", "args": {"city": "Vienna"}, "id": "call-1", "type": "tool_call"}

    class Asking(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self

    model = Asking(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))
    app: Any = create_agent(model, [TOOLS["everything"]()], context_schema=Context, store=InMemoryStore())
    with capture_spans(**content_allowed(True)) as captured:
        app.invoke({"messages": [("user", "Hi")]}, {"callbacks": [SentryStreamHandler()]}, context=Context())
    span = captured.find(op="gen_ai.execute_tool")
    assert json.loads(span.attributes["gen_ai.tool.call.arguments"]) == {"city": "Vienna"}


def mine(city: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Look."""
    return city


def test_the_applications_own_injected_argument() -> None:
    """What the application adds to a model's call, with `InjectedToolArg`, is not what the model asked for."""
    made = StructuredTool.from_function(mine, name="look")
    call = {"name": "look", "args": {"city": "Vienna", "user": CANARY}, "id": "call-1", "type": "tool_call"}
    with capture_spans(**content_allowed(True)) as captured:
        made.invoke(call, {"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.execute_tool")
    assert json.loads(span.attributes["gen_ai.tool.call.arguments"]) == {"city": "Vienna"}
    assert CANARY not in str(span.attributes)


def test_a_tool_that_code_calls() -> None:
    """What code gives to a tool is recorded, whatever its type is."""
    made = StructuredTool.from_function(names_of_the_model, name="look")
    with capture_spans(**content_allowed(True)) as captured:
        made.invoke({"city": "Vienna", "config": Context("mine")}, {"callbacks": [SentryStreamHandler()]})
    assert '"credential": "mine"' in captured.find(op="gen_ai.execute_tool").attributes["gen_ai.tool.call.arguments"]
