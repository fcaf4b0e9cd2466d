"""What LangChain's call that fires an event has in its frames, where neither the event nor LangChain's context says it.

The frames are looked at from our hook upwards: the dispatch of the event, LangChain's callback manager, and the method
that has called it (langchain-core 1.0 to 1.8). What is not found there is not known, and nothing else depends on it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import manager

from .._runtime.containment import contained
from .._runtime.interpreter import after_collection, current_task, is_on_stack
from .._runtime.tracebacks import variable
from .internals import run_id_of

if TYPE_CHECKING:
    from .._runs.run import CallWatch

MANAGERS = vars(manager)
"""The variables of LangChain's module of callback managers, by which its frames are known."""

_MOST_FRAMES = 12
"""From LangChain's dispatch of the event down to our hook, or from its callback manager: there are few in between."""

_MOST_WRAPPERS = 16
"""So many frames of callbacks, ours included, may be below the method that signals a start."""

_CALLBACKS = ("langchain_core.callbacks", "sentry_langchain_stream")


def starting_method() -> FrameType | None:
    """The frame of the method that signals the start of a run at this moment."""
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_MOST_WRAPPERS):
        if frame is None or not str(frame.f_globals.get("__name__")).startswith(_CALLBACKS):
            return frame
        frame = frame.f_back
    return None


def event_handlers() -> list[object] | None:
    """The handlers of the callback manager, or of the manager of a run, that fires the event which calls this code.

    LangChain gives each call a list of its own, and hands it on to the managers of the runs that the call starts.
    """
    managers, frame = MANAGERS, sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        if frame.f_globals is managers and frame.f_code.co_name.startswith("on_"):
            handlers = getattr(frame.f_locals.get("self"), "handlers", None)
            return handlers if isinstance(handlers, list) else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def starting_config(parent_id: UUID) -> Any | None:
    """Return the config that the call with which LangChain is starting a run got from this parent, if that is found.

    Workaround: `batch` and `abatch` of a sequence, a graph, and on Python 3.10 all async code hand the config to their
    steps without setting LangChain's context (langchain-core 1.0 to 1.8). The config is then among the variables of the
    call, and names the parent by its callbacks. Can go when the context is set there.
    """
    managers, frame, left = MANAGERS, sys._getframe(1), _MOST_FRAMES
    while frame.f_globals is not managers:  # ours, and LangChain's dispatch of the event
        if frame.f_back is None or not left:
            return None
        frame, left = frame.f_back, left - 1
    above: FrameType | None = frame
    for _ in range(_MOST_FRAMES):
        if above is None:
            break
        found = variable(above, _CONFIG)
        for each in found if type(found) is list else (found,):  # a text model has one for all prompts
            if type(each) is dict and run_id_of(each) == parent_id:
                return each
        above = above.f_back
    return None


def root_config() -> Any | None:
    """Return the config of LangChain's call that is starting a run without a parent: it is among its variables.

    What the run's children get of it is too late for a function that calls nothing.
    """
    frame = starter(sys._getframe(1))
    if frame is None or not str(frame.f_globals.get("__name__")).startswith(LANGCHAIN):
        return None  # somebody else's variable of that name may be anything
    found = variable(frame, _CONFIG)
    return found if type(found) is dict else None


LANGCHAIN = ("langchain_core.", "langchain_classic.", "langgraph.")
"""How the modules are named that start runs."""

_CONFIG = "config"
"""What LangChain, and everybody who overrides its methods, calls a run's config."""


def starts_fallbacks() -> bool:
    """Whether it is a call with fallbacks that is starting a run. Its name may be any."""
    if FALLBACKS not in sys.modules:
        return False
    try:
        frame = starter(sys._getframe(_OWN_FRAMES))
    except ValueError:  # it is somebody's own code that calls the hook
        return False
    return frame is not None and frame.f_globals.get("__name__") == FALLBACKS


