"""Python refuses to run a generator that is running already. The stream goes on where it runs, and so does its span."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial
from threading import Event, Thread
from typing import Any

import pytest

from sentry_langchain_stream import current_stream, track_stream
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG

REQUESTS = ("next", "close")


def ask(stream: Any, request: str) -> Any:
    """Request the next item of a stream, or its end."""
    return next(stream) if request == "next" else stream.close()


async def aask(stream: Any, request: str) -> Any:
    """The same of an async stream."""
    return await (anext(stream) if request == "next" else stream.aclose())


def ended(captured: Captured) -> tuple[Any, Any]:
    """How the stream has ended, and after how many items."""
    span = captured.find(op="gen_ai.chat")
    assert captured.open_runs == []
    assert captured.events == []
    return span.attributes["langchain_stream.outcome"], span.attributes.get("langchain_stream.chunks")


# -- In another thread or task ----------------------------------------------------------------------------------------


class Around(Iterator[str]):
    """An iterator of a client library, which hands requests on to a generator."""

    def __init__(self, items: Iterator[str]) -> None:
        self._items = items

    def __next__(self) -> str:
        return next(self._items)

    def close(self) -> None:
        """Close the generator."""
        self._items.close()  # type: ignore[attr-defined]


class AsyncAround(AsyncIterator[str]):
    """The same for async streams."""

    def __init__(self, items: AsyncIterator[str]) -> None:
        self._items = items

    async def __anext__(self) -> str:
        return await anext(self._items)

    async def aclose(self) -> None:
        """Close the generator."""
        await self._items.aclose()  # type: ignore[attr-defined]


WRAPS = [(iter, "next"), (iter, "close"), (Around, "next"), (Around, "close"), (partial(map, str), "next")]


@pytest.mark.parametrize(("wrap", "request_"), WRAPS)
def test_a_request_refused_while_another_thread_waits_does_not_end_the_stream(wrap: Any, request_: str) -> None:
    """The thread gets Python's error, and the span has all that the other thread reads until the end."""
    is_running, may_go_on = Event(), Event()

    def source() -> Iterator[str]:
        yield "one "
        is_running.set()
        may_go_on.wait(HANG)
        yield "two "

    items: list[str] = []
    with capture_spans() as captured:
        stream = track_stream(wrap(source()), model="m")
        reader = Thread(target=lambda: items.extend(stream))
        reader.start()
        assert is_running.wait(HANG)
        try:
            with pytest.raises(ValueError, match=r"^generator already executing$"):
                ask(stream, request_)
        finally:
            may_go_on.set()
            reader.join(HANG)
    assert items == ["one ", "two "]
    assert ended(captured) == ("completed", 2)


@pytest.mark.parametrize("said", [(), ("no number",), (["generator already executing"],)], ids=str)
def test_a_failure_while_another_thread_waits_ends_the_stream(said: tuple[Any, ...]) -> None:
    """A source that may be asked by several threads has failed where what it raises is not Python's refusal."""
    is_running, may_go_on = Event(), Event()

    class Shared(Iterator[str]):
        def __next__(self) -> str:
            if is_running.is_set():
                raise ValueError(*said)
            is_running.set()
            may_go_on.wait(HANG)
            return "one "

    with capture_spans() as captured:
        stream = track_stream(Shared(), model="m")
        reader = Thread(target=lambda: next(stream))
        reader.start()
        assert is_running.wait(HANG)
        try:
            with pytest.raises(ValueError):  # noqa: PT011 -- of any text
                next(stream)
        finally:
            may_go_on.set()
            reader.join(HANG)
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "failed"


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("wrap", [aiter, AsyncAround])
async def test_a_request_refused_while_another_task_waits_does_not_end_the_stream(wrap: Any, request_: str) -> None:
    """The task gets Python's error, and the span has all that the other task reads until the end."""
    is_running, may_go_on = asyncio.Event(), asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "one "
        is_running.set()
        await may_go_on.wait()
        yield "two "

    async def read() -> list[str]:
        return [item async for item in stream]

    with capture_spans() as captured:
        stream = track_stream(wrap(source()), model="m")
        reader = asyncio.ensure_future(read())
        await is_running.wait()
        with pytest.raises(RuntimeError, match=r"^a(next|close)\(\): asynchronous generator is already running$"):
            await aask(stream, request_)
        may_go_on.set()
        assert await reader == ["one ", "two "]
    assert ended(captured) == ("completed", 2)


async def test_a_second_task_may_not_wait_for_the_answer_itself() -> None:
    """The request is one coroutine, which Python lets one task await: the other one's error does not end the stream."""
    may_go_on = asyncio.Event()

    async def items() -> AsyncIterator[str]:
        yield "one "

    async def answer() -> AsyncIterator[str]:
        await may_go_on.wait()
        return items()

    with capture_spans() as captured:
        stream = track_stream(answer(), model="m")
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already$"):
            await anext(stream)
        may_go_on.set()
        assert [await first] + [item async for item in stream] == ["one "]
    assert ended(captured) == ("completed", 1)


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_refusal_passes_through_a_stream_that_is_tracked_again(request_: str) -> None:
    """Neither span ends where the innermost source is refused."""
    is_running, may_go_on = Event(), Event()

    def source() -> Iterator[str]:
        is_running.set()
        may_go_on.wait(HANG)
        yield "one "

    with capture_spans() as captured:
        stream = track_stream(track_stream(source(), model="inner"), model="outer")
        reader = Thread(target=lambda: list(stream))
        reader.start()
        assert is_running.wait(HANG)
        try:
            with pytest.raises(ValueError, match=r"^generator already executing$"):
                ask(stream, request_)
        finally:
            may_go_on.set()
            reader.join(HANG)
    spans = captured.find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in spans] == ["completed", "completed"]


