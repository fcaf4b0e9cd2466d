"""Calls of embedding models and rerankers as runs of ours. LangChain has no callbacks for them.

So their methods are wrapped, from the import of our handler's module on. A call is recorded if a run of ours encloses
it, by the handler that keeps that run, or if the client has `SentryStreamIntegration`. The methods behave as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import Token
from functools import partial, wraps
from types import FrameType
from typing import Any
from uuid import uuid4

from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.embeddings import Embeddings

from .._content.messages import embedded_texts, retrieved_documents, tool_arguments
from .._content.policy import Policy
from .._content.reading import count
from .._runs import enclosing
from .._runs.call import TextsCall
from .._runs.estimates import approximate
from .._runs.run import Keeper, Run, Start
from .._runs.settings import Settings
from .._runtime.containment import contained
from .._to_sentry import other_integrations
from .._to_sentry.asking import is_asking
from . import client_answers, inside, internals, marks, same_ids, text_model_facts
from .families import Family
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


def _wrap(kind: Kind, method: Any) -> Any:
    @wraps(method)
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        recording = _begin(kind, self, args, kwargs)
        if recording is None:
            return method(self, *args, **kwargs)
        try:
            result = method(self, *args, **kwargs)
        except BaseException as error:
            recording.fail(error)
            raise
        recording.end(result)
        return result

    return call


def _wrap_async(kind: Kind, method: Any) -> Any:
    @wraps(method)
    async def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        recording = _begin(kind, self, args, kwargs)
        if recording is None:
            return await method(self, *args, **kwargs)
        try:
            result = await method(self, *args, **kwargs)
        except BaseException as error:
            recording.fail(error)
            raise
        recording.end(result)
        return result

    return call


def _family(base: type, kind: Kind, *names: str) -> Family:
    wrap: dict[str, Callable[[Any], Any]] = {name: partial(_wrap, kind) for name in names}
    return Family(base, {**wrap, **{f"a{name}": partial(_wrap_async, kind) for name in names}})


# -- Recording --------------------------------------------------------------------------------------------------------


def _begin(kind: Kind, owner: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> _Recording | None:
    """Start recording a call, unless nobody follows it or the span of another one stands for it."""
    if not _ON[kind].is_on or not (enclosing.any_live() or other_integrations.has_integration()):
        return None
    if is_asking():
        return None
    with contained(kind):
        parent = inside.innermost(handed_over=True)
        keeper = _keeper(parent)
        if keeper is None or not text_model_facts.calls_a_model(owner, kind):
            return None
        if parent is not None and parent.kind == kind:
            # One method of a model calls another, or a model holds another one where we do not see it.
            text_model_facts.complete(parent, owner, kind)
            return None
        recording = _Recording(kind, owner, text_model_facts.given(kind, args, kwargs), parent, keeper)
        return recording if recording.run is not None else None
    return None


class _Recording:
    """A call that is being recorded: a run of ours, which ends with the call."""

    def __init__(
        self, kind: Kind, owner: Any, given: text_model_facts.Given, parent: Run | None, keeper: Keeper
    ) -> None:
        self._keeper = keeper
        self._given = given
        self._id = self.run_id = uuid4()
        self._token: Token[Any] | None = None
        client_answers.read_them()
        start = Start(
            id=self._id, kind=kind, parent_id=parent.id if parent is not None else None, name=type(owner).__name__
        )
        start.enclosing_id = same_ids.enclosing_own(internals.enclosing_run_id())
        keeper.start(start, partial(self._record, kind, owner))
        self.run = enclosing.get(self._id)
        if self.run is not None:
            self.run.reports = False  # the application gets the exception, and what encloses the call may recover
            self._token = inside.enter(self.run)

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

    def end(self, result: Any) -> None:
        """The call has returned."""
        self._leave()
        with contained("end of a call"):
            run = self.run
            if run is not None and isinstance(run.call, TextsCall):
                with contained("result"):
                    self._returned(run, run.call, result)
            self._keeper_of(run).end(self._id)

    def fail(self, error: BaseException) -> None:
        """The call has raised."""
        self._leave()
        with contained("end of a call"):
            run = self.run
            if run is not None and isinstance(run.call, TextsCall):
                run.call.add_usage(None)
            self._keeper_of(run).end(self._id, marks.outcome(error), error)

    @property
    def watched_by(self) -> tuple[Settings, ...]:
        """The settings of the handler that follows the call, see `failures.find`."""
        return (self._keeper_of(self.run).settings,)

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            inside.leave(token)

    def _keeper_of(self, run: Run | None) -> Keeper:
        return run.keeper if run is not None else self._keeper

    def _returned(self, run: Run, call: TextsCall, result: Any) -> None:
        if run.kind == "rerank":
            if isinstance(result, Sequence):
                call.documents = len(result)
                call.found = retrieved_documents(result, run.policy.beside(call.query))
            return
        call.dimensions = text_model_facts.dimensions(result)
        estimate: int | None = None
        if call.needs_estimate() and self._given.texts:
            counter = self._keeper.settings.token_counter or approximate
            with contained("token_counter"):
                estimate = sum(count(counter(text)) or 0 for text in self._given.texts)
        call.add_usage(estimate)


_EMBEDDINGS = _family(Embeddings, "embeddings", "embed_documents", "embed_query")
_RERANKERS = _family(BaseDocumentCompressor, "rerank", "compress_documents")
_FAMILIES = (_EMBEDDINGS, _RERANKERS)
_ON: dict[Kind, Family] = {"embeddings": _EMBEDDINGS, "rerank": _RERANKERS}
