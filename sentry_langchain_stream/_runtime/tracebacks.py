"""Reads the frames of an exception, and the frames of the code that called them, without keeping any of them."""

from __future__ import annotations

import asyncio
import dis
import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FrameType, TracebackType
from typing import Any

_MOST_FRAMES = 500
_AWAITED = (("cr_frame", "cr_await"), ("ag_frame", "ag_await"), ("gi_frame", "gi_yieldfrom"))
"""The frame of a coroutine, an async generator and a generator, and what it waits for."""

_RAISING = frozenset({"RAISE_VARARGS", "RERAISE"})


def entries(error: BaseException) -> Iterator[TracebackType]:
    """Yield the entries of an exception's traceback, the outermost first."""
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def innermost(error: BaseException) -> TracebackType | None:
    """Return the entry of an exception's traceback where it was raised."""
    last = None
    for entry in entries(error):
        last = entry
    return last


def closing_frame() -> FrameType | None:
    """Return the frame that handles at this moment that its generator is closed, in an `except` or a `finally`."""
    error = sys.exc_info()[1]
    entry = error.__traceback__ if isinstance(error, GeneratorExit) else None
    return entry.tb_frame if entry is not None else None


def variable(frame: FrameType, name: str) -> Any:
    """Return a local variable of a frame, or `None`.

    Workaround: before Python 3.13, `f_locals` leaves a copy of all variables in the frame. If one is the exception that
    is being handled, the copy keeps it alive after it was handled. So the exceptions in the copy are removed, which
    changes no variable. The rest stays: the copy is also what `locals()` has returned to the application. Can go with
    Python 3.12.
    """
    code = frame.f_code
    if name not in code.co_varnames and name not in code.co_cellvars:
        return None
    variables = frame.f_locals
    found = variables.get(name)
    _forget(code, variables)
    return found


def forget_variables(trace: TracebackType | None) -> None:
    """Remove exceptions from the copies of their variables that the frames of a traceback hold, see `variable`."""
    while trace is not None:
        _forget(trace.tb_frame.f_code, trace.tb_frame.f_locals)
        trace = trace.tb_next


def _forget(code: CodeType, variables: Mapping[str, Any]) -> None:
    if not isinstance(variables, dict) or not code.co_flags & inspect.CO_OPTIMIZED:
        return
    # Mostly there is none, which all variables together say in less time than one after the other.
    types = set(map(type, list(variables.values())))
    if TracebackType in types or any(map(_is_exception, types)):
        for name in (*code.co_varnames, *code.co_cellvars):
            if issubclass(type(variables.get(name)), (BaseException, TracebackType)):
                variables.pop(name, None)  # another thread may have done so


_is_exception: Callable[[type], bool] = BaseException.__subclasscheck__


def is_raised(entry: TracebackType) -> bool:
    """Whether Python code raised an exception here. Otherwise the interpreter or an extension module did."""
    code = entry.tb_frame.f_code.co_code
    return 0 <= entry.tb_lasti < len(code) and dis.opname[code[entry.tb_lasti]] in _RAISING


def is_source(code: CodeType) -> bool:
    """Whether code comes from a file, or a cell of a notebook. Other code was made at run time, perhaps by a model."""
    return is_source_file(code.co_filename)


def is_source_file(path: str) -> bool:
    """Whether a code's file name is that of source code: there is such a file, or an archive or a module with it.

    Whoever compiles a text may give it any name, and what interprets a model's code may use IPython for it.
    """
    folder, name = os.path.split(path)
    if name.startswith(_CELLS) or any(each.startswith(_KERNELS) for each in folder.split(os.sep)):
        return _is_interactive()
    if name.startswith("__marimo__cell_"):
        return "marimo" in sys.modules
    if name.startswith("<"):
        return name.startswith("<frozen ")
    around = path
    while around and name and not os.path.exists(around):
        around, name = os.path.split(around)
    return os.path.isfile(around) or _is_of_compiled_module(path)


_CELLS = ("<ipython-input-", "ipython-input-")
"""How the names of cells begin in IPython, and in Colab, where there is no such file either."""
_KERNELS = ("ipykernel_", ".ipykernel")
"""How the folders begin in which notebooks, and those of Databricks, say that their cells are."""


def _is_of_compiled_module(path: str) -> bool:
    """Whether there is a module of such a name whose source is not there: compiled for a container, or frozen."""
    name, _ = os.path.splitext(os.path.basename(path))
    for each, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if each.rpartition(".")[2] == name and isinstance(origin, str) and origin.endswith(".pyc"):
            return True
    return False


def _is_interactive() -> bool:
    """Whether this process is a session of IPython's, and not an application that runs code with its shell."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and type(shell).__name__ != "InteractiveShell"


def is_written_in(text: str, file: str, function: str) -> bool:
    """Whether a text stands, as a whole, in the source code of a function that is running in this thread."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == function and code.co_filename == file:
            return is_source(code) and text in code.co_consts
        frame = frame.f_back
    return False


def with_callers(trace: TracebackType | None, task: asyncio.Task[Any] | None) -> TracebackType | None:
    """Return a traceback that starts with the frames that are still to come while the exception rises through them.

    Args:
        trace: The traceback of an exception that has risen to a frame that has not ended.
        task: The task that this frame belongs to, if it may be suspended.
    """
    if trace is None:
        return None
    for frame in _callers(trace.tb_frame, task):
        if frame.f_lineno is not None:
            trace = TracebackType(trace, frame, max(frame.f_lasti, 0), frame.f_lineno)
    return trace


def _callers(frame: FrameType, task: asyncio.Task[Any] | None) -> list[FrameType]:
    """The frames above a frame, the nearest first."""
    if task is not None and not _is_running(frame):  # suspended: it awaits the task in which its end is signalled
        return _suspended(task.get_coro(), frame)
    found: list[FrameType] = []
    above = frame.f_back
    while above is not None and len(found) < _MOST_FRAMES:
        if above.f_globals.get("__name__") == "asyncio.events":  # the event loop, which runs one step of a task
            break
        found.append(above)
        above = above.f_back
    return found


def _is_running(frame: FrameType) -> bool:
    """Whether this thread is in a frame. Since Python 3.12 one that has ended may still name a frame above it."""
    own: FrameType | None = sys._getframe() if frame.f_back is not None else None
    while own is not None and own is not frame:
        own = own.f_back
    return own is not None


def _suspended(awaitable: Any, frame: FrameType) -> list[FrameType]:
    """The frames of a suspended task above one of its frames, the nearest first."""
    found: list[FrameType] = []
    for _ in range(_MOST_FRAMES):
        own, awaitable = _step(awaitable)
        if own is frame:
            found.reverse()
            return found
        if own is not None:
            found.append(own)
        if awaitable is None:
            break
    # The frame is one of a task that has ended, as each of a model's async answers is made in one. Where the end of the
    # run is signalled just now, the suspended code is what has awaited that task.
    if not found or not _signals(found[-1]):
        return []
    while found and _signals(found[-1]):
        found.pop()
    found.reverse()
    return found


def _signals(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_SIGNALLING)


_SIGNALLING = "langchain_core.callbacks."
"""How the modules are named that signal the end of a run."""


def _step(awaitable: Any) -> tuple[FrameType | None, Any]:
    for frame, awaited in _AWAITED:
        if hasattr(awaitable, awaited):
            return getattr(awaitable, frame), getattr(awaitable, awaited)
    # `__anext__()` of an async generator has no attribute for the generator.
    inner = [each for each in gc.get_referents(awaitable) if hasattr(each, "ag_frame") or hasattr(each, "cr_frame")]
    return None, inner[0] if inner else None
