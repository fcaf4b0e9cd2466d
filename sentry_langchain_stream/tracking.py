"""`track_stream`: a model span for any stream of an answer, with or without LangChain."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from functools import wraps
from inspect import isasyncgenfunction, isawaitable, isgeneratorfunction
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypedDict, TypeVar, overload

from ._content.labels import conversation_id as conversation_of
from ._from_clients import readers
from ._from_clients.pulls import running
from ._from_clients.requests import Given
from ._from_clients.streams import AsyncTrackedStream, EitherTrackedStream, TrackedStream
from ._from_clients.tracked import Options, Tracked
from ._runs.call import Request
from ._runs.environment import with_environment
from ._runs.settings import Settings
from ._runtime.arguments import check_optional_text, check_text
from ._runtime.containment import contained
from ._vocabulary import providers
from ._vocabulary.keys import Dialect

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncTrackedStream", "TrackedStream", "current_stream", "track_stream"]

T = TypeVar("T")
P = ParamSpec("P")


class StreamOptions(TypedDict, total=False):
    """The options of `track_stream` whose types do not depend on the stream. `track_stream` documents them."""

    pipeline_name: str | None
    provider: str | None
    dialect: Dialect
    token_counter: Callable[[str], float] | None
    prompt: str | None
    messages: Any
    system: Any
    tools: Any
    parameters: Any
    conversation_id: str | None
    metadata: Mapping[str, Any] | None
    include_prompts: bool
    redact: Callable[[str], str] | None


class DecoratorOptions(TypedDict, total=False):
    """The options of `track_stream` as a decorator, where those of one request may be functions."""

    pipeline_name: str | None
    provider: str | None
    dialect: Dialect
    token_counter: Callable[[str], float] | None
    prompt: str | Callable[..., str | None] | None
    messages: Any
    system: Any
    tools: Any
    parameters: Any
    conversation_id: str | Callable[..., str | None] | None
    metadata: Mapping[str, Any] | Callable[..., Mapping[str, Any] | None] | None
    include_prompts: bool
    redact: Callable[[str], str] | None


class StreamDecorator(Protocol):
    """What `track_stream` returns if it gets no stream: a decorator for generator functions."""

    @overload
    def __call__(self, function: Callable[P, AsyncIterator[T]], /) -> Callable[P, AsyncTrackedStream[T]]: ...

    @overload
    def __call__(self, function: Callable[P, Iterator[T]], /) -> Callable[P, TrackedStream[T]]: ...


@overload
def track_stream(
    stream: AsyncIterable[T] | Awaitable[AsyncIterable[T]],
    *,
    model: str,
    text: Callable[[T], str] | None = ...,
    **options: Unpack[StreamOptions],
) -> AsyncTrackedStream[T]: ...


@overload
def track_stream(
    stream: Iterable[T], *, model: str, text: Callable[[T], str] | None = ..., **options: Unpack[StreamOptions]
) -> TrackedStream[T]: ...


@overload
def track_stream(
    *, model: str, text: Callable[[Any], str] | None = ..., **options: Unpack[DecoratorOptions]
) -> StreamDecorator: ...


def track_stream(
    stream: Any = ...,  # not `None`, which a client may return by mistake
    *,
    model: str,
    pipeline_name: str | None = None,
    provider: str | None = None,
    dialect: Dialect | None = None,
    text: Callable[[Any], str] | None = None,
    token_counter: Callable[[str], float] | None = None,
    prompt: Any = None,
    messages: Any = None,
    system: Any = None,
    tools: Any = None,
    parameters: Any = None,
    conversation_id: Any = None,
    metadata: Any = None,
    include_prompts: bool | None = None,
    redact: Callable[[str], str] | None = None,
) -> Any:
    """Give any stream of an answer a model span, open from the first request for an item to the end of the stream.

    The items are passed on unchanged. Spans that the stream's own code makes become children of the model span; spans
    that the consumer makes between two items do not. If the source fails, the span records the error and the exception
    is raised to the consumer. It is not reported as an issue.

    The chunks of these client libraries are understood: `openai` (chat completions, Responses), `anthropic`,
    `google-genai`, `boto3` (Bedrock's `converse_stream`), `ollama`, and the same as mappings. Usage, model, id, finish
    reason, text, reasoning and tool calls are read from them. Of any other item the tokens are estimated, by its text
    if it is one or if `text` returns one, unless there is a `token_counter` or the application calls `set_usage(...)`
    of the returned stream.

    Without a stream, this is a decorator for a generator function, sync or async. Each call then returns a tracked
    stream. Requests that the function makes are inside of the span. There `prompt`, `messages`, `system`, `tools`,
    `parameters`, `conversation_id` and `metadata` may be functions. They are called with the arguments of the call.

    Args:
        stream: An async or sync iterable, for example a generator or the stream of a client library, or an awaitable of
            an async iterable: the request of an async client, which is then sent inside of the span. An item is
            requested only when the consumer asks.
        model: The model's name, from which Sentry computes the cost.
        pipeline_name: Name of the pipeline. If it is left out: Sentry's own pipeline name, else the generator's
            name, else `"stream"`.
        provider: LangChain's or OpenTelemetry's name of the provider. If it is left out, it is recorded only if the
            chunks or the host that the stream comes from make it certain: many providers offer OpenAI's protocol.
        dialect: `"gen_ai"`, the default, or `"ai"`, as for `SentryStreamHandler`. If this, `pipeline_name` or
            `include_prompts` is left out, the environment may have a value, as for the handler.
        text: Returns the text of an item. If it is given, only that text is recorded of the answer. Of a text, and of
            the chunks that are understood, it is asked only if answers may be recorded or there is a `token_counter`.
        token_counter: Counts the tokens of a text. It is called with the prompt, and with the answer item by item.
        prompt: The prompt, if it is one text. It is recorded if inputs may be, and its tokens are estimated.
        messages: The messages of the request, in the shape of any of these libraries or LangChain's, instead of
            `prompt`. They are recorded if inputs may be.
        system: The system instructions, where they are not among the messages.
        tools: The tools offered to the model, as in the request.
        parameters: Parameters of the request by the provider's names, such as `temperature`. What is no parameter that
            Sentry has a name for is ignored, so the whole keyword arguments of the request may be given.
        conversation_id: The id of the conversation. It is hashed unless it is opaque already.
        metadata: Values to record as `langchain_stream.metadata.<key>`, if inputs may be recorded.
        include_prompts: `False` turns off the recording of the prompt and the answer.
        redact: Called with each text of the prompt and the answer before it is recorded.

    Returns:
        An async iterator for an async iterable or an awaitable, otherwise an iterator. Both have `set_usage` and
        `set_response` and are context managers; the first has `aclose`, the second `close`. A decorator if there is no
        stream.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that is not allowed.
    """
    per_request = {
        "prompt": prompt,
        "messages": messages,
        "system": system,
        "tools": tools,
        "parameters": parameters,
        "conversation_id": conversation_id,
        "metadata": metadata,
    }
    _check(model=model, provider=provider, text=text)
    outside = with_environment({})
    settings = Settings(
        pipeline_name=outside.get("pipeline_name") if pipeline_name is None else pipeline_name,
        dialect=outside.get("dialect", "gen_ai") if dialect is None else dialect,
        include_prompts=outside.get("include_prompts", True) if include_prompts is None else include_prompts,
        redact=redact,
        token_counter=token_counter,
        capture_errors=False,
    )

    def tracked(source: Any, **given: Any) -> Any:
        return _tracked(source, model=model, provider=provider, text=text, settings=settings, **given)

    if stream is ...:
        _check_request({name: value for name, value in per_request.items() if not callable(value)})
        return _decorator(tracked, per_request)
    _check_request(per_request)
    return tracked(stream, **per_request)


def current_stream() -> TrackedStream[Any] | AsyncTrackedStream[Any] | None:
    """Return the tracked stream whose source is running, so that a decorated generator can call its `set_usage`.

    Returns:
        The innermost tracked stream whose source runs in this context, or `None` if there is none.
    """
    found: Tracked[Any] | None = running()
    return found if isinstance(found, (TrackedStream, AsyncTrackedStream)) else None


def _check(*, model: object, provider: object, text: object) -> None:
    check_text("model", model)
    if provider is not None:
        check_text("provider", provider)
    if text is not None and not callable(text):
        raise TypeError(f"text must be a callable that takes an item, not {type(text).__name__}")


def _check_request(given: Mapping[str, Any]) -> None:
    for argument, value in given.items():
        if callable(value):
            raise TypeError(f"{argument} must not be a function where there is a stream: nothing would call it")
    known = given.get("parameters")
    if known is not None and not isinstance(known, Mapping):
        raise TypeError(f"parameters must be a mapping or None, not {type(known).__name__}")
    for argument in ("prompt", "conversation_id"):
        check_optional_text(argument, given.get(argument))
    for argument, wrong in _NEVER.items():
        if isinstance(value := given.get(argument), wrong):
            raise TypeError(f"{argument} must be as in the request of a client library, not {type(value).__name__}")
    labels = given.get("metadata")
    if labels is not None and not (isinstance(labels, Mapping) and all(isinstance(key, str) for key in labels)):
        raise TypeError(f"metadata must be a mapping with keys of type str, or None, not {type(labels).__name__}")


_NUMBERS = (bool, int, float, bytes)
_NEVER: Mapping[str, tuple[type, ...]] = {"messages": _NUMBERS, "system": _NUMBERS, "tools": (*_NUMBERS, str)}
"""What no client library takes, of arguments that each takes in shapes of its own."""


def _decorator(tracked: Callable[..., Any], per_request: Mapping[str, Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        if not (isasyncgenfunction(function) or isgeneratorfunction(function)):
            name = getattr(function, "__qualname__", type(function).__name__)
            raise TypeError(f"track_stream as a decorator must get a generator function, sync or async, not {name}")

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = dict(per_request)
            for name, value in per_request.items():
                if callable(value):
                    given[name] = None
                    with contained(name):
                        found = value(*args, **kwargs)
                        _check_request({name: found})
                        given[name] = found
            return tracked(function(*args, **kwargs), **given)

        return call

    return decorate


def _tracked(
    stream: Any,
    *,
    model: str,
    provider: str | None,
    text: Callable[[Any], str] | None,
    settings: Settings,
    conversation_id: str | None,
    metadata: Mapping[str, Any] | None,
    **given: Any,
) -> Any:
    name = provider
    if name is None:
        with contained("provider"):
            name = readers.provider_of(stream)
    known = providers.find(name) if name is not None else None
    labels = dict(metadata or {})
    options = Options(
        name=getattr(stream, "__name__", None) or "stream",
        request=Request(model=model, provider=known.name if known else None, platform=providers.platform_of(known)),
        given=Given(**given),
        text=text,
        conversation_id=conversation_of({"conversation_id": conversation_id}),
        metadata=labels,
        settings=settings.with_metadata_keys(tuple(labels)) if labels else settings,
    )
    if isinstance(stream, (str, bytes, Mapping)):
        raise TypeError(f"stream must be an iterable of the items of an answer, not {type(stream).__name__}")
    if isinstance(stream, AsyncIterable) and isinstance(stream, Iterable) and not isawaitable(stream):
        return EitherTrackedStream(stream, options)
    if isinstance(stream, AsyncIterable) or isawaitable(stream):  # a task is iterable, too
        return AsyncTrackedStream(stream, options)
    if isinstance(stream, Iterable):
        return TrackedStream(stream, options)
    raise TypeError(f"stream must be an async or sync iterable, not {type(stream).__name__}")
