"""Which of our runs encloses the calling code. LangChain is asked each time; the answer is never remembered.

LangChain's context names the run of a chain, a node, a tool or a task around exactly the code that belongs to it
(langchain-core 1.0 to 1.8). It does not name models and retrievers. But while a method that implements one is on the
stack, the calling code is inside its run: the run's manager is among the method's variables. Between two chunks of a
stream the method is not on the stack, and the consumer's code is not inside.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import partial
from threading import get_ident
from types import CodeType, FrameType
from typing import Any, NamedTuple
from uuid import UUID

from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseLanguageModel

from .._runs import enclosing
from .._runs.attributes import membership
from .._runs.kinds import LEAVES
from .._runs.numbers import Number, number
from .._runs.run import Run
from .._runtime import interpreter
from .._runtime.tracebacks import variable
from .._to_sentry.calling_code import Inside
from . import call_stack, internals, same_ids

_IMPLEMENTATIONS = frozenset(
    {
        "_generate",
        "_agenerate",
        "_stream",
        "_astream",
        "_call",
        "_acall",
        "_get_relevant_documents",
        "_aget_relevant_documents",
    }
)
"""What LangChain documents for the authors of models and retrievers. Some get the run's manager, some do not."""

_CALLERS = frozenset({"_generate_with_cache", "_agenerate_with_cache", "_iter_v2_events", "_aiter_v2_events"})
"""The methods of chat models that call these, and have the manager."""

_STREAMS = frozenset({"stream", "astream"})
"""The same. They are methods of much else, which has no such variable."""

_ASYNC_STEPS = frozenset(
    {
        "_abatch_with_config",
        "_acall_with_config",
        "_ainvoke",
        "_atransform",
        "_atransform_stream_with_config",
        "ainvoke",
        "arun",
    }
)
"""The methods of chains, tools and nodes of LangGraph that have the run's manager while an async step is running. They
are looked for where LangChain's context names no async step."""

_METHODS = _IMPLEMENTATIONS | _CALLERS | _STREAMS | (frozenset() if interpreter.HAS_ASYNC_CONTEXT else _ASYNC_STEPS)
_MANAGER = "run_manager"
_RETRIEVERS = "langchain_core.retrievers"
"""The module of the methods that have the manager of a retriever's run."""
_MOST_HINTS = 8


_hints: ContextVar[tuple[Number, ...]] = ContextVar("sentry_langchain_stream_hints", default=())
"""The numbers of the models and retrievers that have started in this context. If none of them is live, there is none on
the stack."""

hints = _hints.get
"""Returns these."""


def started(run: Run | None) -> None:
    """A model or a retriever has started in this context, if it is one that we follow."""
    if run is None:
        return
    if run.call is not None and run.call.request.operation == "text_completion":
        enclosing.started_elsewhere.add(run.number)
    hints, own = _hints.get(), run.number
    if hints and is_any_live(hints):
        live = [each for each in hints if each != own and enclosing.get(each) is not None]
        _hints.set((*live[1 - _MOST_HINTS :], own))
    else:
        _hints.set((own,))


def _is_here(run: Run) -> bool:
    """Whether a model or retriever has started in this thread and this task."""
    task = run.task() if run.task is not None else None
    return run.thread == get_ident() and task is interpreter.current_task()


class _Wrapped(NamedTuple):
    """A call of an embedding model or a reranker, which we wrap, and the hints where it began."""

    run: Run
    hints: tuple[Number, ...]


_wrapped: ContextVar[_Wrapped | None] = ContextVar("sentry_langchain_stream_wrapped", default=None)


def enter(run: Run) -> Token[_Wrapped | None]:
    """From now on the code of this context is inside a call that we wrap. LangChain's context does not name it."""
    return _wrapped.set(_Wrapped(run, _hints.get()))


def leave(token: Token[_Wrapped | None]) -> None:
    """The wrapped call is over."""
    with suppress(ValueError):  # closed from another context, which was never inside
        _wrapped.reset(token)


def wrapped_call() -> Run | None:
    """The innermost wrapped call that is live, in whatever thread or task its code runs."""
    wrapped = _wrapped.get()
    return wrapped.run if wrapped is not None and _is_live(wrapped.run) else None


def innermost(*, handed_over: bool = False) -> Run | None:
    """The innermost run of ours that encloses the calling code.

    Args:
        handed_over: Whether a retriever counts that has handed the calling code to another thread, with its context but
            not its stack, as async vector stores do. After a retriever that was given up that is wrong for a while.
    """
    run_id = same_ids.enclosing_own(internals.enclosing_run_id())
    run = enclosing.get(number(run_id)) if run_id is not None else None
    hints = _hints.get()
    leaf: Run | None = None
    if enclosing.started_elsewhere or is_any_live(hints) or _may_be_in_an_async_step():
        leaf = _leaf()
        if leaf is None and handed_over:
            leaf = _handed_over(hints, ("retriever",))
        # If LangChain names another run than where the leaf started, that run has started inside it.
        if leaf is not None and (run is None or run_id == leaf.enclosing_id):
            run = leaf
    wrapped = _wrapped.get()
    if wrapped is None or wrapped.run.enclosing_id != run_id or not _is_live(wrapped.run):
        return run
    # A leaf that has started since is inside the wrapped call. An async step that is found like a leaf is around it.
    if leaf is not None and run is leaf and leaf.kind in LEAVES and leaf.number not in wrapped.hints:
        return leaf
    return wrapped.run