# -- In the source itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_source_that_asks_its_own_stream_is_refused_and_goes_on(request_: str) -> None:
    """A generator that handles the refusal yields the rest of its items inside of the same span."""

    def source() -> Iterator[str]:
        yield "one "
        with pytest.raises(ValueError, match=r"^generator already executing$"):
            ask(current_stream(), request_)
        yield "two "

    with capture_spans() as captured:
        assert list(track_stream(source(), model="m")) == ["one ", "two "]
    assert ended(captured) == ("completed", 2)


@pytest.mark.parametrize("request_", REQUESTS)
async def test_an_async_source_that_asks_its_own_stream_is_refused_and_goes_on(request_: str) -> None:
    """An async generator that handles the refusal yields the rest of its items inside of the same span."""

    async def source() -> AsyncIterator[str]:
        yield "one "
        with pytest.raises(RuntimeError, match="asynchronous generator is already running"):
            await aask(current_stream(), request_)
        yield "two "

    with capture_spans() as captured:
        assert [item async for item in track_stream(source(), model="m")] == ["one ", "two "]
    assert ended(captured) == ("completed", 2)


@pytest.mark.parametrize("request_", REQUESTS)
async def test_a_request_for_the_answer_that_asks_its_own_stream_is_refused_and_goes_on(request_: str) -> None:
    """A coroutine that handles the refusal returns the answer, which is inside of the same span."""

    async def items() -> AsyncIterator[str]:
        yield "one "

    async def answer() -> AsyncIterator[str]:
        with pytest.raises(ValueError, match=r"^coroutine already executing$"):
            await aask(current_stream(), request_)
        return items()

    with capture_spans() as captured:
        assert [item async for item in track_stream(answer(), model="m")] == ["one "]
    assert ended(captured) == ("completed", 1)


# -- No refusals ------------------------------------------------------------------------------------------------------


def lying() -> Iterator[str]:
    """Raise what Python raises for a refusal."""
    yield "one "
    raise ValueError("generator already executing")


async def alying() -> AsyncIterator[str]:
    """The same."""
    yield "one "
    raise RuntimeError("anext(): asynchronous generator is already running")


def asking() -> Iterator[str]:
    """Ask the stream that is running, and let its refusal out."""
    yield "one "
    next(current_stream())  # type: ignore[arg-type]


async def aasking() -> AsyncIterator[str]:
    """The same."""
    yield "one "
    await anext(current_stream())  # type: ignore[arg-type]


async def stopping() -> AsyncIterator[str]:
    """Raise what Python replaces by a `RuntimeError`: before Python 3.12 outside of this frame."""
    yield "one "
    raise StopIteration


@pytest.mark.parametrize("source", [lying, asking])
def test_a_source_that_raises_the_error_of_a_refusal_has_failed(source: Any) -> None:
    """Its generator has ended with the error, whose message and type do not make it a refusal."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        with pytest.raises(ValueError, match=r"^generator already executing$"):
            list(stream)
        assert ended(captured) == ("failed", 1)


@pytest.mark.parametrize("source", [alying, aasking, stopping])
async def test_an_async_source_that_raises_the_error_of_a_refusal_has_failed(source: Any) -> None:
    """Its generator has ended with the error, whose message and type do not make it a refusal."""
    with capture_spans() as captured:
        stream = track_stream(source(), model="m")
        with pytest.raises(RuntimeError):
            [item async for item in stream]
        assert ended(captured) == ("failed", 1)


def staying() -> Iterator[str]:
    """Raise what Python raises for a refusal, when it is closed."""
    try:
        yield "one "
    finally:
        raise ValueError("generator already executing")


async def astaying() -> AsyncIterator[str]:
    """Yield when it is closed, which Python reports outside of this frame."""
    try:
        yield "one "
    finally:
        yield "two "


def test_a_source_whose_end_fails_is_left() -> None:
    """The error of an end is no refusal either: the consumer has left, and the span ends."""
    with capture_spans() as captured:
        stream = track_stream(staying(), model="m")
        next(stream)
        with pytest.raises(ValueError, match=r"^generator already executing$"):
            stream.close()
        assert ended(captured) == ("abandoned", 1)


async def test_an_async_source_whose_end_fails_is_left() -> None:
    """The error of an end is no refusal either: the consumer has left, and the span ends."""
    with capture_spans() as captured:
        stream = track_stream(astaying(), model="m")
        await anext(stream)
        with pytest.raises(RuntimeError, match=r"^async generator ignored GeneratorExit$"):
            await stream.aclose()
        assert ended(captured) == ("abandoned", 1)
