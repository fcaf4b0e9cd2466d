"""A sync chain whose consumer leaves: LangChain reads the model's stream on, and its numbers are those of all of it."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypedDict

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import SLACK, WIRE_SHAPES, ScriptedModel, active_span, current_span_id, fake_model

USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


def ending_badly() -> None:
    """What a model does whose provider breaks the connection."""
    raise ConnectionError


def chain(**options: Any) -> Runnable[Any, str]:
    """What users write."""
    return ChatPromptTemplate.from_template("{question}") | ScriptedModel(usage=USAGE, **options) | StrOutputParser()


def here(stream: Iterator[str]) -> None:
    """Read a piece of the answer, and leave."""
    for piece in stream:
        if "one" in str(piece).lower():
            break
    stream.close()  # type: ignore[attr-defined]


def in_other_threads(stream: Iterator[str]) -> None:
    """The same, as servers do it that have threads read a sync generator: another one closes it."""
    for step in (lambda: next(stream), stream.close):  # type: ignore[attr-defined]
        with ThreadPoolExecutor(1) as thread:
            thread.submit(copy_context().run, step).result()


def in_a_loop(stream: Iterator[str]) -> None:
    """The same, in an async function."""

    async def read() -> None:
        here(stream)

    asyncio.run(read())


kept: list[Any] = []

LEAVE = [here, in_other_threads, in_a_loop]


def upper(pieces: Iterator[Any]) -> Iterator[Any]:
    """A step that works on each piece."""
    for piece in pieces:
        yield piece.upper()


def asks_itself(question: dict[str, str]) -> Iterator[str]:
    """A function that streams what a chain in it says."""
    yield from chain().stream(question)


def remembering() -> Runnable[Any, Any]:
    """A chain with a history."""
    history = InMemoryChatMessageHistory()
    return RunnableWithMessageHistory(
        chain(), lambda: history, input_messages_key="question", history_factory_config=[]
    )


AROUND: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "a named chain before a step": lambda: chain().with_config(run_name="inner") | RunnableGenerator(upper),
    "a function that returns a chain": lambda: RunnableLambda(lambda _: chain()) | StrOutputParser(),
    "an assignment": lambda: RunnablePassthrough.assign(answer=chain()),
    "a history": remembering,
    "a function that streams": lambda: RunnableLambda(asks_itself),
    "such a function before a step": lambda: RunnableLambda(asks_itself) | RunnableGenerator(upper),
    "a parallel": lambda: RunnableParallel(a=chain()),
    "a model with fallbacks": lambda: (
        ChatPromptTemplate.from_template("{question}")
        | ScriptedModel(usage=USAGE).with_fallbacks([ScriptedModel()])
        | StrOutputParser()
    ),
}


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainDeprecationWarning")
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_so_they_are_in_whatever_the_chain_is(shape: str, around: str) -> None:
    """What is around the chain that reads on is left with it, and waits for it."""
    if sys.version_info < (3, 11) and around in ("an assignment", "a parallel"):
        pytest.skip("before Python 3.11 what threads have read is kept until garbage is collected")
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as active:
        here(AROUND[around]().stream({"question": "Hi"}, {"callbacks": [handler]}))
        assert current_span_id() == active
        assert handler.live_runs == 0
    call, root = captured.find(op="gen_ai.chat"), captured.find(name="bot")
    assert [span.attributes["langchain_stream.outcome"] for span in (call, root)] == ["abandoned", "abandoned"]
    assert (call.attributes["langchain_stream.chunks"], call.attributes["gen_ai.usage.output_tokens"]) == (3, 3)
    assert call.attributes["langchain_stream.usage_source"] == "provider"
    assert call.end <= root.end + SLACK


@pytest.mark.parametrize("leave", LEAVE)
@pytest.mark.parametrize("falls_back", [False, True], ids=["", "with fallbacks"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_numbers_are_the_providers(shape: str, falls_back: bool, leave: Callable[[Iterator[str]], None]) -> None:
    """The call and its chain were left, and have all tokens that the provider reports after that."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as active:
        made = chain().with_fallbacks([chain()]) if falls_back else chain()
        with handler.watch() as runs:
            leave(made.stream({"question": "Hi"}, {"callbacks": [handler]}))
        assert current_span_id() == active
        assert handler.live_runs == 0
    call, root = captured.find(op="gen_ai.chat"), captured.find(name="bot")
    assert [span.attributes["langchain_stream.outcome"] for span in (call, root)] == ["abandoned", "abandoned"]
    assert call.attributes["langchain_stream.usage_source"] == "provider"
    assert call.attributes["langchain_stream.chunks"] == 3
    assert [call.attributes[f"gen_ai.usage.{each}_tokens"] for each in ("input", "output")] == [9, 3]
    assert (runs.model_calls, runs.total_tokens) == (1, 12)
    assert call.end <= root.end + SLACK


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_fails_then_is_no_issue(shape: str) -> None:
    """The call has failed, and nobody waits for it: its chain was left."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        made = chain(before=lambda number: ending_badly() if number == 2 else None)
        here(made.stream({"question": "Hi"}, {"callbacks": [handler]}))
        assert handler.live_runs == 0
    call, root = captured.find(op="gen_ai.chat"), captured.find(name="bot")
    assert [span.attributes["langchain_stream.outcome"] for span in (call, root)] == ["failed", "abandoned"]
    assert captured.events == []


def letters(texts: Iterator[str]) -> Iterator[str]:
    """A step that yields more than it gets."""
    for text in texts:
        yield from text


WITHOUT_A_STREAM: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "no model": lambda: RunnableLambda(str) | RunnableGenerator(letters),
    "a model that has answered": lambda: (
        RunnableLambda(lambda asked: fake_model("two").invoke(asked).text) | RunnableGenerator(letters)
    ),
    "one step": lambda: RunnableGenerator(letters),
}


@pytest.mark.parametrize("is_left", [True, False], ids=["left", "read"])
@pytest.mark.parametrize("within", WITHOUT_A_STREAM)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_chain_in_which_no_model_streams_is_left_too(shape: str, within: str, is_left: bool) -> None:
    """Who has not read to the end has left, and who has read has not, as in async code."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream: Any = WITHOUT_A_STREAM[within]().stream("Hi", {"callbacks": [handler]})
        next(stream)
        if is_left:
            stream.close()
        else:
            list(stream)
    found = captured.find(name="bot").attributes["langchain_stream.outcome"]
    assert found == ("abandoned" if is_left else "completed")


