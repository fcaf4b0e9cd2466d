"""The streams that `track_stream` returns."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Iterator
from inspect import isawaitable
from types import TracebackType
from typing import Any, TypeVar

from .._content import error_texts
from .._content.policy import Policy
from .._runtime import tracebacks
from .._to_sentry import issues
from . import pulls
from .tracked import Options, Tracked, policy_of

T = TypeVar("T")


class TrackedStream(Tracked[T], Iterator[T]):
    """A sync stream with a model span, made by `track_stream`. As a context manager it closes itself."""

    def __init__(self, source: Iterable[T], options: Options) -> None:
        Tracked.__init__(self, options)  # not the next class of `EitherTrackedStream`
        self._source: Any = source
        self._items: Any = None

    def __iter__(self) -> TrackedStream[T]:
        return self

    def __next__(self) -> T:
        pulled = self._pull()
        try:
            try:
                if self._items is None:
                    self._items = iter(self._source)
                item: T = next(self._items)
            finally:
                self._pause(pulled)
        except StopIteration:
            self._end("completed")
            raise
        except BaseException as error:
            if not _is_refusal(error, self):
                self._failed(error)
            raise
        self._arrived(item)
        return item

    def close(self) -> None:
        """Close the source of the stream, and the span. If the source has a `close`, that is called."""
        self._close(None)

    def _close(self, error: BaseException | None) -> None:
        goes_on = False
        try:
            self._close_source()
        except BaseException as failure:
            goes_on = _is_refusal(failure, self)
            raise
        finally:
            if not goes_on:
                self._left(error)

    def _close_source(self) -> None:
        pulled = self._run_source()
        try:
            first, *others = _closable(self._items, self._source)
            try:
                _closed(first)
            finally:  # the connection, also if its iterator fails
                for each in others:
                    _closed(each)
        finally:
            self._pause(pulled)

    def __enter__(self) -> TrackedStream[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close(error)


class AsyncTrackedStream(Tracked[T], AsyncIterator[T]):
    """An async stream with a model span, made by `track_stream`. As a context manager it closes itself."""

    def __init__(self, source: AsyncIterable[T] | Awaitable[AsyncIterable[T]], options: Options) -> None:
        super().__init__(options)
        self._source: Any = source
        self._items: Any = None

    def __aiter__(self) -> AsyncTrackedStream[T]:
        return self

    async def __anext__(self) -> T:
        pulled = self._pull()
        try:
            try:
                if self._items is None:
                    source = self._source
                    if not isinstance(source, AsyncIterable):
                        self._source = source = await source
                        self._resolved(source)
                    self._items = aiter(source)
                item: T = await anext(self._items)
            finally:
                self._pause(pulled)
        except StopAsyncIteration:
            self._end("completed")
            raise
        except BaseException as error:
            if not _is_refusal(error, self):
                self._failed(error)
            raise
        self._arrived(item)
        return item

    async def aclose(self) -> None:
        """Close the source of the stream, and the span. If the source has an `aclose` or a `close`, that is called."""
        await self._aclose(None)

    async def _aclose(self, error: BaseException | None) -> None:
        goes_on = False
        try:
            await self._aclose_source()
        except BaseException as failure:
            goes_on = _is_refusal(failure, self)
            raise
        finally:
            if not goes_on:
                self._left(error)

    async def _aclose_source(self) -> None:
        pulled = self._run_source()
        try:
            first, *others = _closable(self._items, self._source)
            try:
                await _aclosed(first)
            finally:  # the connection, also if its iterator fails
                for each in others:
                    await _aclosed(each)
        finally:
            self._pause(pulled)

    async def __aenter__(self) -> AsyncTrackedStream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._aclose(error)


class EitherTrackedStream(TrackedStream[T], AsyncTrackedStream[T]):
    """A stream whose source may be iterated in both ways, as that of LiteLLM. Choose one."""


def _closed(source: object) -> None:
    close = getattr(source, "close", None)
    if close is not None:
        close()


async def _aclosed(source: object) -> None:
    close = getattr(source, "aclose", None) or getattr(source, "close", None)
    done = close() if close is not None else None
    if isawaitable(done):
        await done


def _closable(items: object, source: object) -> list[object]:
    """Return what closing a stream closes: its iterator, and its source if that is another object.

    Closing the iterator of an OpenAI stream does not close the stream, which holds the connection. And a generator that
    runs elsewhere, where an item is waited for, cannot be closed, but its source can.
    """
    if items is None or items is source:
        return [source]
    is_running = getattr(items, "gi_running", False) or getattr(items, "ag_running", False)
    return [source] if is_running and (hasattr(source, "close") or hasattr(source, "aclose")) else [items, source]


def _is_refusal(error: BaseException, stream: Any) -> bool:
    """Whether Python has refused to run the source of a stream because it is running already. Then the stream goes on.

    The source runs in another thread or task, or has made the request itself. What a source raises has come through one
    of its frames, and a refusal has not. A `RuntimeError` may come from Python without a frame of the source for other
    reasons, too: an async generator has yielded when it was closed. But such a generator is not running any more.
    An object of another kind may hand its requests on to a generator. There Python's words decide, and only while
    another request is going on.
    """
    if stream._requests and type(error) in (ValueError, RuntimeError):
        said = error.args[0] if len(error.args) == 1 else None
        if type(said) is str and said in _REFUSALS:
            return True
    while issubclass(type(stream), Tracked):  # a tracked stream may be tracked again
        stream = stream._source if stream._items is None else stream._items
    if any(entry.tb_frame.f_globals is not globals() for entry in tracebacks.entries(error)):
        return False
    if type(error) is ValueError:
        return hasattr(type(stream), "gi_running") or hasattr(type(stream), "cr_running")
    if type(error) is RuntimeError:
        return bool(getattr(stream, "ag_running", False)) or getattr(stream, "cr_await", None) is not None
    return False


_REFUSALS = {
    *("generator already executing", "coroutine already executing", "coroutine is being awaited already"),
    *(f"{method}(): asynchronous generator is already running" for method in ("anext", "asend", "aclose")),
}
"""What Python says of what is running already (3.10 to 3.15)."""

_METHODS = frozenset(
    method.__code__
    for method in (
        *(TrackedStream.__next__, TrackedStream._close),
        *(AsyncTrackedStream.__anext__, AsyncTrackedStream._aclose),
    )
)
"""The methods that an exception of a source comes through."""


def _may_be_recorded(_: Any, error: BaseException) -> list[Policy]:
    """What may be recorded of the streams that an exception has come through, or whose source reports it."""
    inside = pulls.running()
    entries = [entry for part in error_texts.chain(error) for entry in tracebacks.entries(part)]
    through = [tracebacks.variable(each.tb_frame, "self") for each in entries if each.tb_frame.f_code in _METHODS]
    return [policy_of(each) for each in (*through, inside) if isinstance(each, Tracked)]


issues.also(_may_be_recorded)
