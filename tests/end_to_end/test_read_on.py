"""A sync chain whose consumer leaves: LangChain reads the model's stream on, and its numbers are those of all of it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import SLACK, WIRE_SHAPES, ScriptedModel, active_span, current_span_id

USAGE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}


def ending_badly() -> None:
    """What a model does whose provider breaks the connection."""
    raise ConnectionError


def chain(**options: Any) -> Runnable[Any, str]:
    """What users write."""
    return ChatPromptTemplate.from_template("{question}") | ScriptedModel(usage=USAGE, **options) | StrOutputParser()


def here(stream: Iterator[str]) -> None:
    """Read a piece, and leave."""
    for _ in stream:
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


LEAVE = [here, in_other_threads, in_a_loop]


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


kept: list[Any] = []


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


def test_a_stream_in_a_thread_of_its_own_is_not_waited_for() -> None:
    """A step that starts one has completed, and so has the stream, later."""
    resume, asking, threads = threading.Event(), threading.Event(), []

    def hold(number: int) -> None:
        if number == 1:
            asking.set()
            assert resume.wait(HANG)

    def start(question: str) -> str:
        stream = chain(before=hold).stream({"question": question})
        threads.append(threading.Thread(target=copy_context().run, args=(list, stream)))
        threads[0].start()
        assert asking.wait(HANG)
        return "started"

    handler = SentryStreamHandler(pipeline_name="bot")
    with capture_spans() as captured:
        with active_span("transaction") as request:
            RunnableLambda(start).invoke("Hi", {"callbacks": [handler]})
        (root,) = (span for span in captured.spans if span.name == "bot")
        resume.set()
        threads[0].join()
    assert (root.parent_id, root.attributes["langchain_stream.outcome"]) == (request, "completed")
    call = captured.find(op="gen_ai.chat")
    assert (call.attributes["langchain_stream.outcome"], call.attributes["langchain_stream.chunks"]) == ("completed", 3)
