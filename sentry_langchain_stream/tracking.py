"""`track_stream`: a model span for any stream of an answer, with or without LangChain."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, overload
from uuid import UUID, uuid4

from ._content.gathered import Gathered
from ._content.messages import prompt_messages
from ._content.policy import Policy
from ._content.reading import count
from ._from_langchain import marks
from ._runs.call import Call, Request
from ._runs.estimates import approximate
from ._runs.live_runs import LiveRuns
from ._runs.run import Outcome, Start
from ._runs.settings import Settings
from ._runs.usage import Usage
from ._runtime.containment import contained
from ._to_sentry.active_span import Pull
from ._vocabulary import providers
from ._vocabulary.keys import Dialect

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class _Tracked(Generic[T]):
    """The common base of the sync and the async stream: one model run, which starts with the first item requested."""

    clock: Callable[[], float] = staticmethod(time.perf_counter)
    """The monotonic clock for all durations, in seconds."""

    def __init__(self, name: str | None, request: Request, prompt: str | None, text: Any, settings: Settings) -> None:
        self._name = name
        self._request = request
        self._prompt = prompt
        self._text: Callable[[T], str] = text
        self._settings = settings
        self._runs = LiveRuns(settings, type(self).clock)
        self._id: UUID | None = None
        self._call: Call | None = None
        self._pulling: Pull | None = None
        self._usage: tuple[int | None, int | None] | None = None

    def set_usage(self, *, input_tokens: int | None = None, output_tokens: int | None = None) -> None:
        """Set the usage that the provider reported. The last call wins. A number that is left out is estimated.

        Args:
            input_tokens: Tokens of the prompt.
            output_tokens: Tokens of the answer.

        Raises:
            TypeError: An argument is neither an `int` nor `None`.
            ValueError: A number is negative.
        """
        for name, tokens in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int)):
                raise TypeError(f"{name} must be an int or None, not {type(tokens).__name__}")
            if tokens is not None and tokens < 0:
                raise ValueError(f"{name} must not be negative, but is {tokens}")
        self._usage = (input_tokens, output_tokens)

    def _pull(self) -> None:
        """The consumer requests the next item: from now on the source is running."""
        with contained("track_stream"):
            if self._id is None:
                self._id = uuid4()
                self._runs.start(self._start(self._id), self._record)
                run = self._runs.get(self._id)
                self._call = run.call if run is not None else None
                if run is not None and run.place.anchor is not None:
                    self._pulling = Pull(run.place.anchor)
            if self._pulling is not None:
                self._pulling.begin()

    def _start(self, id: UUID) -> Start:
        request = self._request
        return Start(id=id, kind="model", name=self._name, operation=request.operation, model=request.model)

    def _record(self, policy: Policy) -> Call:
        request = self._request
        if self._prompt is not None:
            counter = self._settings.token_counter or approximate
            with contained("token_counter"):
                request = request.with_estimated_input(count(counter(self._prompt)))
            if policy.inputs:
                with contained("prompt"):
                    request = request.with_messages(prompt_messages([self._prompt], policy))
        gathered = Gathered(policy) if policy.outputs else None
        return Call(request, type(self).clock(), gathered, assumes_model=False)

    def _arrived(self, item: T) -> None:
        """The source has returned an item: from now on the consumer is running."""
        self._pause()
        call = self._call
        if call is None:
            return
        with contained("track_stream"):
            call.streamed = True
            call.add_chunk(type(self).clock())
            if call.text is not None or self._settings.token_counter is not None:
                call.read(self._text(item), self._settings.token_counter)

    def _pause(self) -> None:
        if self._pulling is not None:
            with contained("nesting"):
                self._pulling.pause()

    def _end(self, outcome: Outcome, error: BaseException | None = None) -> None:
        """End the run. Only the first call has an effect."""
        self._pause()
        pulling, self._pulling = self._pulling, None
        if pulling is not None:
            with contained("nesting"):
                pulling.end()
        call, self._call = self._call, None
        if call is None or self._id is None:
            return
        with contained("track_stream"):
            if self._usage is not None:
                input_tokens, output_tokens = self._usage
                arrived = call.chunks if call.counted is None else call.counted
                stated = Usage.stated(
                    call.request.estimated_input if input_tokens is None else input_tokens,
                    arrived if output_tokens is None else output_tokens,
                )
                is_whole = input_tokens is not None and output_tokens is not None
                call.reported = stated if is_whole else stated._replace(source="estimate")
            self._runs.end(self._id, outcome, error)

    def _failed(self, error: BaseException) -> None:
        self._end(marks.outcome(error), error)

    def __del__(self) -> None:
        # The consumer left without closing the stream.
        if getattr(self, "_call", None) is not None:
            self._end("abandoned")


class TrackedStream(_Tracked[T], Iterator[T]):
    """A sync stream with a model span, made by `track_stream`."""

    def __init__(self, source: Iterable[T], *args: Any) -> None:
        super().__init__(*args)
        self._source = source
        self._items: Iterator[T] | None = None

    def __iter__(self) -> TrackedStream[T]:
        return self

    def __next__(self) -> T:
        self._pull()
        try:
            if self._items is None:
                self._items = iter(self._source)
            item = next(self._items)
        except StopIteration:
            self._end("completed")
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._arrived(item)
        return item

    def close(self) -> None:
        """Close the source of the stream, and the span."""
        try:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        finally:
            self._end("abandoned")


class AsyncTrackedStream(_Tracked[T], AsyncIterator[T]):
    """An async stream with a model span, made by `track_stream`."""

    def __init__(self, source: AsyncIterable[T], *args: Any) -> None:
        super().__init__(*args)
        self._source = source
        self._items: AsyncIterator[T] | None = None

    def __aiter__(self) -> AsyncTrackedStream[T]:
        return self

    async def __anext__(self) -> T:
        self._pull()
        try:
            if self._items is None:
                self._items = aiter(self._source)
            item = await anext(self._items)
        except StopAsyncIteration:
            self._end("completed")
            raise
        except BaseException as error:
            self._failed(error)
            raise
        self._arrived(item)
        return item

    async def aclose(self) -> None:
        """Close the source of the stream, and the span."""
        try:
            close = getattr(self._items, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end("abandoned")


class StreamOptions(TypedDict, total=False):
    """The options of `track_stream` whose types do not depend on the stream. `track_stream` documents them."""

    pipeline_name: str | None
    provider: str | None
    dialect: Dialect
    token_counter: Callable[[str], int] | None
    prompt: str | None
    include_prompts: bool
    redact: Callable[[str], str] | None


@overload
def track_stream(
    stream: AsyncIterable[T], *, model: str, text: Callable[[T], str] = ..., **options: Unpack[StreamOptions]
) -> AsyncTrackedStream[T]: ...


@overload
def track_stream(
    stream: Iterable[T], *, model: str, text: Callable[[T], str] = ..., **options: Unpack[StreamOptions]
) -> TrackedStream[T]: ...


def track_stream(
    stream: Any,
    *,
    model: str,
    pipeline_name: str | None = None,
    provider: str | None = None,
    dialect: Dialect = "gen_ai",
    text: Callable[[Any], str] = str,
    token_counter: Callable[[str], int] | None = None,
    prompt: str | None = None,
    include_prompts: bool = True,
    redact: Callable[[str], str] | None = None,
) -> Any:
    """Give any stream of an answer a model span, open from the first request for an item to the end of the stream.

    The items are passed on unchanged. Spans that the stream's own code makes become children of the model span; spans
    that the consumer makes between two items do not. Each item counts as one output token, unless there is a
    `token_counter` or the application calls `set_usage(...)` of the returned stream. If the source fails, the span
    records the error and the exception is raised to the consumer. It is not reported as an issue.

    Args:
        stream: An async or sync iterable, for example a generator. An item is requested only when the consumer asks.
        model: The model's name, from which Sentry computes the cost.
        pipeline_name: Name of the pipeline. If it is left out: Sentry's own pipeline name, else the generator's name.
        provider: LangChain's or OpenTelemetry's name of the provider. If it is left out, none is recorded: several
            providers offer models of the same names.
        dialect: `"gen_ai"` or `"ai"`, as for `SentryStreamHandler`.
        text: Returns the text of an item. Called only if answers may be recorded or there is a `token_counter`.
        token_counter: Counts the tokens of a text. It is called with the prompt, and with the answer item by item.
        prompt: The prompt. It is recorded if inputs may be, and its tokens are estimated.
        include_prompts: `False` turns off the recording of the prompt and the answer.
        redact: Called with the whole prompt and the whole answer before they are recorded.

    Returns:
        An async iterator for an async iterable, otherwise an iterator. Both have `set_usage`; the first has `aclose`,
        the second `close`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that is not allowed.
    """
    for argument, value in (("model", model), ("provider", provider)):
        if value is None and argument == "provider":
            continue
        if not isinstance(value, str):
            raise TypeError(f"{argument} must be a str, not {type(value).__name__}")
        if not value.strip():
            raise ValueError(f"{argument} must not be empty")
    if not callable(text):
        raise TypeError(f"text must be a callable that takes an item, not {type(text).__name__}")
    if prompt is not None and not isinstance(prompt, str):
        raise TypeError(f"prompt must be a str or None, not {type(prompt).__name__}")
    settings = Settings(
        pipeline_name=pipeline_name,
        dialect=dialect,
        include_prompts=include_prompts,
        redact=redact,
        token_counter=token_counter,
        capture_errors=False,
    )
    known = providers.find(provider) if provider is not None else None
    request = Request(
        model=model,
        provider=known.name if known else None,
        platform=providers.platform_of(known),
    )
    shared = (getattr(stream, "__name__", None), request, prompt, text, settings)
    if isinstance(stream, AsyncIterable):
        return AsyncTrackedStream(stream, *shared)
    if isinstance(stream, Iterable):
        return TrackedStream(stream, *shared)
    raise TypeError(f"stream must be an async or sync iterable, not {type(stream).__name__}")
