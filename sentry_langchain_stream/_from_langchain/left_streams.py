"""Sync streams whose consumer leaves: LangChain reports them as completed, and reads their models on after that.

It signals the end of the chain before Python closes what is in it. A parser behind a model is closed then, and reads
what the model has to say, to record what it has read (langchain-core 1.0 to 1.8): all of that is billed. So what a
chain reads from is closed here, at its end, as Python does a moment later, and the chain ends after its models. Can go
when LangChain closes it first, and says that the chain was left.
"""

from __future__ import annotations

import sys
from threading import get_ident
from types import FrameType, GeneratorType
from typing import Any

from .._runs.kinds import Outcome
from .._runs.run import Run
from .._runtime.interpreter import is_in_collection
from .._runtime.tracebacks import variable
from . import call_stack

_SOURCES = {"langchain_core.runnables.base": "iterator", call_stack.FALLBACKS: "stream"}
"""The modules whose methods stream all chains but graphs, and the variable of each that it reads from. Graphs signal an
error when their consumer leaves, and are over then."""

_OWN_REFERENCES = 4 if sys.version_info < (3, 13) else 3
"""To a generator of which nobody else knows: the variable in its frame, `f_locals` before Python 3.13, and two here."""


def ended(run: Run) -> Outcome:
    """Return how a chain ended of which LangChain says at this moment that it has completed.

    If it is a sync stream that has not come to its end, its consumer has left. What it reads from is closed then.
    """
    if run.parent is not None and run.below is None:
        return "completed"  # as most chains in others, which are left with these
    stream = call_stack.ending_stream()
    if stream is None or not (is_in_collection() or _is_left(run, stream)):  # nobody reads what is garbage
        return "completed"
    _close(run, stream)
    return "abandoned"


def _is_left(run: Run, stream: FrameType) -> bool:
    source = _source(stream)
    if isinstance(source, GeneratorType):
        return source.gi_frame is not None
    # Somebody's iterator does not say whether there is more of it.
    return source is not None and any(each.call is not None and each.call.streamed for each in run.descendants())


def fallbacks_left(run: Run) -> None:
    """The consumer has left a call with fallbacks: close what it reads from, if it is a sync stream.

    A call that has used a fallback keeps the failure, which keeps what it reads from until garbage is collected.
    """
    stream = call_stack.ending_stream() if run.below is not None and not run.ending.failures else None
    if stream is not None:
        _close(run, stream)


def _close(run: Run, stream: FrameType) -> None:
    """Close what a stream reads from, unless there is nothing in it to record, or somebody else knows it."""
    if not any(each.call is not None for each in run.descendants()):
        return
    source = _source(stream)
    if not isinstance(source, GeneratorType) or sys.getrefcount(source) > _OWN_REFERENCES:
        return
    here = get_ident()
    is_outermost = here not in _closing
    _closing.add(here)
    try:
        _Dropped(source)
    finally:
        if is_outermost:
            _closing.discard(here)


class _Dropped:
    """Closes a generator as Python does when nobody has it any more: what it raises is reported, and no more."""

    __slots__ = ("_source",)

    def __init__(self, source: GeneratorType[Any, Any, Any]) -> None:
        self._source = source

    def __del__(self) -> None:
        self._source.close()


_closing: set[int] = set()
"""The threads in which something is being closed."""


def is_closing() -> bool:
    """Whether this thread is closing a stream, here or in a garbage collection: what ends now was left."""
    return (bool(_closing) and get_ident() in _closing) or is_in_collection()


def _source(stream: FrameType) -> Any:
    name = _SOURCES.get(str(stream.f_globals.get("__name__")))
    return variable(stream, name) if name is not None else None
