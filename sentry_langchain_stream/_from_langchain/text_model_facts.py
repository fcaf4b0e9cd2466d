"""What an embedding model or a reranker is, and what it is called with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from langchain_core.documents import BaseDocumentTransformer
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable

from .._content.reading import as_text, count, field
from .._runs.call import Call, Request
from .._runs.run import Run
from .._vocabulary import providers
from .._vocabulary.names import of_resource

Kind = Literal["embeddings", "rerank"]

_MODEL = (
    "model",
    "model_name",
    "model_id",
    "model_arn",
    "azure_deployment",
    "deployment_name",
    "deployment",
    "repo_id",
)
"""The fields that hold a model's name, the first of these that is a text."""

_WORKS_WITH = (Runnable, Embeddings, BaseDocumentCompressor, BaseDocumentTransformer)
"""What a compressor that is no reranker works with: a model, a vector of each document, other compressors."""

_LONGEST_NAME = 200


class Given(NamedTuple):
    """What a method was called with."""

    texts: Sequence[str] = ()
    """The texts to embed."""
    query: str | None = None
    number: int | None = None
    """The number of texts to embed, or of documents to rank."""


def given(kind: Kind, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Given:
    """Read the arguments of a call. They are passed by position or by LangChain's names."""
    first = _argument(args, kwargs, 0, "texts", "text", "documents")
    if kind == "rerank":
        query = _argument(args, kwargs, 1, "query")
        return Given(query=query if isinstance(query, str) else None, number=_length(first))
    if isinstance(first, str):
        return Given((first,), number=1)
    # Anything else than texts is an image of a multimodal model, or an iterator, which must not be used up.
    texts = [each for each in first if isinstance(each, str)] if isinstance(first, (list, tuple)) else []
    return Given(texts, number=_length(first))


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, *by_name: str) -> Any:
    if len(args) > position:
        return args[position]
    return next((kwargs[name] for name in by_name if name in kwargs), None)


def _length(value: object) -> int | None:
    return len(value) if isinstance(value, Sequence) else None


def calls_a_model(owner: Any, kind: Kind) -> bool:
    """Whether a call of this object is a call of a model, rather than handed on to other objects that make one.

    LangChain has no mark for rerankers among the document compressors. It is one if its class says so or if it has a
    `top_n`, and if it works with none of what the other compressors work with.
    """
    if kind == "embeddings":
        # Such as `CacheBackedEmbeddings`: the model that it holds makes the span, or none if the cache has the answer.
        return not _holds(owner, (Embeddings,)) or _model(owner) is not None
    classes = type(owner).__mro__[: type(owner).__mro__.index(BaseDocumentCompressor)]
    named = any("rerank" in cls.__name__.lower() for cls in classes)
    return (named or count(field(owner, "top_n")) is not None) and not _holds(owner, _WORKS_WITH)


def _holds(owner: Any, kinds: tuple[type, ...]) -> bool:
    return any(isinstance(each, kinds) for value in _values(owner) for each in _each(value))


def _values(owner: Any) -> Iterator[Any]:
    for place in ("__dict__", "__pydantic_private__"):
        values = getattr(owner, place, None)
        if isinstance(values, Mapping):
            yield from list(values.values())


def _each(value: Any) -> Sequence[Any]:
    return value[:16] if isinstance(value, (list, tuple)) else (value,)


def request(owner: Any, kind: Kind) -> Request:
    """Read the request: the model and the provider."""
    base: type = Embeddings if kind == "embeddings" else BaseDocumentCompressor
    classes = type(owner).__mro__[: type(owner).__mro__.index(base)]
    found = (providers.find(None, f"{cls.__module__}.{cls.__name__}") for cls in classes)
    known = next((each for each in found if each is not None), None)
    return Request(
        operation=kind,
        model=_model(owner),
        provider=known.name if known is not None else None,
        platform=providers.platform_of(known),
    )


def _model(owner: Any) -> str | None:
    for name in _MODEL:
        value = field(owner, name)
        if value is not None and not isinstance(value, (str, int)):
            value = field(value, "model_name")  # a cross-encoder
        text = as_text(value) if isinstance(value, str) else None
        if text is not None:
            return of_resource(text)[:_LONGEST_NAME]
    return None


def complete(run: Run, owner: Any, kind: Kind) -> None:
    """Name the model of a recorded call whose object does not name one, by the object that it has called."""
    call = run.call
    if not isinstance(call, Call) or call.request.model is not None:
        return
    call.request = request(owner, kind)
    if call.request.model is not None and run.place.span is not None:
        run.keeper.open(run)  # renames its span


def dimensions(result: Any) -> int | None:
    """Return the length of an embedding: a list of numbers, or the first of a list of such lists."""
    if not isinstance(result, (list, tuple)) or not result:
        return None
    first = result[0]
    return len(first) if hasattr(first, "__len__") else len(result)