def test_who_keeps_a_stream_does_not_keep_the_chain() -> None:
    """A function's stream that the application keeps, to go on with it later, is nothing that its chain waits for."""

    def answer(question: dict[str, str]) -> Iterator[str]:
        kept.append(chain().stream(question))
        for piece in kept[-1]:  # noqa: UP028 -- which would close it
            yield piece

    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        with active_span("transaction") as request:
            here(RunnableLambda(answer).stream({"question": "Hi"}, {"callbacks": [handler]}))
            assert handler.live_runs == 0
        kept.clear()
    root, call = captured.find(name="bot"), captured.find(op="gen_ai.chat")
    assert (root.parent_id, root.attributes["langchain_stream.outcome"]) == (request, "abandoned")
    assert call.attributes["langchain_stream.outcome"] == "abandoned"


WITH_FALLBACKS: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "a chain": lambda: RunnableLambda(str) | RunnableGenerator(letters),
    "a step": lambda: RunnableGenerator(letters),
    "a function": lambda: RunnableLambda(letters),
    "a chain with a model": chain,
}


@pytest.mark.parametrize("pieces", [1, 2])
@pytest.mark.parametrize("within", WITH_FALLBACKS)
def test_a_call_with_fallbacks_that_is_left_ends(within: str, pieces: int) -> None:
    """If its consumer leaves at the first piece LangChain signals no end, and closes what is in it all the same."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        stream: Any = (
            WITH_FALLBACKS[within]()
            .with_fallbacks([RunnableLambda(str)])
            .stream({"question": "Hi"}, {"callbacks": [handler]})
        )
        for _ in range(pieces):
            next(stream, None)
        stream.close()
        assert handler.live_runs == 0
    outcome = captured.find(name="bot").attributes["langchain_stream.outcome"]
    assert outcome == "abandoned" or (pieces == 2 and outcome == "completed")  # some have but one


class Upper(Runnable[str, str]):
    """A runnable of the application's own, which reads from an iterator that is no generator."""

    def invoke(self, input: str, config: Any = None, **kwargs: Any) -> str:
        """Answer at once."""
        return input.upper()

    def stream(self, input: str, config: Any = None, **kwargs: Any) -> Iterator[str]:
        """Answer piece by piece."""
        return self._transform_stream_with_config(iter(input), lambda texts: map(str.upper, texts), config)


def test_an_iterator_that_is_no_generator_is_read_to_its_end() -> None:
    """It does not say whether there is more of it, and nobody has to ask."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        assert list(Upper().stream("Hi", {"callbacks": [handler]})) == ["H", "I"]
    assert captured.find(name="bot").attributes["langchain_stream.outcome"] == "completed"


def test_a_chain_that_is_read_to_its_end_has_completed() -> None:
    """Only who leaves has left."""
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        list((chain() | RunnableLambda(str.upper)).stream({"question": "Hi"}, {"callbacks": [handler]}))
    for span in (captured.find(op="gen_ai.chat"), captured.find(name="bot")):
        assert span.attributes["langchain_stream.outcome"] == "completed"


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """Garbage that is not collected, which keeps what cycles keep."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def until_it_has_enough(stream: Iterator[str]) -> str:
    """Read up to a mark."""
    return next(iter(stream)) + next(iter(stream))


def to_go_on_later(stream: Iterator[str]) -> str:
    """Read a piece, and keep the rest."""
    kept.append(stream)
    return next(stream)