def leaf_below(run_id: UUID | None, enclosing_id: UUID | None) -> Run | None:
    """The model or retriever whose method starts a run at this moment that LangChain makes a child of its parent.

    Workaround: within a method of a model or retriever, LangChain's context names its parent, so a run that the method
    starts without a config would become its sibling (langchain-core 1.0 to 1.8). Can go when the context names models
    and retrievers. What a callback calls is its sibling: the method is on the stack there, too.

    Ask `is_any_live` first: mostly there is none.

    Args:
        run_id: The parent that LangChain names, if it names one.
        enclosing_id: The run that LangChain's context names.
    """
    frame, is_implemented = call_stack.starting_method(), False
    while frame is not None and frame.f_globals is not call_stack.MANAGERS:
        name = frame.f_code.co_name
        if name in _METHODS or frame.f_globals.get("__name__") == _RETRIEVERS:
            run = _managed(variable(frame, _MANAGER))
            if run is not None:
                return run if run.kind in LEAVES and _is_called_in(run, run_id, enclosing_id) else None
            is_implemented = is_implemented or (name in _IMPLEMENTATIONS and _is_implemented(variable(frame, "self")))
        frame = frame.f_back
    if frame is None and is_implemented:
        # LangChain has handed a method without that variable to a thread. Elsewhere its caller has the manager.
        run = _handed_over(_hints.get(), LEAVES)
        return run if run is not None and _is_called_in(run, run_id, enclosing_id) else None
    return None


def _is_called_in(leaf: Run, run_id: UUID | None, enclosing_id: UUID | None) -> bool:
    """Whether LangChain would make what starts in a method of this model or retriever a sibling of its run."""
    return enclosing_id == leaf.enclosing_id and (run_id is None or run_id == enclosing_id)


def is_any_live(hints: tuple[Number, ...]) -> bool:
    """Whether one of these models and retrievers is live."""
    for each in hints:  # noqa: SIM110 -- asked for each span that anybody starts: a generator costs more
        if enclosing.get(each) is not None:
            return True
    return False


def _may_be_in_an_async_step() -> bool:
    """Whether the calling code may be in a step that LangChain's context does not name."""
    return not interpreter.HAS_ASYNC_CONTEXT and interpreter.current_task() is not None


def _handed_over(hints: tuple[Number, ...], kinds: Collection[str]) -> Run | None:
    """The latest live run of these kinds, if it has started elsewhere than in this thread and task."""
    for each in reversed(hints):
        run = enclosing.get(each)
        if run is not None and run.kind in kinds and not _is_here(run):
            return run
    return None


def find() -> Inside | None:
    """Where the calling code is, see `calling_code.ask`."""
    run = innermost()
    if run is None or run.place.anchor is None:
        return None
    return Inside(
        run.id,
        run.place.anchor,
        run.place.is_ours,
        partial(_is_live, run),
        is_call=run.call is not None,
        nests=run.place.nests,
        labels=partial(membership, run),
    )


def _is_live(run: Run) -> bool:
    return enclosing.get(run.number) is run


def _leaf() -> Run | None:
    """The innermost model or retriever of ours that is on the stack; on Python 3.10 also any async step."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in _METHODS and (run := _run_of(frame, code)) is not None:
            return run
        frame = frame.f_back
    return None


def _run_of(frame: FrameType, code: CodeType) -> Run | None:
    """The run of a method on the stack, if it is one of a model or a retriever."""
    has_manager = _MANAGER in code.co_varnames
    if not has_manager and code.co_name not in _IMPLEMENTATIONS:
        return None
    variables = frame.f_locals
    manager = variables.get(_MANAGER)
    if _has_id(manager):
        return _managed(manager)
    if code.co_name in _IMPLEMENTATIONS and _is_implemented(variables.get("self")):
        # It was called without a manager, perhaps in a thread, with a copy of the context in which its run started.
        live = (run for each in reversed(_hints.get()) if (run := enclosing.get(each)) is not None)
        return next(live, None)
    return None


def _has_id(manager: Any) -> bool:
    # Any code may have such a variable. To ask the class of what it holds would ask the object.
    return issubclass(type(manager), BaseRunManager) and isinstance(manager.run_id, UUID)


def _managed(manager: Any) -> Run | None:
    """The run of a run manager."""
    if not _has_id(manager):
        return None
    return enclosing.get(number(same_ids.own(manager.run_id, getattr(manager, "handlers", None))))


def _is_implemented(owner: object) -> bool:
    """Whether the owner of such a method is a model or a retriever, whose module is not imported for that."""
    retriever = getattr(sys.modules.get(_RETRIEVERS), "BaseRetriever", ())
    return isinstance(owner, (BaseLanguageModel, retriever))


def is_handed_over() -> bool:
    """Whether a model may have handed the calling code to another thread or task, with its context but not its stack.

    It may if the code runs elsewhere than where the model's run started, and before the run's first chunk. It may also
    run after a call that was given up, until that is noticed. So this is no answer to which span is active.
    """
    for each in _hints.get():
        run = enclosing.get(each)
        if run is not None and run.call is not None and not run.call.streamed and not _is_here(run):
            return True
    return False
