"""Cases at the edges of a run: work that starts inside a model, many branches at once, spans that cross runs."""

from __future__ import annotations

import threading
from typing import Annotated, Any, TypedDict

import pytest
import sentry_sdk
from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, LLMResult
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG
from tests.kit.wire import WIRE_SHAPES, active_span, child_span

shapes = pytest.mark.parametrize("shape", WIRE_SHAPES)


def parent(captured: Captured, name: str) -> str | None:
    """The name of the parent of the only span of this name."""
    span = captured.find(name=name)
    return next((each.name for each in captured.spans if each.span_id == span.parent_id), None)


@shapes
def test_a_tool_that_a_model_calls_keeps_what_it_does(shape: str) -> None:
    """LangChain names the tool's run and not the model's: the innermost of the two is the tool."""

    @tool
    def look() -> str:
        """Look."""
        with child_span(shape, "in the tool"):
            return "seen"

    class Calling(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "openai-chat"

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            look.invoke({})
            with child_span(shape, "in the model"):
                pass
            return ChatResult(generations=[ChatGeneration(message=AIMessage("done"))])

    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
        (RunnableLambda(str) | Calling()).invoke("Hi", config)
    assert parent(captured, "in the tool") == "execute_tool look"
    assert parent(captured, "in the model") == captured.find(op="gen_ai.chat").name


@shapes
def test_a_hundred_branches_keep_their_spans_apart(shape: str) -> None:
    """Each branch has a span open while all the others open theirs: what it opens next is a child of its own."""
    barrier = threading.Barrier(100, timeout=HANG)

    class State(TypedDict):
        done: Annotated[list[int], lambda one, other: one + other]

    def node(state: Any) -> dict[str, Any]:
        with child_span(shape, f"outer{state['number']}"):
            barrier.wait()
            with child_span(shape, f"inner{state['number']}"):
                barrier.wait()
        return {"done": [state["number"]]}

    built: Any = StateGraph(State)
    built.add_node("node", node)
    built.add_conditional_edges(START, lambda state: [Send("node", {"number": n}) for n in range(100)], ["node"])
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        config: Any = {"callbacks": [SentryStreamHandler()], "max_concurrency": 100}
        built.compile().invoke({"done": []}, config)
    spans = {span.name: span for span in captured.spans}
    assert all(spans[f"inner{n}"].parent_id == spans[f"outer{n}"].span_id for n in range(100))


def test_a_run_whose_manager_is_kept_by_somebody_else_goes_on() -> None:
    """A client of one's own may start a run in a helper, and keep nothing but the run's manager."""
    handler = SentryStreamHandler()

    def begin() -> Any:
        manager = CallbackManager.configure(inheritable_callbacks=[handler])
        return manager.on_chat_model_start({"name": "own"}, [[HumanMessage("Hi")]])[0]

    with capture_spans() as captured:
        run = begin()
        assert handler.live_runs == 1
        run.on_llm_end(LLMResult(generations=[[ChatGeneration(message=AIMessage("one"))]]))
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"


@shapes
def test_a_consumers_span_is_over_when_it_ends(shape: str) -> None:
    """Also where the run has no span of its own, and what it is inside of is the application's."""

    def numbers(given: Any) -> Any:
        for number in range(3):
            with child_span(shape, f"source{number}"):
                pass
            yield number

    config: Any = {"callbacks": [SentryStreamHandler()]}
    options = {**WIRE_SHAPES[shape]}
    if shape == "stream":
        options["ignore_spans"] = ["RunnableGenerator", "numbers"]
    with capture_spans(**options) as captured, active_span(shape, "application"):
        stream = RunnableGenerator(numbers).stream("Hi", config)
        next(stream)
        with child_span(shape, "consumer"):
            next(stream)
        with child_span(shape, "after"):
            pass
        stream.close()  # type: ignore[attr-defined]
    assert parent(captured, "consumer") == "application"
    assert parent(captured, "after") == "application"


@pytest.mark.parametrize("with_handler", [True, False])
def test_a_span_can_be_made_active_again_in_a_child(with_handler: bool) -> None:
    """The user's code may hand its span to a run that it starts, as it could without a handler."""

    def outer(given: Any) -> Any:
        with sentry_sdk.start_span(name="outer") as span:

            def inner(given: Any) -> Any:
                sentry_sdk.get_current_scope().span = span
                with sentry_sdk.start_span(name="inner"):
                    return given

            RunnableLambda(inner).invoke(given)
            with sentry_sdk.start_span(name="next"):
                return given

    config: Any = {"callbacks": [SentryStreamHandler()] if with_handler else []}
    with capture_spans(auto_enabling_integrations=False) as captured, active_span("transaction", "application"):
        RunnableLambda(outer).invoke("Hi", config)
    assert (parent(captured, "inner"), parent(captured, "next")) == ("outer", "outer")
