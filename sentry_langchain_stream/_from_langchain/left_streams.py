"""Sync streams whose consumer leaves: LangChain reports them as completed, and reads their models on after that.

It signals the end of the chain before Python closes what is in it. A parser behind a model is closed then, and reads
what the model has to say, to record what it has read (langchain-core 1.0 to 1.8): all of that is billed. So the run of
the chain ends when what it reads from is closed: mostly a moment later. Can go when LangChain closes it first, and says
that the chain was left.
"""

from __future__ import annotations

import dis
import sys
from functools import cache
from inspect import CO_GENERATOR
from types import CodeType, FrameType, GeneratorType
from typing import Any

from .._runs import enclosing
from .._runs.kinds import Outcome
from .._runs.numbers import Number
from .._runs.run import Run
from .._runtime.containment import contained
from .._runtime.interpreter import is_in_collection
from .._runtime.tracebacks import closing_frame, variable
from . import call_stack

_CHAINS = "langchain_core.runnables.base"
_SOURCES = {_CHAINS: "iterator", call_stack.FALLBACKS: "stream"}
"""The modules whose methods stream all chains but graphs, and the variable of each that it reads from. Graphs signal an
error when their consumer leaves, and are over then."""

_FAILURE = "last_error"
"""The variable in which a call with fallbacks keeps a failure."""


def ended(run: Run) -> Outcome | None:
    """Return how a chain ended of which LangChain says at this moment that it has completed, or `None`: it ends later.

    If it is a sync stream that has not come to its end, its consumer has left.
    """
    if run.ending.left and (closing := closing_frame()) is not None and call_stack.starter(sys._getframe(1)) is closing:
        # Workaround: if the consumer of an async chain leaves, LangChain reports the chain as completed, while it is
        # being closed, after its model (langchain-core 1.0 to 1.8). Can go when it says who left.
        return "abandoned"
    if run.parent is not None and run.below is None and not run.tree.leavings:
        return "completed"  # as most chains in others, which are left with these
    stream = call_stack.ending_stream()
    if stream is None:
        return "completed"
    if is_in_collection() or _is_left(run, stream):  # nobody reads what is garbage
        return None if _end_with_source(run, stream) else "abandoned"
    # Whoever is left reads the streams of agents to their ends, like those of models.
    is_read_on = run.kind == "agent" and not call_stack.is_read_by_itself(stream) and is_left(run)
    return "abandoned" if is_read_on else "completed"


def _is_left(run: Run, stream: FrameType) -> bool:
    source = _source(stream)
    if isinstance(source, GeneratorType):
        return source.gi_frame is not None
    # Somebody's iterator does not say whether there is more of it.
    return source is not None and any(each.call is not None and each.call.streamed for each in run.descendants())


def fallbacks_left(run: Run) -> bool:
    """The consumer has left a call with fallbacks. Return whether it ends later: with what it reads from.

    A call that has used a fallback keeps the failure, which keeps what it reads from until garbage is collected.
    """
    stream = call_stack.ending_stream() if run.below is not None else None
    return stream is not None and variable(stream, _FAILURE) is None and _end_with_source(run, stream)


def is_left(run: Run) -> bool:
    """Whether a run ends because a stream is read on that was left, or is garbage: nobody reads what it has to say.

    What the application reads has completed: in clean-up code, or in the thread of a graph's node.
    """
    is_garbage = is_in_collection()
    if not (run.tree.leavings or is_garbage) or not is_read_on():
        return False
    around = run.parent
    while around is not None and around.ending.leaving <= run.ending.leavings_before:
        around = around.parent
    return around is not None or is_garbage


def is_read_on() -> bool:
    """Whether a run starts or ends because LangChain reads on a stream, or a branch of a parallel: not the application.

    The branches of a parallel are read in threads of LangChain's, where nothing is around their generators. They may
    be read on or not.
    """
    closing, outermost = closing_frame(), None
    frame = call_stack.starter(sys._getframe(1))
    while frame is not None:
        if frame.f_globals is call_stack.MANAGERS or (frame is closing and not _is_in(frame, call_stack.LANGCHAIN)):
            return False  # a listener's code, or what cleans up
        if _reads_on(frame):
            return True
        if not _is_in(frame, _THREADS):
            outermost = frame
        frame = frame.f_back
    return (
        outermost is not None
        and bool(outermost.f_code.co_flags & CO_GENERATOR)
        and _is_in(outermost, call_stack.LANGCHAIN)
    )


_THREADS = ("threading", "concurrent.", "sentry_sdk.")
"""How the modules are named whose frames are around what a thread of an executor does."""


def _is_in(frame: FrameType, modules: tuple[str, ...]) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(modules)


def _reads_on(frame: FrameType) -> bool:
    """Whether the stream of a step is reading the rest of its input, when it has come to its end or was closed."""
    if not frame.f_code.co_flags & CO_GENERATOR or frame.f_globals.get("__name__") != _CHAINS:
        return False
    return frame.f_lineno == _line_of_reading_on(frame.f_code)


@cache
def _line_of_reading_on(code: CodeType) -> int | None:
    """The line of the loop in which LangChain does that, by the name of its variable (langchain-core 1.0 to 1.8)."""
    for each in dis.get_instructions(code):
        if each.opname.startswith("STORE") and each.argrepr.startswith(_REST):
            return next((line for start, end, line in code.co_lines() if start <= each.offset < end), None)
    return None


_REST = "ichunk"


def _end_with_source(run: Run, stream: FrameType) -> bool:
    """Have a run end when Python frees what its stream reads from, which closes it. Return whether it does.

    Weak references to a generator are cleared before it is closed, and its name is freed after that.
    """
    source = _source(stream)
    if not isinstance(source, GeneratorType) or source.gi_frame is None:
        return False
    run.tree.leavings += 1
    run.ending.leaving = run.tree.leavings
    source.__qualname__ = _Name.of(source, run.number)
    return True


class _Name(str):
    """The name of a generator, which ends runs when it is freed.

    It has their numbers alone: garbage collection does not know that a generator has a name, and would never find that
    nobody else has what the name has.
    """

    __slots__ = ("_ends",)

    _ends: tuple[Number, ...]

    @classmethod
    def of(cls, source: GeneratorType[Any, Any, Any], run: Number) -> _Name:
        """Return the name of this generator, which several chains may read from."""
        before = source.__qualname__
        name = cls(before)
        name._ends = (run,)
        if isinstance(before, _Name):
            name._ends, before._ends = (*before._ends, run), ()
        return name

    def __del__(self) -> None:
        if sys.is_finalizing():  # when all live runs have been ended
            return
        for number in self._ends:
            run = enclosing.get(number)
            if run is not None and run.ending.leaving:
                with contained("end of a left stream"):
                    run.keeper.end_run(run, "abandoned")


def _source(stream: FrameType) -> Any:
    name = _SOURCES.get(str(stream.f_globals.get("__name__")))
    return variable(stream, name) if name is not None else None
