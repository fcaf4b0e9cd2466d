"""Calls of embedding models and rerankers as runs of ours. LangChain has no callbacks for them.

So their methods are wrapped, from the first handler on. A call is recorded if a run of ours encloses
it, by the handler that keeps that run, or if the client has `SentryStreamIntegration`. The methods behave as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any

from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.embeddings import Embeddings

from .._content.messages import embedded_texts, retrieved_documents, tool_arguments
from .._content.policy import Policy
from .._content.reading import count
from .._runs import enclosing
from .._runs.estimates import of_text
from .._runs.run import Keeper, Run
from .._runs.texts_call import TextsCall
from .._runtime.containment import contained
from .._to_sentry import other_integrations
from .._to_sentry.asking import is_asking
from . import client_answers, inside, text_model_facts
from .families import Family
from .recorded_calls import Arguments, Recording, recorded
from .text_model_facts import Kind

_outside: Callable[[], Keeper | None] | None = None


def outside(find: Callable[[], Keeper | None]) -> None:
    """From now on ask this function which live runs record a call that no run of ours encloses."""
    global _outside
    _outside = find


def install() -> None:
    """Wrap the methods of all embedding models and document compressors, those to come too."""
    for family in _FAMILIES:
        family.install()


def uninstall() -> None:
    """Undo `install`."""
    for family in _FAMILIES:
        family.uninstall()
    client_answers.uninstall()


def is_followed(frame: FrameType) -> bool:
    """Whether we record the call of an embedding model that another wrapper of its method, whose frame this is, makes.

    That wrapper may be around ours or inside it.
    """
    owner = frame.f_locals.get("self")
    if not (_EMBEDDINGS.is_on and isinstance(owner, Embeddings)):
        return False
    return (
        text_model_facts.calls_a_model(owner, "embeddings") and _keeper(inside.innermost(handed_over=True)) is not None
    )


def _keeper(parent: Run | None) -> Keeper | None:
    if parent is not None:
        return parent.keeper
    return _outside() if _outside is not None and other_integrations.has_integration() else None


# -- Wrapping ---------------------------------------------------------------------------------------------------------


def _family(base: type, kind: Kind, *names: str) -> Family:
    wrap = partial(recorded, partial(_begin, kind))
    return Family(base, {f"{prefix}{name}": wrap for prefix in ("", "a") for name in names})


# -- Recording --------------------------------------------------------------------------------------------------------


def _begin(kind: Kind, owner: Any, args: Arguments, kwargs: dict[str, Any]) -> tuple[Arguments, _RecordedTexts | None]:
    """Start recording a call, unless nobody follows it or the span of another one stands for it."""
    if not _ON[kind].is_on or not (enclosing.any_live() or other_integrations.has_integration()):
        return args, None
    if is_asking():
        return args, None
    with contained(kind):
        parent = inside.innermost(handed_over=True)
        keeper = _keeper(parent)
        if keeper is None or not text_model_facts.calls_a_model(owner, kind):
            return args, None
        if parent is not None and parent.kind == kind:
            # One method of a model calls another, or a model holds another one where we do not see it.
            text_model_facts.complete(parent, owner, kind)
            return args, None
        recording = _RecordedTexts(kind, owner, text_model_facts.given(kind, args, kwargs), parent, keeper)
        return args, recording if recording.run is not None else None
    return args, None


class _RecordedTexts(Recording):
    """A call of an embedding model or a reranker that is being recorded."""

    def __init__(
        self, kind: Kind, owner: Any, given: text_model_facts.Given, parent: Run | None, keeper: Keeper
    ) -> None:
        self._given = given
        client_answers.read_them()
        super().__init__(kind, type(owner).__name__, parent, keeper, partial(self._record, kind, owner))

    def _record(self, kind: Kind, owner: Any, policy: Policy) -> TextsCall:
        given = self._given
        call = TextsCall(text_model_facts.request(owner, kind), self._keeper.now(), inputs=given.number)
        with contained("inputs"):
            if kind == "embeddings" and given.texts:
                call.embedded = embedded_texts(given.texts, policy)
            elif kind == "rerank":
                call.top = count(getattr(owner, "top_n", None))
                call.query = tool_arguments(given.query, policy.beside(ahead=1)) if given.query else None
        return call

    def _raised(self, run: Run) -> None:
        if isinstance(run.call, TextsCall):
            run.call.add_usage(None)

    def _returned(self, run: Run, result: Any) -> None:
        call = run.call
        if not isinstance(call, TextsCall):
            return
        if run.kind == "rerank":
            if isinstance(result, Sequence):
                call.documents = len(result)
                call.found = retrieved_documents(result, run.policy.beside(call.query))
            return
        call.dimensions = text_model_facts.dimensions(result)
        estimate: int | None = None
        if call.needs_estimate() and self._given.texts:
            counter = self._keeper.settings.token_counter
            estimate = sum(of_text(text, counter) for text in self._given.texts)
        call.add_usage(estimate)


_EMBEDDINGS = _family(Embeddings, "embeddings", "embed_documents", "embed_query")
_RERANKERS = _family(BaseDocumentCompressor, "rerank", "compress_documents")
_FAMILIES = (_EMBEDDINGS, _RERANKERS)
_ON: dict[Kind, Family] = {"embeddings": _EMBEDDINGS, "rerank": _RERANKERS}
