"""A sync chain whose consumer leaves ends when Python closes what is in it, which is not earlier than without us."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest
import sentry_sdk
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.end_to_end.test_read_on import chain, here
from tests.kit import HANG, garbage
from tests.kit.helpers import Clock, collect, handler_on
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

QUESTION = {"question": "Hi"}


def outcomes(captured: Any) -> dict[str, str]:
    """How each span's run ended, by the span's name."""
    return {span.name: span.attributes["langchain_stream.outcome"] for span in captured.spans}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_its_listener_is_called_before(shape: str) -> None:
    """What cleans up in the chain may wait for what a listener of the chain does."""
    over = Event()

    def answer(question: dict[str, str]) -> Iterator[str]:
        beat = Thread(target=over.wait, args=(HANG,))
        beat.start()
        try:
            yield from chain().stream(question)
        finally:
            assert over.wait(HANG)
            beat.join()

    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        listened = RunnableLambda(answer).with_listeners(on_end=lambda run: over.set())
        here(listened.stream(QUESTION, {"callbacks": [handler]}))
        assert handler.live_runs == 0
    assert outcomes(captured) == {"bot": "abandoned", "chat scripted": "abandoned"}


def test_who_ignores_that_it_is_closed_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that goes on though it is closed is reported by Python as one that does, as it is without us."""
    closed, reported = list[str](), list[str]()
    monkeypatch.setattr(sys, "unraisablehook", lambda found: reported.append(str(found.exc_value)))

    def stubborn(questions: Iterator[dict[str, str]]) -> Iterator[str]:
        stream = chain().stream(next(questions))
        while True:
            try:
                yield next(stream)
            except GeneratorExit:
                closed.append("once")

    def leave(*callbacks: Any) -> tuple[list[str], list[str]]:
        closed.clear()
        reported.clear()
        here(RunnableGenerator(stubborn).stream(QUESTION, {"callbacks": [*callbacks]}))
        return closed.copy(), reported.copy()

    with capture_spans():
        assert leave(SentryStreamHandler()) == leave()


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_starts_in_it_then_is_in_its_trace(shape: str) -> None:
    """A step that is read on asks another model: it is in the same tree as the first one."""

    def two(question: str) -> Iterator[str]:
        yield ScriptedModel(name="first").invoke("one").text
        yield ScriptedModel(name="second").invoke("two").text

    def pass_on(texts: Iterator[str]) -> Iterator[str]:
        yield from texts

    made = RunnableLambda(two) | RunnableGenerator(pass_on)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = made.stream("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
        next(iter(stream))
        stream.close()  # type: ignore[attr-defined]
    root = captured.find(name="bot")
    assert root.attributes["langchain_stream.outcome"] == "abandoned"
    assert [call.parent_id for call in captured.find_all(op="gen_ai.chat")] == [root.span_id] * 2


IN_THREADS: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "a parallel": lambda: RunnableParallel(a=chain(), b=chain()),
    "an assignment": lambda: RunnablePassthrough.assign(answer=chain()),
    "a pick": lambda: RunnablePassthrough.assign(answer=chain()).pick("answer"),
}


def pieces(stream: Iterator[Any]) -> Iterator[Any]:
    """A step behind."""
    yield from stream


