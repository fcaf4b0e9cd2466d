"""Which of our runs encloses the calling code. LangChain is asked each time; the answer is never remembered.

LangChain's context names the run of a chain, a node, a tool or a task around exactly the code that belongs to it
(langchain-core 1.0 to 1.8). It does not name models and retrievers. But it hands the methods that implement them a run
manager, so while such a method is on the stack, the calling code is inside that run. Between two chunks of a stream the
method is not on the stack, and the consumer's code is not inside.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from functools import partial
from typing import Any
from uuid import UUID

from .._runs import enclosing
from .._runs.run import Run
from .._to_sentry.active_span import Inside
from . import internals

_METHODS = frozenset(
    {
        "_generate",
        "_agenerate",
        "_stream",
        "_astream",
        "_call",
        "_acall",
        "_get_relevant_documents",
        "_aget_relevant_documents",
        "_generate_with_cache",
        "_agenerate_with_cache",
        "_iter_v2_events",
        "_aiter_v2_events",
        "stream",
        "astream",
    }
)
"""What LangChain documents for the authors of models and retrievers, and the methods of chat models that call it.

Each has a variable `run_manager`, which may be missing in the author's method.
"""

_MOST_HINTS = 8

_hints: ContextVar[tuple[UUID, ...]] = ContextVar("sentry_langchain_stream_hints", default=())
"""The models and retrievers that have started in this context. If none of them is live, there is none on the stack."""


def started(run: Run | None) -> None:
    """A model or a retriever has started in this context, if it is one that we follow."""
    if run is None:
        return
    if run.call is not None and run.call.request.operation == "text_completion":
        enclosing.started_elsewhere.add(run.id)
    live = [each for each in _hints.get() if enclosing.get(each) is not None]
    _hints.set((*live[1 - _MOST_HINTS :], run.id))


def find() -> Inside | None:
    """Where the calling code is, see `active_span.ask`."""
    run_id = internals.enclosing_run_id()
    run = enclosing.get(run_id) if run_id is not None else None
    if enclosing.started_elsewhere or any(enclosing.get(each) is not None for each in _hints.get()):
        leaf = _leaf()
        if leaf is not None and not _is_ancestor(leaf, run):
            run = leaf
    if run is None or run.place.anchor is None:
        return None
    return Inside(run.id, run.place.anchor, partial(_is_live, run))


def _is_live(run: Run) -> bool:
    return enclosing.get(run.id) is run


def _leaf() -> Run | None:
    """The innermost model or retriever of ours that is on the stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name in _METHODS:
            run_id = getattr(frame.f_locals.get("run_manager"), "run_id", None)
            run = enclosing.get(run_id) if isinstance(run_id, UUID) else None
            if run is not None:
                return run
        frame = frame.f_back
    return None


def _is_ancestor(of: Run, run: Run | None) -> bool:
    """Whether a model has itself started the run that LangChain names: then that run is the innermost."""
    while run is not None:
        if run is of:
            return True
        run = run.parent
    return False
