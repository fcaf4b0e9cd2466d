"""The ways to make and to leave a tracked stream: context managers, awaitables, decorated functions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from sentry_langchain_stream import AsyncTrackedStream, TrackedStream, current_stream, track_stream
from sentry_langchain_stream.testing import capture_spans
from tests.kit.helpers import collect
from tests.kit.texts import ITEMS, atexts, texts
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, active_span, child_span, content_allowed


@pytest.fixture(params=[texts, atexts], ids=["sync", "async"])
def source(request: pytest.FixtureRequest) -> Any:
    """A function that makes a stream, sync and async."""
    return request.param


# -- with and async with ----------------------------------------------------------------------------------------------


class Source:
    """A client library's stream: it makes its iterators, and has to be closed itself."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[str]:
        yield from ITEMS

    def close(self) -> None:
        self.closed += 1


class AsyncSource:
    """The same with an async `close`, as the streams of `openai` and `anthropic` have it."""

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[str]:
        for item in ITEMS:
            yield item

    async def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_context_manager_closes_stream_and_source(shape: str) -> None:
    """Whoever leaves a `with` or an `async with` has closed the client's stream and the span."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        first, second = Source(), AsyncSource()
        with track_stream(first, model="m") as stream:
            assert next(stream) == "one "
        async with track_stream(second, model="m") as astream:
            assert await anext(astream) == "one "
        assert (first.closed, second.closed) == (1, 1)
        with pytest.raises(StopIteration):
            next(stream)
        with pytest.raises(StopAsyncIteration):
            await anext(astream)
    told = [span.attributes for span in captured.find_all(op="gen_ai.chat")]
    assert [each["langchain_stream.outcome"] for each in told] == ["abandoned"] * 2
    assert [each["langchain_stream.chunks"] for each in told] == [1, 1]


@pytest.mark.parametrize(
    ("error", "outcome"), [(ValueError("mine"), "abandoned"), (asyncio.CancelledError(), "cancelled")], ids=str
)
async def test_an_exception_of_the_consumers(source: Any, error: BaseException, outcome: str) -> None:
    """An exception in the block is the consumer's: the stream was abandoned, or cancelled with its task."""
    with capture_spans() as captured, suppress(type(error)):
        stream = track_stream(source(), model="m")
        if isinstance(stream, AsyncTrackedStream):
            async with stream:
                await anext(stream)
                raise error
        else:
            with stream:
                next(stream)
                raise error
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["langchain_stream.outcome"] == outcome
    assert "error.type" not in span.attributes
    assert captured.events == []