@pytest.mark.skipif(sys.version_info < (3, 11), reason="what threads have read is kept until garbage is collected")
@pytest.mark.parametrize("within", IN_THREADS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_models_in_threads_are_left_with_it(shape: str, within: str) -> None:
    """Models that LangChain reads on in a thread of its own were left like their chain."""
    made = IN_THREADS[within]() | RunnableGenerator(pieces)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = made.stream(QUESTION, {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
        for piece in stream:
            if "one" in str(piece).lower():
                break
        stream.close()  # type: ignore[attr-defined]
    assert set(outcomes(captured).values()) == {"abandoned"}
    assert {each.attributes["gen_ai.usage.output_tokens"] for each in captured.find_all(op="gen_ai.chat")} == {3}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_agent_is_left_with_it(shape: str) -> None:
    """An agent that is read on to its end was left like the chain that it is in."""
    agent = create_agent(ScriptedModel(), name="helper")

    def answer(question: str) -> Iterator[str]:
        for piece, _ in agent.stream({"messages": [HumanMessage(question)]}, stream_mode="messages"):
            yield piece.text  # type: ignore[union-attr]

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        made = RunnableLambda(answer) | RunnableGenerator(pieces)
        here(made.stream("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]}))
    assert outcomes(captured)["bot"] == outcomes(captured)["invoke_agent helper"] == "abandoned"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_another_call_in_what_cleans_up_has_completed(shape: str) -> None:
    """A call of its own that a function reads to its end while it is closed was not left."""
    other = SentryStreamHandler(pipeline_name="other")

    def answer(question: dict[str, str]) -> Iterator[str]:
        try:
            yield from chain().stream(question)
        finally:
            list(chain().stream(question, {"callbacks": [other]}))

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        here(RunnableLambda(answer).stream(QUESTION, {"callbacks": [SentryStreamHandler(pipeline_name="bot")]}))
    of_other = captured.find(name="other")
    assert of_other.attributes["langchain_stream.outcome"] == "completed"
    left, read = captured.find_all(op="gen_ai.chat")
    assert (left.attributes["langchain_stream.outcome"], read.attributes["langchain_stream.outcome"]) == (
        "abandoned",
        "completed",
    )
    assert read.parent_id == of_other.span_id


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_its_clean_up_code_reads_to_the_end_has_completed(shape: str) -> None:
    """A function that is closed streams a summary and asks an agent, with the config that it was given."""
    agent = create_agent(ScriptedModel(model_name="of agent"), name="helper")

    def answer(question: dict[str, str], config: RunnableConfig) -> Iterator[str]:
        try:
            yield from chain().stream(question, config)
        finally:
            list(ScriptedModel(model_name="summary").stream("Sum it up", config))
            list(agent.stream({"messages": [HumanMessage("Hi")]}, config, stream_mode="messages"))

    made: Runnable[Any, Any] = RunnableLambda(answer)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        here(made.stream(QUESTION, {"callbacks": [SentryStreamHandler(pipeline_name="bot")]}))
    assert outcomes(captured) == {
        "bot": "abandoned",
        "chat scripted": "abandoned",
        "chat summary": "completed",
        "invoke_agent helper": "completed",
        "chat of agent": "completed",
    }


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_leaves_a_stream_while_a_generator_is_closed_has_completed(shape: str) -> None:
    """A route's generator is closed, and asks a chain then that takes the first piece of an answer."""

    def first(question: str) -> str:
        return next(iter(ScriptedModel().stream(question))).text

    made = RunnableLambda(first) | RunnableLambda(str.upper)

    def route() -> Iterator[str]:
        try:
            yield "a piece"
        finally:
            made.invoke("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = route()
        next(stream)
        stream.close()  # type: ignore[attr-defined]
    assert outcomes(captured) == {"bot": "completed", "chat scripted": "abandoned"}


class NoKey(Runnable[Any, Any]):
    """A model that cannot even be made: it fails before there is a run of it."""

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        raise ValueError

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        raise ValueError


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """Garbage is collected when a test says so."""
    garbage.leave_out()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_call_that_has_used_a_fallback_ends_at_once(shape: str) -> None:
    """It keeps the failure, which keeps its streams, until garbage is collected: nobody waits for that."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = NoKey().with_fallbacks([chain()]).stream(QUESTION, {"callbacks": [handler]})
        assert next(stream)
        assert next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert handler.live_runs == 0
    assert set(outcomes(captured).values()) == {"abandoned"}


@pytest.mark.usefixtures("no_garbage")
def test_garbage_is_collected_though_a_left_chain_waits_for_it() -> None:
    """What a request has recorded refers to the streams of its calls: they are closed, and all is forgotten."""
    closed = list[str]()
    handler = SentryStreamHandler()

    def answer(question: dict[str, Any]) -> Iterator[str]:
        try:
            yield from chain().stream(question)
        finally:
            closed.append("closed")

    with capture_spans() as captured, sentry_sdk.isolation_scope() as scope:
        question: dict[str, Any] = {**QUESTION}
        scope.set_context("request", question)
        made = NoKey().with_fallbacks([RunnableLambda(answer)], exception_key="error")
        stream = made.stream(question, {"callbacks": [handler]})
        assert next(stream)
        assert next(stream)
        stream.close()  # type: ignore[attr-defined]
        del stream, question, scope
    collect()
    assert closed == ["closed"]
    assert handler.live_runs == 0
    assert len(captured.find_all(op="gen_ai.chat")) == 1


class Held(Runnable[Any, Any]):
    """A component that streams from a generator which it keeps."""

    def __init__(self) -> None:
        self.source: Iterator[Any] | None = None

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        yield from self._transform_stream_with_config(iter([input]), self._pieces, config)

    def _pieces(self, questions: Iterator[Any]) -> Iterator[Any]:
        self.source = self.source or chain().stream(next(questions))
        return self.source


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_chain_whose_source_is_kept_ends_when_it_has_been_idle(shape: str) -> None:
    """A left chain waits for its source, but not for ever, if somebody keeps that."""
    clock, held = Clock(), Held()
    handler = handler_on(clock)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        here(held.stream(QUESTION, {"callbacks": [handler]}))
        assert handler.live_runs
        clock.advance(31)
        ScriptedModel().invoke("next", {"callbacks": [handler]})
        assert handler.live_runs == 0
        assert list(held.source or ())  # it is read on elsewhere
    left, _ = captured.find_all(op="gen_ai.chat")
    assert left.attributes["langchain_stream.outcome"] == "abandoned"


def test_two_chains_that_read_from_one_source_end_with_it() -> None:
    """The first one that is left does not end with the second."""
    held, handler = Held(), SentryStreamHandler()
    with capture_spans():
        first = held.stream(QUESTION, {"callbacks": [handler]})
        second = held.stream(QUESTION, {"callbacks": [handler]})
        assert [next(first), next(second)]
        first.close()  # type: ignore[attr-defined]
        before = handler.live_runs
        second.close()  # type: ignore[attr-defined]
        assert handler.live_runs == before
        del held, first, second
        assert handler.live_runs == 0
