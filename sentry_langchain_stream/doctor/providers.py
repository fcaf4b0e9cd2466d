"""Replaces the providers of all chat and completion models with a scripted one, or only watches them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, CallbackManager
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult, Generation, GenerationChunk, LLMResult

from .._runtime.interpreter import with_subclasses

PIECES = ("I ", "do ", "arrive.")
USAGE = {"input_tokens": 4, "output_tokens": 3, "total_tokens": 7}
_METHODS = ("_stream", "_astream", "_generate", "_agenerate")


@dataclass(slots=True)
class Calls:
    """The calls of models during the probe."""

    handlers: list[tuple[Any, ...]] = field(default_factory=list)
    """For each call, the handlers that LangChain calls for it."""
    models: dict[int, tuple[Any, bool]] = field(default_factory=dict)
    """The models that were called, by their id, and whether the usage of each of their calls comes."""

    def note(self, model: Any, method: str, kwargs: dict[str, Any]) -> bool:
        """Note a call of a provider, and return whether its usage comes: it is not streamed, or the model asks."""
        asks = not method.endswith("stream") or asks_usage(model, kwargs)
        _, before = self.models.get(id(model), (model, True))
        self.models[id(model)] = model, before and asks
        return asks


def asks_usage(model: Any, kwargs: dict[str, Any] | None = None) -> bool:
    """Whether a model object asks its provider for the usage of a stream, as far as it can be known.

    The models of langchain-openai, and those built on them, have a switch that is off if a base URL is set. What has no
    such switch is taken to report it.
    """
    if not hasattr(model, "stream_usage"):
        return True
    if getattr(model, "use_responses_api", None):
        return True  # its streams always end with the usage
    given = kwargs or {}
    extra = getattr(model, "model_kwargs", None) or {}
    asked = (
        given.get("stream_usage"),
        (given.get("stream_options") or {}).get("include_usage"),
        (extra.get("stream_options") or {}).get("include_usage"),
        model.stream_usage,
    )
    return next((each for each in asked if isinstance(each, bool)), False)


@contextmanager
def providers(*, live: bool) -> Iterator[Calls]:
    """Let models answer from a script in the block, and note their calls. With `live`, they are only noted.

    The methods with which each class of models calls its provider are replaced, and put back afterwards.
    """
    calls = Calls()
    before: list[tuple[Any, str, Any]] = []
    cache = get_llm_cache()
    set_llm_cache(None)  # it may be on a server, and a cached answer has no call
    try:
        for base in (BaseChatModel, BaseLLM):
            for cls in set(with_subclasses(base)) - {base}:
                for name in _METHODS:
                    if callable(method := vars(cls).get(name)):
                        before.append((cls, name, method))
                        scripted = _SCRIPTED[base](name, calls)
                        setattr(cls, name, _watched(method, name, calls) if live else scripted)
        for manager in (CallbackManager, AsyncCallbackManager):
            for name in ("on_chat_model_start", "on_llm_start"):
                before.append((manager, name, getattr(manager, name)))
                setattr(manager, name, _noting(getattr(manager, name), calls))
        yield calls
    finally:
        for cls, name, method in reversed(before):
            setattr(cls, name, method)
        set_llm_cache(cache)


def _watched(method: Callable[..., Any], name: str, calls: Calls) -> Callable[..., Any]:
    @wraps(method)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.note(self, name, kwargs)
        return method(self, *args, **kwargs)

    return watched


def _noting(start: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    """Note the handlers of a call as it starts: not every method that calls a provider gets them."""

    @wraps(start)
    def noted(self: Any, serialized: Any, prompts: Any, *args: Any, **kwargs: Any) -> Any:
        calls.handlers += [tuple(self.handlers)] * len(prompts)
        return start(self, serialized, prompts, *args, **kwargs)

    return noted


def _name(model: Any) -> str:
    names = (getattr(model, name, None) for name in ("model_name", "model", "model_id"))
    return next((name for name in names if isinstance(name, str) and name), "doctor-probe")


def answer(model: str, *, usage: bool) -> Iterator[ChatGenerationChunk]:
    """Yield the chunks of the scripted answer.

    Args:
        model: The model that is said to answer.
        usage: Whether the last one has the usage.
    """
    for piece in PIECES:
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    metadata = {"model_name": model, "finish_reason": "stop"}
    counted: Any = USAGE if usage else None
    last = AIMessageChunk(content="", response_metadata=metadata, usage_metadata=counted)
    yield ChatGenerationChunk(message=last)


def _chat(name: str, calls: Calls) -> Callable[..., Any]:
    """Return what takes the place of a chat model's method."""

    def stream(self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        usage = calls.note(self, name, kwargs)
        return answer(_name(self), usage=usage)

    async def astream(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in stream(self, messages, stop, run_manager, **kwargs):
            yield chunk

    def generate(self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return generate_from_stream(stream(self, messages, stop, run_manager, **kwargs))

    async def agenerate(
        self: Any, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return generate(self, messages, stop, run_manager, **kwargs)

    methods: dict[str, Callable[..., Any]]
    methods = {"_stream": stream, "_astream": astream, "_generate": generate, "_agenerate": agenerate}
    return methods[name]


def _text(name: str, calls: Calls) -> Callable[..., Any]:
    """Return what takes the place of a completion model's method."""

    def stream(
        self: Any, prompt: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        calls.note(self, name, kwargs)
        return (GenerationChunk(text=piece) for piece in PIECES)

    async def astream(
        self: Any, prompt: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        for chunk in stream(self, prompt, stop, run_manager, **kwargs):
            yield chunk

    def generate(self: Any, prompts: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        calls.note(self, name, kwargs)
        return LLMResult(generations=[[Generation(text="".join(PIECES))] for _ in prompts])

    async def agenerate(self: Any, prompts: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        return generate(self, prompts, stop, run_manager, **kwargs)

    methods: dict[str, Callable[..., Any]]
    methods = {"_stream": stream, "_astream": astream, "_generate": generate, "_agenerate": agenerate}
    return methods[name]


_SCRIPTED: Mapping[type[Any], Callable[[str, Calls], Callable[..., Any]]] = {BaseChatModel: _chat, BaseLLM: _text}