@pytest.mark.parametrize("falls_back", [False, True], ids=["", "after a fallback"])
@pytest.mark.parametrize("read", [until_it_has_enough, to_go_on_later])
@pytest.mark.usefixtures("no_garbage")
def test_who_returns_has_completed_at_once(read: Callable[[Iterator[str]], str], falls_back: bool) -> None:
    """A function that does not read a stream to its end has an answer: it waits for nobody, and is in its request."""
    handler = SentryStreamHandler(pipeline_name="bot")
    asked = chain(before=lambda number: ending_badly()).with_fallbacks([chain()]) if falls_back else chain()
    with capture_spans() as captured:
        with active_span("transaction") as request:
            step: Any = RunnableLambda(lambda question: read(asked.stream({"question": question})))
            step.invoke("Hi", {"callbacks": [handler]})
            assert handler.live_runs == 0
        kept.clear()
    root = captured.find(name="bot")
    assert (root.parent_id, root.attributes["langchain_stream.outcome"]) == (request, "completed")
    assert captured.find_all(op="gen_ai.chat")[-1].attributes["langchain_stream.outcome"] == "abandoned"


class Aside:
    """Streams in threads of their own, which stand still after the first piece until they may go on."""

    def __init__(self) -> None:
        self.resume = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self, make: Callable[..., Runnable[Any, Any]]) -> None:
        """Stream in a thread, and return when the first piece has arrived."""
        asking = threading.Event()

        def hold(number: int) -> None:
            if number == 1:
                asking.set()
                assert self.resume.wait(HANG)

        stream = make(before=hold).stream({"question": "Hi"})
        thread = threading.Thread(target=copy_context().run, args=(list, stream))
        self.threads.append(thread)
        thread.start()
        assert asking.wait(HANG)

    def finish(self) -> None:
        """Let them go on to their end."""
        self.resume.set()
        for thread in self.threads:
            thread.join()


def model(**options: Any) -> Runnable[Any, Any]:
    """A model that is asked by a chain's input."""
    return RunnableLambda(lambda values: values["question"]) | ScriptedModel(usage=USAGE, **options)


def returning(aside: Aside, make: Callable[..., Runnable[Any, Any]]) -> Runnable[Any, Any]:
    """A function that starts a stream, and returns."""

    def answer(question: dict[str, str]) -> str:
        aside.start(make)
        return question["question"]

    return RunnableLambda(answer)


def yielding(aside: Aside, make: Callable[..., Runnable[Any, Any]]) -> Runnable[Any, Any]:
    """A function that starts two, and yields its answer."""

    def answer(_: Any) -> Iterator[str]:
        aside.start(make)
        aside.start(chain)
        yield "answer"

    return RunnableLambda(answer)


class State(TypedDict):
    """What a graph is asked."""

    question: str


def graph(aside: Aside, make: Callable[..., Runnable[Any, Any]]) -> Runnable[Any, Any]:
    """A graph whose node starts one."""
    from langgraph.graph import START, StateGraph

    def node(state: State) -> State:
        aside.start(make)
        return state

    built = StateGraph(State)
    built.add_node("node", node)
    built.add_edge(START, "node")
    return built.compile()


@pytest.mark.parametrize("ask", ["invoke", "stream"])
@pytest.mark.parametrize("make", [chain, model])
@pytest.mark.parametrize("around", [returning, yielding, graph])
def test_a_stream_in_a_thread_of_its_own_is_not_waited_for(around: Any, make: Any, ask: str) -> None:
    """Who has started one, and has answered, has completed, and so have the streams, later."""
    aside = Aside()
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        with active_span("transaction") as request:
            asked = getattr(around(aside, make), ask)({"question": "Hi"}, {"callbacks": [handler]})
            if ask == "stream":
                list(asked)
        (root,) = (span for span in captured.spans if span.attributes.get("langchain_stream.outcome"))
        aside.finish()
    assert (root.parent_id, root.status, root.attributes["langchain_stream.outcome"]) == (request, "ok", "completed")
    calls = captured.find_all(op="gen_ai.chat")
    assert len(calls) == len(aside.threads)
    for call in calls:
        assert call.attributes["langchain_stream.outcome"] == "completed"
        assert call.attributes["langchain_stream.chunks"] == 3
    assert handler.live_runs == 0


def test_who_reads_elsewhere_does_not_wait_though_the_consumer_leaves() -> None:
    """A chain whose fallback was used keeps its streams until garbage is collected, and waits for none of them."""
    gc.collect()
    gc.disable()
    handler = SentryStreamHandler(pipeline_name="bot")
    failing = chain(before=lambda number: ending_badly())

    def answer(question: dict[str, str]) -> Iterator[str]:
        yield from failing.with_fallbacks([chain()]).stream(question)

    try:
        with capture_spans() as captured, active_span("transaction") as request:
            here(RunnableLambda(answer).stream({"question": "Hi"}, {"callbacks": [handler]}))
            assert handler.live_runs == 0
    finally:
        gc.enable()
        gc.collect()
    assert captured.find(name="bot").parent_id == request
