"""Where the code of a tracked stream's source runs, and where its consumer's does: item by item, and at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from threading import Thread
from typing import Any

import pytest
import sentry_sdk
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from sentry_langchain_stream import SentryStreamHandler, current_stream, track_stream
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, child_span

# -- At the end -------------------------------------------------------------------------------------------------------


def say_usage() -> None:
    """What the source of the stream says, whichever that is."""
    stream: Any = current_stream()
    stream.set_usage(input_tokens=100, output_tokens=50)


@track_stream(model="inner")
def inner() -> Iterator[str]:
    """Say at the end what was used."""
    try:
        yield "one "
        yield "two "
    finally:
        say_usage()


@track_stream(model="inner")
async def ainner() -> AsyncIterator[str]:
    """The same."""
    try:
        yield "one "
        yield "two "
    finally:
        say_usage()


def outer() -> Iterator[str]:
    """Leave the inner stream early."""
    with inner() as stream:
        yield next(stream)
    yield "tail"


async def aouter() -> AsyncIterator[str]:
    """The same."""
    async with ainner() as stream:
        yield await anext(stream)
    yield "tail"


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_source_that_is_closed_runs_inside_its_own_stream(way: str) -> None:
    """What a generator says in its `finally` is said of its own stream, also where another one is around it."""
    with capture_spans() as captured:
        if way == "sync":
            assert list(track_stream(model="outer")(outer)()) == ["one ", "tail"]
        else:
            assert [each async for each in track_stream(model="outer")(aouter)()] == ["one ", "tail"]
    tokens = {span.name: span.attributes["gen_ai.usage.total_tokens"] for span in captured.find_all(op="gen_ai.chat")}
    assert tokens == {"chat inner": 150, "chat outer": 2}


class Connection:
    """What a client library returns: an iterator of its own, and the connection that it holds."""

    def __init__(self) -> None:
        self.is_closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        yield "one "
        await self.is_closed.wait()
        raise ConnectionError("closed")

    async def close(self) -> None:
        self.is_closed.set()


async def test_a_stream_may_be_closed_while_an_item_is_waited_for() -> None:
    """Another task closes the connection, as without us: whoever waits gets the error of the client library."""
    connection = Connection()
    with capture_spans() as captured:
        stream = track_stream(connection, model="m")
        assert await anext(stream) == "one "
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(ConnectionError, match="closed"):
            await waiting
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "abandoned"
    assert captured.events == []


class Broken:
    """An iterator whose end fails, of a source that has to be closed."""

    def __init__(self) -> None:
        self.is_closed = False

    def __iter__(self) -> Iterator[str]:
        try:
            yield "one "
        finally:
            raise OSError("broken")

    def close(self) -> None:
        self.is_closed = True


def test_the_source_is_closed_also_if_its_iterator_fails() -> None:
    """The error of the iterator is the consumer's, in whose chain its own one is, and no connection stays open."""
    source = Broken()
    failed: BaseException | None = None
    try:
        with track_stream(source, model="m") as stream:
            next(stream)
            raise KeyError("mine")
    except OSError as error:
        failed = error
    assert source.is_closed
    chain: list[type[BaseException]] = []
    while failed is not None:
        chain.append(type(failed))
        failed = failed.__context__
    assert chain == [OSError, GeneratorExit, KeyError]


# -- Between two items ------------------------------------------------------------------------------------------------


class InScope(ScriptedModel):
    """A model whose stream has a scope of its own open across its chunks."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("x", "y")
            for text in ("a", "b", "c"):
                yield ChatGenerationChunk(message=AIMessageChunk(content=text))


def scoped() -> Iterator[str]:
    """The same without LangChain."""
    with sentry_sdk.new_scope() as scope:
        scope.set_tag("x", "y")
        yield from "abc"


def in_a_thread(shape: str) -> None:
    """What a consumer does elsewhere."""
    with child_span(shape, "consumer's thread"):
        pass


STREAMS: dict[str, Any] = {
    "model": lambda: InScope().stream("Hi", {"callbacks": [SentryStreamHandler()]}),
    "tracked": lambda: track_stream(scoped(), model="m"),
}


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_scope_that_a_source_leaves_open_keeps_the_consumer_outside(shape: str, kind: str) -> None:
    """Spans that the consumer makes between two chunks are its own, though the source's scope is still in place."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as request:
        for number, _ in enumerate(STREAMS[kind]()):
            with child_span(shape, f"consumer {number}"):
                pass
            thread = Thread(target=in_a_thread, args=(shape,))
            thread.start()
            thread.join()
    spans = [span for span in captured.spans if span.name.startswith("consumer")]
    assert len(spans) >= 6
    assert {span.parent_id for span in spans} == {request}, captured.tree()


class Jobs:
    """An iterator that several tasks may wait for at a time."""

    def __init__(self, *items: str) -> None:
        self._items = asyncio.Queue[str]()
        for item in items:
            self._items.put_nowait(item)

    def __aiter__(self) -> Jobs:
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        if self._items.empty():
            raise StopAsyncIteration
        return self._items.get_nowait()


async def test_each_of_several_consumers_is_outside() -> None:
    """Two tasks share a stream: what each does with an item is not inside of the model span."""
    seen: list[Any] = []

    async def work() -> None:
        async for item in stream:
            seen.append(current_stream())
            with sentry_sdk.start_span(op="consumer", name=item):
                await asyncio.sleep(0)

    with capture_spans() as captured, sentry_sdk.start_transaction(op="task", name="pool"):
        stream: Any = track_stream(Jobs(*"abcdef"), model="m")
        await asyncio.gather(work(), work())
    assert seen == [None] * 6
    # Without us, too, a span of one of the tasks may be below one of the other, as they share their scope.
    model = captured.find(op="gen_ai.chat")
    assert model.span_id not in {span.parent_id for span in captured.find_all(op="consumer")}, captured.tree()


# -- Both ways --------------------------------------------------------------------------------------------------------


class Both:
    """A stream that may be iterated in both ways, as LiteLLM's."""

    def __init__(self) -> None:
        self._items = iter("abc")

    def __iter__(self) -> Both:
        return self

    def __next__(self) -> str:
        return next(self._items)

    def __aiter__(self) -> Both:
        return self

    async def __anext__(self) -> str:
        for item in self._items:
            return item
        raise StopAsyncIteration


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_a_source_of_both_kinds_may_be_iterated_in_both_ways(way: str) -> None:
    """`for` and `async for` both work, and either is one model call that is whole."""
    with capture_spans() as captured:
        stream: Any = track_stream(Both(), model="m")
        if way == "sync":
            with stream:
                assert list(stream) == ["a", "b", "c"]
        else:
            async with stream:
                assert [item async for item in stream] == ["a", "b", "c"]
    told = captured.find(op="gen_ai.chat").attributes
    assert (told["langchain_stream.chunks"], told["langchain_stream.outcome"]) == (3, "completed")