def starter(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the method that starts or ends a run: the one that has called LangChain's callback manager.

    Args:
        frame: A frame that the manager has called, over others or not: a method that overrides a hook is one more.
    """
    managers, left = MANAGERS, _MOST_FRAMES
    while frame is not None and frame.f_globals is not managers:
        frame, left = frame.f_back if left else None, left - 1
    while frame is not None and frame.f_globals is managers:
        frame = frame.f_back
    return frame


_OWN_FRAMES = 4
"""The frames of this function, its caller, the hook, and of LangChain's dispatch: above it is the manager's method."""

FALLBACKS = "langchain_core.runnables.fallbacks"
"""The module of calls with fallbacks. Nobody has to import it who has none: it would take half of our import."""


def watch_call(over: Callable[[UUID, bool], None], run_id: UUID) -> CallWatch | None:
    """Watch LangChain's call that is starting a run: `over` is called when it is over. Keep what is returned.

    It is given the run's id, and whether the call was a stream of the caller's, which was not read to its end then.

    LangChain makes a callback manager for each call, which lives in the frame of the call, or in the stream that the
    call returns. It is gone when they are gone, also after a timeout, a cancellation or an exception that LangChain
    does not signal. Code that starts a run and drops the manager at once is still on the stack then: that is no end.

    Returns:
        What watches the call, or `None` if there is no such call on the stack.
    """
    ours = sys._getframe(_FRAMES_OF_A_START)
    depth, code = _last_time.get(ours.f_code, (0, None))
    try:
        method = sys._getframe(depth)
        caller = method.f_back if method.f_code is code else None
    except ValueError:  # there are not so many
        caller = None
    if caller is None or caller.f_globals is MANAGERS or caller.f_code.co_name == _COMPREHENSION:
        found = _starting_method(ours)
        if found is None:
            return None
        method, caller = found
    # Whoever else starts a run may keep its run manager, and need no callback manager any more.
    module = str(caller.f_globals.get("__name__"))
    is_chain = method.f_code.co_name == _START_OF_A_CHAIN
    if is_chain and _is_of_abatch(method):
        caller = method  # the task of the start ends at once
    elif not module.startswith("langchain_core."):
        variables = caller.f_code.co_varnames + caller.f_code.co_cellvars
        if not module.startswith(GRAPHS) or _MANAGER_OF_A_GRAPH not in variables:
            return None
    watch = _Watch(method.f_locals["self"], _gone)
    watch.code, watch.frame_id, watch.over, watch.run_id = caller.f_code, id(caller), over, run_id
    watch.is_streamed = bool(caller.f_code.co_flags & _GENERATORS) and not (is_chain and is_read_by_itself(caller))
    return watch


def ending_stream() -> FrameType | None:
    """The frame of the sync stream that is signalling the end of its run at this moment, if it is one."""
    caller = starter(sys._getframe(1))
    return caller if caller is not None and caller.f_code.co_flags & CO_GENERATOR else None


_START_OF_A_CHAIN = "on_chain_start"


def _is_of_abatch(method: FrameType) -> bool:
    """Whether `abatch` starts a chain: in a task of its own, without a description, while it keeps the manager itself.

    Whoever else starts a chain in a task may drop the manager at once.
    """
    task = current_task() if method.f_code.co_flags & CO_COROUTINE else None
    return (
        task is not None
        and getattr(task.get_coro(), "cr_frame", None) is method
        and variable(method, "serialized") is None
    )


def is_read_by_itself(stream: FrameType) -> bool:
    """Whether a graph or a `RunnableGenerator` reads its stream itself, to return one item: in `invoke`, `ainvoke`.

    A model does not. It is not asked, because the object of the frame that reads takes memory as long as the stream.
    """
    reader = stream.f_back
    return (
        reader is not None and reader.f_globals is stream.f_globals and reader.f_code.co_name in ("invoke", "ainvoke")
    )


GRAPHS, _MANAGER_OF_A_GRAPH = "langgraph.pregel", "callback_manager"
"""The modules of LangGraph that run graphs, and the variable in which they keep it meanwhile (langgraph 1.0 to 1.2)."""

_GENERATORS = CO_GENERATOR | CO_ASYNC_GENERATOR

_FRAMES_OF_A_START = 5
"""At least so many frames of ours are between LangChain and `watch_call`."""

_last_time: dict[CodeType, tuple[int, CodeType | None]] = {}
"""How many frames above `watch_call` the method was that started a run, and its code, by the code of a frame of ours.
Python makes an object of each frame that is looked at. So we look here first, before we search the stack."""


def _starting_method(ours: FrameType) -> tuple[FrameType, FrameType] | None:
    """The method of a callback manager that is starting a run, the outermost one below LangChain's call; and that call.

    There are functions among the frames of that module, and somebody's wrappers may be around those.
    """
    frame: FrameType | None = ours
    depth, found, found_at = _FRAMES_OF_A_START, None, 0
    while frame is not None:
        code = frame.f_code
        if frame.f_globals is MANAGERS:
            if "self" in code.co_varnames[: code.co_argcount]:
                found, found_at = frame, depth
        elif found is not None and code.co_name != _COMPREHENSION:
            _last_time[ours.f_code] = found_at, found.f_code
            return found, frame
        frame, depth = frame.f_back, depth + 1
    return None


class _Watch(weakref.ref[Any]):
    """A weak reference to the callback manager of a call, which knows what to do when it is gone."""

    __slots__ = ("code", "frame_id", "is_streamed", "over", "run_id")

    code: CodeType
    frame_id: int
    is_streamed: bool
    over: Callable[[UUID, bool], None]
    run_id: UUID

    def gone(self) -> None:
        """The manager is gone."""
        # LangChain signals the end of a generator that is closed. Garbage collection closes it only after it has found
        # that its manager is gone.
        if self.code.co_flags & _GENERATORS:
            after_collection(self._end)
        elif not is_on_stack(self.frame_id, self.code):
            self._end()

    def _end(self) -> None:
        self.over(self.run_id, self.is_streamed)


def _gone(watch: _Watch) -> None:
    if not sys.is_finalizing():  # when all live runs have been ended, and little can be imported
        with contained("watch of a call"):
            watch.gone()


_COMPREHENSION = "<listcomp>"
"""Has a frame of its own before Python 3.12, which is over at once. LangChain starts completion models in one."""