async def test_a_stream_that_was_read_to_its_end_stays_completed(source: Any) -> None:
    """Leaving the block after the last item changes nothing."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        if isinstance(stream, AsyncTrackedStream):
            async with stream:
                assert [item async for item in stream] == list(ITEMS)
        else:
            with stream:
                assert list(stream) == list(ITEMS)
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"


# -- an awaitable, a decorator ----------------------------------------------------------------------------------------


async def test_a_task_is_an_awaitable() -> None:
    """The request may run in a task already, for its own reasons."""

    async def create() -> AsyncIterator[str]:
        return atexts()

    with capture_spans() as captured:
        stream = track_stream(asyncio.create_task(create()), model="m")
        assert [item async for item in stream] == list(ITEMS)
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.chunks"] == 3


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_awaitable_is_awaited_inside_of_the_span(shape: str) -> None:
    """The request of an async client, which returns its stream when it is awaited, is sent at the first pull."""

    async def create() -> AsyncIterator[str]:
        with child_span(shape, "request"):
            return atexts()

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
        stream = track_stream(create(), model="m")
        assert [item async for item in stream] == list(ITEMS)
    assert captured.find(name="request").parent_id == captured.find(op="gen_ai.chat").span_id


async def test_an_awaitable_that_fails() -> None:
    """A request that the provider refuses is a failed call."""

    async def create() -> AsyncIterator[str]:
        raise ConnectionError("refused")

    with capture_spans() as captured, pytest.raises(ConnectionError):
        await anext(track_stream(create(), model="m"))
    told = captured.find(op="gen_ai.chat").attributes
    assert (told["langchain_stream.outcome"], told["error.type"]) == ("failed", "ConnectionError")


async def test_an_awaitable_that_is_never_pulled() -> None:
    """Closed before the first pull, the request is not sent, and there is neither a span nor a warning."""

    async def create() -> AsyncIterator[str]:
        raise AssertionError("sent")

    with capture_spans() as captured:
        async with track_stream(create(), model="m"):
            pass
    assert captured.find_all(op="gen_ai.chat") == []


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_decorated_generator_function(shape: str) -> None:
    """Each call of a decorated function is a stream of its own, with its requests inside, named after the function."""

    @track_stream(model="m", messages=lambda question, **_: question, conversation_id=lambda _, user: user)
    async def answer(question: str, *, user: str) -> AsyncIterator[str]:
        """Answer."""
        with child_span(shape, f"request {question}"):
            pass
        async for item in atexts():
            yield item

    @track_stream(model="m", prompt=lambda question: question)
    def sync_answer(question: str) -> Iterator[str]:
        with child_span(shape, f"request {question}"):
            pass
        yield from ITEMS

    assert (answer.__name__, answer.__doc__) == ("answer", "Answer.")
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured, active_span(shape):
        first, second, third = answer("A", user="u1"), answer("B", user="u2"), sync_answer("C")
        assert isinstance(first, AsyncTrackedStream)
        assert isinstance(third, TrackedStream)
        for stream in (second, first):
            assert [item async for item in stream] == list(ITEMS)
        assert list(third) == list(ITEMS)
    spans = captured.find_all(op="gen_ai.chat")
    assert [span.attributes.get("gen_ai.conversation.id") for span in spans] == ["u2", "u1", None]
    assert [span.attributes["gen_ai.pipeline.name"] for span in spans] == ["answer", "answer", "sync_answer"]
    for span, question in zip(spans, "BAC", strict=True):
        assert captured.find(name=f"request {question}").parent_id == span.span_id
        assert f'"{question}"' in span.attributes["gen_ai.input.messages"]


def test_only_generator_functions_are_decorated() -> None:
    """Anything else is refused at once, by its name."""
    with pytest.raises(TypeError, match=r"generator function, sync or async, not .*plain"):

        @track_stream(model="m")  # type: ignore[arg-type]
        def plain() -> list[str]:
            return []


@pytest.mark.usefixtures("lenient")
def test_a_function_of_the_users_that_fails_costs_its_own_fact() -> None:
    """If the function for an option raises, the answer comes all the same, without that option."""

    @track_stream(model="m", prompt=lambda question: question["text"], conversation_id=lambda question: question)
    def answer(question: str) -> Iterator[str]:
        yield from ITEMS

    with capture_spans(**content_allowed(True)) as captured:
        assert list(answer("c-1")) == list(ITEMS)
    told = captured.find(op="gen_ai.chat").attributes
    assert "gen_ai.input.messages" not in told
    assert told["gen_ai.conversation.id"] == "c-1"


def test_redact_does_not_run_while_garbage_is_collected() -> None:
    """A stream that is dropped in a reference cycle is redacted in a thread of its own, and its span arrives."""
    from sentry_langchain_stream._runtime import interpreter

    collecting = []

    def redact(text: str) -> str:
        collecting.append(interpreter.is_collecting())
        return text.upper()

    with capture_spans(**content_allowed(True)) as captured:
        choices = [{"index": 0, "delta": {"content": "one"}, "finish_reason": None}]
        chunks = ({"object": "chat.completion.chunk", "choices": choices} for _ in ITEMS)
        stream: Any = track_stream(chunks, model="m", redact=redact)
        next(stream)
        stream.itself = stream
        del stream
        collect()
    assert "ONE" in captured.find(op="gen_ai.chat").attributes["gen_ai.output.messages"]
    assert collecting == [False] * len(collecting)
    assert collecting


# -- current_stream ---------------------------------------------------------------------------------------------------


async def test_a_decorated_generator_sets_its_own_usage() -> None:
    """Inside of the function `current_stream()` is the call's stream; in the consumer it is not."""

    @track_stream(model="m")
    async def answer(number: int) -> AsyncIterator[str]:
        async for item in atexts():
            assert current_stream() is streams[number - 1]
            yield item
        stream = current_stream()
        assert stream is not None
        stream.set_usage(input_tokens=number, output_tokens=number)

    with capture_spans() as captured:
        streams = [answer(number) for number in (1, 2)]
        for _ in ITEMS:
            for stream in streams:
                await anext(stream)
                assert current_stream() is None
        for stream in streams:
            assert [item async for item in stream] == []
    totals = [span.attributes["gen_ai.usage.total_tokens"] for span in captured.find_all(op="gen_ai.chat")]
    assert sorted(totals) == [2, 4]
    assert current_stream() is None


def test_the_innermost_stream_is_the_current_one() -> None:
    """A tracked stream inside of another one is the current one while its source runs, and then the outer is again."""
    seen = []

    @track_stream(model="inner")
    def inner() -> Iterator[str]:
        seen.append(current_stream())
        yield "x"

    @track_stream(model="outer")
    def outer() -> Iterator[str]:
        nested = inner()
        yield from nested
        seen.extend([nested, current_stream()])

    with capture_spans():
        stream = outer()
        list(stream)
    assert seen[0] is seen[1]
    assert seen[2] is stream


async def test_without_a_client_there_is_a_current_stream_too() -> None:
    """What sets its usage works without a Sentry client, too."""

    @track_stream(model="m")
    async def answer() -> AsyncIterator[str]:
        stream = current_stream()
        assert stream is not None
        stream.set_usage(input_tokens=1, output_tokens=1)
        yield "x"

    assert [item async for item in answer()] == ["x"]


@pytest.mark.parametrize("shape", BOTH_MODELS)
async def test_a_task_that_is_cancelled_in_a_decorated_generator(shape: str) -> None:
    """A decorated generator whose task is cancelled is cancelled with what had arrived."""
    waiting = asyncio.Event()

    @track_stream(model="m")
    async def answer() -> AsyncIterator[str]:
        yield "one "
        waiting.set()
        await asyncio.Event().wait()

    async def read() -> None:
        async with answer() as stream:
            async for _ in stream:
                pass

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        task = asyncio.create_task(read())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    told = captured.find(op="gen_ai.chat").attributes
    assert (told["langchain_stream.outcome"], told["langchain_stream.chunks"]) == ("cancelled", 1)
