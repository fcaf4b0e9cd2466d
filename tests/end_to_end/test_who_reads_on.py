"""In a sync stream that was left, what LangChain reads on was left, too. What the application reads has completed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from threading import Event
from typing import Any, TypedDict
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel, ensure_config
from langchain_core.runnables.config import get_callback_manager_for_config, patch_config

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.end_to_end.test_read_on import here
from tests.kit import HANG, garbage
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

Answer = Callable[[str, RunnableConfig], Iterator[Any]]


def model(name: str, **options: Any) -> ScriptedModel:
    """A model that streams three pieces."""
    return ScriptedModel(model_name=name, **options)


def sum_up(config: RunnableConfig) -> None:
    """Stream a summary, and read it to its end."""
    list(model("summary").stream("Sum it up", config))


def in_finally(question: str, config: RunnableConfig) -> Iterator[Any]:
    try:
        yield from model("answer").stream(question, config)
    finally:
        sum_up(config)


def where_another_exception_is_handled(question: str, config: RunnableConfig) -> Iterator[Any]:
    try:
        yield from model("answer").stream(question, config)
    finally:
        try:
            raise KeyError("nothing is cached")
        except KeyError:
            sum_up(config)


def after_the_exception(question: str, config: RunnableConfig) -> Iterator[Any]:
    is_left = False
    try:
        yield from model("answer").stream(question, config)
    except GeneratorExit:
        is_left = True
    if is_left:
        sum_up(config)


def after_suppressing_it(question: str, config: RunnableConfig) -> Iterator[Any]:
    with suppress(GeneratorExit):
        yield from model("answer").stream(question, config)
    sum_up(config)


def in_a_batch(question: str, config: RunnableConfig) -> Iterator[Any]:
    try:
        yield from model("answer").stream(question, config)
    finally:
        model("summary", streaming=True).batch(["Sum it up"], config)


def in_a_parallel(question: str, config: RunnableConfig) -> Iterator[Any]:
    try:
        yield from model("answer").stream(question, config)
    finally:
        list(RunnableParallel(summary=model("summary") | StrOutputParser()).stream("Sum it up", config))


def in_a_thread(question: str, config: RunnableConfig) -> Iterator[Any]:
    try:
        yield from model("answer").stream(question, config)
    finally:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(sum_up, config).result()


@contextmanager
def summing_up(config: RunnableConfig) -> Iterator[None]:
    try:
        yield
    finally:
        sum_up(config)


def in_a_context_manager(question: str, config: RunnableConfig) -> Iterator[Any]:
    with summing_up(config):
        yield from model("answer").stream(question, config)


CLEAN_UPS: list[Answer] = [
    in_finally,
    where_another_exception_is_handled,
    after_the_exception,
    after_suppressing_it,
    in_a_batch,
    in_a_parallel,
    in_a_thread,
    in_a_context_manager,
]


def left(stream: Any) -> None:
    """Read a piece, and close the stream."""
    here(stream)


def garbage_in_a_cycle(stream: Any) -> None:
    """Read a piece, and leave the stream in a reference cycle for garbage collection."""
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del cycle, stream
    gc.collect()


def run(made: Runnable[Any, Any], leave: Callable[[Any], None], shape: str) -> dict[str, str]:
    """Leave a stream, and return how each run ended."""
    garbage.leave_out()
    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        leave(made.stream("Hi", {"callbacks": [handler]}))
    assert handler.live_runs == 0
    told = [(span.name, span.attributes.get("langchain_stream.outcome")) for span in captured.spans]
    return {name: outcome for name, outcome in told if outcome is not None}


@pytest.mark.parametrize("leave", [left, garbage_in_a_cycle])
@pytest.mark.parametrize("answer", CLEAN_UPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_clean_up_code_reads_has_completed(shape: str, answer: Answer, leave: Callable[[Any], None]) -> None:
    """However a function that is closed comes to read a summary, it has read it."""
    assert run(RunnableLambda(answer), leave, shape) == {
        "bot": "abandoned",
        "chat answer": "abandoned",
        "chat summary": "completed",
    }


LISTENED: dict[str, Callable[[Runnable[Any, Any], Any], Runnable[Any, Any]]] = {
    "a chain": lambda asked, on_end: (asked | StrOutputParser()).with_listeners(on_end=on_end),
    "a chain before a step": lambda asked, on_end: (
        (asked | StrOutputParser()).with_listeners(on_end=on_end) | StrOutputParser()
    ),
    "a model": lambda asked, on_end: asked.with_listeners(on_end=on_end) | StrOutputParser(),
    "a parser": lambda asked, on_end: asked | StrOutputParser().with_listeners(on_end=on_end),
}


@pytest.mark.parametrize("listened", LISTENED)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_a_listener_reads_has_completed(shape: str, listened: str) -> None:
    """Its model answers while LangChain signals the end of a chain that was left, or of a step that is read on."""

    def on_end(_: Any, config: RunnableConfig) -> None:
        sum_up(config)

    found = run(LISTENED[listened](model("answer"), on_end), left, shape)
    assert (found["chat answer"], found["chat summary"]) == ("abandoned", "completed")


def two_models(question: str, config: RunnableConfig) -> Iterator[Any]:
    """One after the other."""
    yield from model("first").stream(question, config)
    yield from model("second").stream(question, config)


def as_it_is(stream: Any) -> Generator[Any]:
    yield from stream


def closed_by_it(stream: Any) -> Generator[Any]:
    with closing(stream):
        for piece in stream:  # noqa: UP028 -- which would close it first
            yield piece


def closed_at_last(stream: Any) -> Generator[Any]:
    try:
        yield next(stream)
    finally:
        stream.close()


class Upper(Runnable[Any, Any]):
    """A step of the application's own, whose iterator is no generator."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise NotImplementedError

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Answer piece by piece."""
        return self._transform_stream_with_config(input, lambda pieces: map(str, pieces), config)


@pytest.mark.parametrize("step", [StrOutputParser(), Upper()], ids=["a parser", "a step of one's own"])
@pytest.mark.parametrize("falls_back", [False, True], ids=["", "with fallbacks"])
@pytest.mark.parametrize("route", [as_it_is, closed_by_it, closed_at_last])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_starts_as_langchain_reads_on_was_left(
    shape: str, route: Callable[[Any], Any], falls_back: bool, step: Runnable[Any, Any]
) -> None:
    """A step reads on until the second model has answered, in whatever generator of the application it is closed."""
    asked: Runnable[Any, Any] = RunnableLambda(two_models)
    made = asked | step
    if falls_back:
        made = made.with_fallbacks([RunnableLambda(str)])
    found = run(made, lambda stream: left(route(stream)), shape)
    assert found == {"bot": "abandoned", "chat first": "abandoned", "chat second": "abandoned"}


class State(TypedDict, total=False):
    """What a graph is asked, and answers."""

    question: str
    answer: str


class Ends(BaseCallbackHandler):
    """Notes that the outermost chain has ended, of which LangChain signals the end as soon as it is left."""

    def __init__(self) -> None:
        self.has_ended = Event()

    def on_chain_end(self, outputs: Any, *, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """A chain has ended."""
        if parent_run_id is None:
            self.has_ended.set()


def answering(ends: Ends) -> Runnable[Any, Any]:
    """A function that hands on what a graph's model says, which goes on when the function has been left."""
    from langgraph.graph import START, StateGraph

    asked = model("node", before=lambda number: number == 2 and ends.has_ended.wait(HANG))

    def node(state: State, config: RunnableConfig) -> State:
        return {"answer": "".join(piece.text for piece in asked.stream(state["question"], config))}

    built = StateGraph(State)
    built.add_node("node", node)
    built.add_edge(START, "node")
    graph = built.compile(name="helper")

    def answer(question: str, config: RunnableConfig) -> Iterator[str]:
        for piece, _ in graph.stream({"question": question}, config, stream_mode="messages"):
            yield piece.text  # type: ignore[union-attr]

    return RunnableLambda(answer)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_node_reads_its_model_itself(shape: str) -> None:
    """LangGraph lets a node in a thread of its own finish, also if the graph is in a function that was left."""
    ends = Ends()
    found = run(answering(ends).with_config(callbacks=[ends]), left, shape)
    assert found == {"bot": "abandoned", "invoke_agent helper": "abandoned", "chat node": "completed"}


class Own(Runnable[Any, Any]):
    """A runnable of the application's own, which signals its end whatever happens."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        raise NotImplementedError

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Hand on what a model says."""
        config = ensure_config(config)
        run = get_callback_manager_for_config(config).on_chain_start(None, {"input": input}, name="own")
        try:
            for piece in model("answer").stream(input, patch_config(config, callbacks=run.get_child())):
                yield piece.text
        finally:
            run.on_chain_end({"output": ""})


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_runnable_that_ends_in_finally_was_left(shape: str) -> None:
    """It says that it has completed, while it is closed and its model was left."""
    assert run(Own(), left, shape) == {"bot": "abandoned", "chat answer": "abandoned"}
