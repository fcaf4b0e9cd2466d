"""Reads the input tokens of embedding calls from the answers of the providers' client libraries.

LangChain's embedding models return vectors and drop the rest. So the methods of the client libraries that they call are
wrapped, once the first call of an embedding model is recorded. Outside of such a call they do nothing more.

A name that is missing, or an answer of another shape, leaves an estimate in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakSet

from .._content.reading import as_text, count, field
from .._runs.texts_call import TextsCall
from .._runtime.containment import contained
from . import inside

Read = Callable[[Any], "tuple[int | None, str | None]"]
"""Returns the input tokens and the model of an answer, as far as it has them."""


class _Method(NamedTuple):
    """A method of a client library that requests embeddings."""

    module: str
    cls: str
    name: str
    read: Read


def _openai(answer: Any) -> tuple[int | None, str | None]:
    return count(field(field(answer, "usage"), "prompt_tokens")), as_text(field(answer, "model"))


def _ollama(answer: Any) -> tuple[int | None, str | None]:
    return count(field(answer, "prompt_eval_count")), as_text(field(answer, "model"))


def _google(answer: Any) -> tuple[int | None, str | None]:
    tokens = count(field(field(answer, "usage_metadata"), "prompt_token_count"))
    if tokens is not None:
        return tokens, None
    # Vertex AI counts each text, as a float.
    each = [field(field(one, "statistics"), "token_count") for one in field(answer, "embeddings") or ()]
    numbers = [int(one) for one in each if isinstance(one, (int, float)) and not isinstance(one, bool)]
    return (sum(numbers) if numbers and len(numbers) == len(each) else None), None


def _bedrock(answer: Any) -> tuple[int | None, str | None]:
    return (count(answer.get("inputTextTokenCount")) if isinstance(answer, Mapping) else None), None


_METHODS = (
    _Method("openai.resources.embeddings", "Embeddings", "create", _openai),
    _Method("openai.resources.embeddings", "AsyncEmbeddings", "create", _openai),
    _Method("ollama._client", "Client", "embed", _ollama),
    _Method("ollama._client", "AsyncClient", "embed", _ollama),
    _Method("google.genai.models", "Models", "embed_content", _google),
    _Method("google.genai.models", "AsyncModels", "embed_content", _google),
    # The tokens are in the body, a stream that boto3's caller reads.
    _Method("langchain_aws.embeddings.bedrock", "BedrockEmbeddings", "_invoke_model", _bedrock),
)
"""Seen in openai 3.57, ollama 0.6, google-genai 3.6 and langchain-aws 1.9."""

_undo: dict[_Method, Callable[[], None]] = {}
_made: WeakSet[Any] = WeakSet()


def read_them() -> None:
    """Wrap the methods of those client libraries that are imported, and not wrapped yet."""
    for method in _METHODS:
        if method not in _undo and method.module in sys.modules:
            with contained("client library"):
                _wrap(method)


def uninstall() -> None:
    """Put back the methods."""
    while _undo:
        _undo.popitem()[1]()


def _wrap(method: _Method) -> None:
    cls: Any = getattr(sys.modules[method.module], method.cls, None)
    original: Any = vars(cls).get(method.name) if isinstance(cls, type) else None
    if not isinstance(original, FunctionType) or _is_wrapped(original):
        _undo[method] = _nothing
        return
    asked: Any = original

    if iscoroutinefunction(original):

        @wraps(asked)
        async def request_async(*args: Any, **kwargs: Any) -> Any:
            answer = await asked(*args, **kwargs)
            _note(method.read, answer)
            return answer

        made: Any = request_async
    else:

        @wraps(asked)
        def request(*args: Any, **kwargs: Any) -> Any:
            answer = asked(*args, **kwargs)
            _note(method.read, answer)
            return answer

        made = request

    def undo() -> None:
        if vars(cls).get(method.name) is made:
            setattr(cls, method.name, original)

    setattr(cls, method.name, made)
    _made.add(made)
    _undo[method] = undo


def _is_wrapped(method: Any) -> bool:
    """Whether ours is inside what somebody else has wrapped around it, so that it could not be undone before."""
    while method is not None and method not in _made:
        method = getattr(method, "__wrapped__", None)
    return method is not None


def _note(read: Read, answer: object) -> None:
    """Add the tokens of an answer to the call of the embedding model that requested it, if there is one."""
    run = inside.wrapped_call()
    if run is not None and run.kind == "embeddings" and isinstance(run.call, TextsCall):
        with contained("tokens of an embedding call"):
            run.call.count(*read(answer))


def _nothing() -> None:
    """There is nothing to undo."""
