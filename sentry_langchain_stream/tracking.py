"""`track_stream`: a model span around any stream of an answer, LangChain or not."""

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
from ._runs.live_runs import LiveRuns
from ._runs.run import Outcome, Start
from ._runs.settings import Settings
from ._runs.usage import Usage, approximate
from ._runtime.containment import contained
from ._vocabulary import providers
from ._vocabulary.keys import Dialect

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class _Tracked(Generic[T]):
    """What the sync and the async stream share: one model run, from the first pull on."""

    clock: Callable[[], float] = staticmethod(time.perf_counter)
    """The monotonic clock, in seconds, that all durations are measured with."""

    def __init__(self, name: str | None, request: Request, prompt: str | None, text: Any, settings: Settings) -> None:
        self._name = name
        self._request = request
        self._prompt = prompt
        self._text: Callable[[T], str] = text
        self._settings = settings
        self._runs = LiveRuns(settings, type(self).clock)
        self._id: UUID | None = None
        self._call: Call | None = None
        self._activation: Any = None
        self._usage: tuple[int | None, int | None] | None = None

    def set_usage(self, *, input_tokens: int | None = None, output_tokens: int | None = None) -> None:
        """State what the provider says that the call used. The last word counts.

        Args:
            input_tokens: Tokens of the prompt.
            output_tokens: Tokens of the answer.

        Raises:
            TypeError: A number is none.
            ValueError: A number is negative.
        """
        for name, tokens in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            if tokens is not None and (isinstance(tokens, bool) or not isinstance(tokens, int)):
                raise TypeError(f"{name} must be an int or None, not {type(tokens).__name__}")
            if tokens is not None and tokens < 0:
                raise ValueError(f"{name} must not be negative, and is {tokens}")
        self._usage = (input_tokens, output_tokens)

    def _pull(self) -> None:
        """The consumer wants the next item: from here on the source is at work."""
        with contained("track_stream"):
            if self._id is None:
                self._id = uuid4()
                self._runs.start(Start(id=self._id, kind="model", name=self._name), self._record)
                run = self._runs.get(self._id)
                self._call = run.call if run is not None else None
                if run is not None:
                    self._activation, run.place.activation = run.place.activation, None  # ours to pause and to end
            elif self._activation is not None:
                self._activation.resume()

    def _record(self, policy: Policy) -> Call:
        request = self._request
        if self._prompt is not None:
            counter = self._settings.token_counter or approximate
            with contained("token_counter"):
                request = request.estimating(count(counter(self._prompt)))
            if policy.inputs:
                with contained("prompt"):
                    request = request.asking(prompt_messages([self._prompt], policy))
        return Call(request, type(self).clock(), Gathered(policy) if policy.outputs else None)

    def _arrived(self, item: T) -> None:
        """The source has an item, and the consumer is at work again."""
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
        if self._activation is not None:
            with contained("nesting"):
                self._activation.pause()

    def _end(self, outcome: Outcome, error: BaseException | None = None) -> None:
        """The stream has ended. Only the first word counts."""
        self._pause()
        activation, self._activation = self._activation, None
        if activation is not None:
            with contained("nesting"):
                activation.end()
        call, self._call = self._call, None
        if call is None or self._id is None:
            return
        with contained("track_stream"):
            if self._usage is not None:
                asked, answered = self._usage
                arrived = call.chunks if call.counted is None else call.counted
                call.reported = Usage.stated(
                    call.request.estimated_input if asked is None else asked, arrived if answered is None else answered
                )
            self._runs.end(self._id, outcome, error)

    def _failed(self, error: BaseException) -> None:
        self._end(marks.outcome(error), error)

    def __del__(self) -> None:
        # The consumer has left, and nobody has closed the stream.
        if getattr(self, "_call", None) is not None:
            self._end("abandoned")


class TrackedStream(_Tracked[T], Iterator[T]):
    """A sync stream with a model span, as `track_stream` makes it."""

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
        """Leave the stream: close its source, and its span."""
        try:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        finally:
            self._end("abandoned")


class AsyncTrackedStream(_Tracked[T], AsyncIterator[T]):
    """An async stream with a model span, as `track_stream` makes it."""

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
        """Leave the stream: close its source, and its span."""
        try:
            close = getattr(self._items, "aclose", None)
            if close is not None:
                await close()
        finally:
            self._end("abandoned")


class StreamOptions(TypedDict, total=False):
    """The options of `track_stream` whose types do not depend on the stream. `track_stream` documents them."""

    pipeline_name: str | None
    provider: str
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
    provider: str = "openai",
    dialect: Dialect = "gen_ai",
    text: Callable[[Any], str] = str,
    token_counter: Callable[[str], int] | None = None,
    prompt: str | None = None,
    include_prompts: bool = True,
    redact: Callable[[str], str] | None = None,
) -> Any:
    """Give any stream of an answer a model span that is open from the first pull to the last item.

    The items come out unchanged. What the stream's own code does hangs below the span, what the consumer does between
    two items does not. Each item counts as one output token, unless `token_counter` or `set_usage(...)` of what is
    returned know better. If the source fails, the span says so, and the exception is the application's to report.

    Args:
        stream: An async or sync iterable, a generator say. It is pulled only when the result is.
        model: The model's name, which the cost goes by.
        pipeline_name: Name of the pipeline. Else that of `sentry_sdk.ai.monitoring`, else the generator's name.
        provider: LangChain's or OpenTelemetry's name of the provider.
        dialect: `"gen_ai"` or `"ai"`, as for `SentryStreamHandler`.
        text: Gives the text of an item. Called only if answers may be recorded, or there is a `token_counter`.
        token_counter: Counts the tokens of a text. It sees the answer item by item.
        prompt: What the model was asked: recorded if inputs may be, and the ground for an estimate of its tokens.
        include_prompts: `False` vetoes the recording of prompt and answer.
        redact: Called with the whole prompt and the whole answer, if they are recorded.

    Returns:
        An async iterator for an async iterable, else an iterator; each with `set_usage`, and `aclose` or `close`.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that is not allowed.
    """
    for argument, value in (("model", model), ("provider", provider)):
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
    known = providers.find(provider)
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
