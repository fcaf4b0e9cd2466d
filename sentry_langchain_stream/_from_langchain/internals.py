"""Every name of langchain-core that is not documented for users, taken in this one module.

A name that is missing switches its feature off. The import of this package never fails for it, and no span is lost.
Seen in langchain-core 1.0 to 1.8. There is no upstream issue unless an entry links one.
"""

from __future__ import annotations

import inspect
import sys
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR
from threading import RLock
from types import CodeType, FrameType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManager, manager
from langchain_core.runnables import config

from .._runtime.containment import contained, warn_once
from .._runtime.interpreter import after_collection, is_on_stack
from .._runtime.tracebacks import variable

_enclosing_config: ContextVar[Any] | None = getattr(config, "var_child_runnable_config", None)
_start_code: CodeType | None = getattr(inspect.unwrap(AsyncCallbackManager.on_llm_start), "__code__", None)
configure: Any | None = getattr(manager, "_configure", None)
"""Makes every callback manager. `SentryStreamIntegration` adds its handler there, and is off without it."""
replacing = RLock()
"""Held while we replace it: what another thread has put there meanwhile must not be lost."""

TABLE = {
    ("langchain_core.runnables.config", "var_child_runnable_config"): (
        _enclosing_config,
        "runs that LangChain starts without naming their parent are roots of their own",
    ),
    ("langchain_core.callbacks.manager", "AsyncCallbackManager.on_llm_start.__code__"): (
        _start_code,
        "an async completion model may be hidden from handlers that are not inline",
    ),
    ("langchain_core.callbacks.manager", "_configure"): (configure, "SentryStreamIntegration cannot be enabled"),
}
"""A module and a name in it: the value, and what is off without it."""


def report_missing() -> None:
    """Log, once per process, what is off because this version of langchain-core lacks a name."""
    missing = [f"{module}.{name} ({off})" for (module, name), (found, off) in TABLE.items() if found is None]
    if missing:
        warn_once("internals of langchain-core", "langchain-core lacks names that we use: %s", ", ".join(missing))


def _no_config() -> None:
    """Stands for LangChain's context where that has no config."""


enclosing_config: Callable[[], Any] = _no_config if _enclosing_config is None else _enclosing_config.get
"""Returns the config of the run that encloses this code, if LangChain says so. Off without it: see
`enclosing_run_id`."""


def enclosing_run_id() -> UUID | None:
    """The id of the run that encloses this code, see `run_id_of`."""
    return run_id_of(enclosing_config())


def run_id_of(config: Any | None) -> UUID | None:
    """The id of the run that encloses this code, by its config in LangChain's context.

    It stands in where a run arrives without a parent though it has one: `with_fallbacks().ainvoke` hands its
    children a config without callbacks (langchain-core 1.7), and so does a user who passes `callbacks` by hand
    inside a node or a lambda. Without it, such a run is a root of its own.
    """
    parent = getattr(config.get("callbacks"), "parent_run_id", None) if config else None
    return parent if isinstance(parent, UUID) else None


def event_handlers() -> list[object] | None:
    """The handlers of the callback manager, or of the manager of a run, that fires the event which calls this code.

    LangChain gives each call a list of its own, and hands it on to the managers of the runs that the call starts.
    """
    managers, frame = vars(manager), sys._getframe(1)
    for _ in range(_MOST_FRAMES):
        if frame.f_globals is managers and frame.f_code.co_name.startswith("on_"):
            handlers = getattr(frame.f_locals.get("self"), "handlers", None)
            return handlers if isinstance(handlers, list) else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def configurable(config: Any, names: Collection[str]) -> dict[str, Any]:
    """Return these values of the config of the run that encloses this code, if they are plain.

    langchain-core before 1.3 copies all of them into the metadata of every run. Since then, it does so for LangSmith's
    tracer alone.
    """
    values = config.get("configurable")
    if not isinstance(values, Mapping) or not values:
        return {}
    return {name: values[name] for name in names if isinstance(values.get(name), (str, int, float, bool, UUID))}


def starting_config(parent_id: UUID) -> Any | None:
    """Return the config that the call with which LangChain is starting a run got from this parent, if that is found.

    Workaround: `batch` and `abatch` of a sequence, a graph, and on Python 3.10 all async code hand the config to their
    steps without setting LangChain's context (langchain-core 1.0 to 1.8). The config is then among the variables of the
    call, and names the parent by its callbacks. Can go when the context is set there.
    """
    managers, frame, left = _MANAGERS, sys._getframe(1), _MOST_FRAMES
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
    frame = _starter(sys._getframe(1))
    if frame is None or not str(frame.f_globals.get("__name__")).startswith(_CALLERS):
        return None  # somebody else's variable of that name may be anything
    found = variable(frame, _CONFIG)
    return found if type(found) is dict else None


_CALLERS = ("langchain_core.", "langchain_classic.", "langgraph.")
"""How the modules are named that start runs."""

_CONFIG = "config"
"""What LangChain, and everybody who overrides its methods, calls a run's config."""


_MANAGERS = vars(manager)
"""The variables of LangChain's module of callback managers, by which its frames are known."""


def starts_fallbacks() -> bool:
    """Whether it is a call with fallbacks that is starting a run. Its name may be any."""
    if FALLBACKS not in sys.modules:
        return False
    try:
        frame = _starter(sys._getframe(_OWN_FRAMES))
    except ValueError:  # it is somebody's own code that calls the hook
        return False
    return frame is not None and frame.f_globals.get("__name__") == FALLBACKS


def _starter(frame: FrameType | None) -> FrameType | None:
    """Return the frame of the method that starts a run: the one that has called LangChain's callback manager.

    Args:
        frame: A frame that the manager has called, over others or not: a method that overrides a hook is one more.
    """
    managers, left = _MANAGERS, _MOST_FRAMES
    while frame is not None and frame.f_globals is not managers:
        frame, left = frame.f_back if left else None, left - 1
    while frame is not None and frame.f_globals is managers:
        frame = frame.f_back
    return frame


_OWN_FRAMES = 4
"""The frames of this function, its caller, the hook, and of LangChain's dispatch: above it is the manager's method."""

_MOST_FRAMES = 12
"""From LangChain's dispatch of the event down to our hook, or from its callback manager: there are few in between."""

FALLBACKS = "langchain_core.runnables.fallbacks"
"""The module of calls with fallbacks. Nobody has to import it who has none: it would take half of our import."""


def hooked_handlers() -> Iterator[Any]:
    """Yield the handlers that LangChain adds to every call of this context: those of `register_configure_hook`.

    That function is public. What it has registered is not.
    """
    module = sys.modules.get("langchain_core.tracers.context")  # nothing is registered before its import
    for holder, *_ in getattr(module, "_configure_hooks", ()):
        yield holder.get()


def is_traceable(run_id: UUID) -> bool:
    """Whether a run is no run of LangChain, but a function with LangSmith's `@traceable` that encloses this code.

    LangChain takes the run that LangSmith's context names for the parent of a run that starts there. Within LangChain's
    own runs LangSmith's context names them, so ask about a parent only if it is not the enclosing run.
    """
    helpers = sys.modules.get("langsmith.run_helpers")  # LangChain imports it before any run starts
    current = getattr(helpers, "get_current_run_tree", None)  # public, in the documentation of LangSmith
    return _enclosing_config is not None and current is not None and getattr(current(), "id", None) == run_id


COMPLETION_STARTS = (
    frozenset(map(id, (_start_code, *_start_code.co_consts))) if _start_code is not None else frozenset()
)
"""The identities of the code where LangChain's async manager starts a completion model, and of comprehensions in it."""


def replace_completion_start(replacement: Callable[[Any], Any]) -> None:
    """Replace the method where LangChain's async manager starts a completion model, by what is made of it."""
    start: Any = AsyncCallbackManager.on_llm_start
    if _start_code is not None:
        AsyncCallbackManager.on_llm_start = replacement(start)  # type: ignore[method-assign]


def watch_call(over: Callable[[UUID], None], run_id: UUID) -> object:
    """Watch LangChain's call that is starting a run: `over(run_id)` is called when it is over. Keep what is returned.

    LangChain makes a callback manager for each call, which lives in the frame of the call, or in the stream that the
    call returns. It is gone when they are gone, also after a timeout, a cancellation or an exception that LangChain
    does not signal. Code that starts a run and drops the manager at once is still on the stack then: that is no end.

    Returns:
        A weak reference, or `None` if there is no such call on the stack.
    """
    ours = sys._getframe(_FRAMES_OF_A_START)
    depth, code = _last_time.get(ours.f_code, (0, None))
    try:
        method = sys._getframe(depth)
        caller = method.f_back if method.f_code is code else None
    except ValueError:  # there are not so many
        caller = None
    if caller is None or caller.f_globals is _MANAGERS or caller.f_code.co_name == _COMPREHENSION:
        found = _starting_method(ours)
        if found is None:
            return None
        method, caller = found
    # Whoever else starts a run may keep its run manager, and need no callback manager any more.
    module = str(caller.f_globals.get("__name__"))
    if not module.startswith("langchain_core.") and not (
        module.startswith("langgraph.") and _MANAGER in caller.f_code.co_varnames + caller.f_code.co_cellvars
    ):
        return None
    watch = _Watch(method.f_locals["self"], _gone)
    watch.code, watch.frame_id, watch.over, watch.run_id = caller.f_code, id(caller), over, run_id
    return watch


_MANAGER = "callback_manager"
"""The variable in which LangGraph keeps it as long as a graph runs (langgraph 1.0 to 1.2)."""

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
        if frame.f_globals is _MANAGERS:
            if "self" in code.co_varnames[: code.co_argcount]:
                found, found_at = frame, depth
        elif found is not None and code.co_name != _COMPREHENSION:
            _last_time[ours.f_code] = found_at, found.f_code
            return found, frame
        frame, depth = frame.f_back, depth + 1
    return None


class _Watch(weakref.ref[Any]):
    """A weak reference to the callback manager of a call, which knows what to do when it is gone."""

    __slots__ = ("code", "frame_id", "over", "run_id")

    code: CodeType
    frame_id: int
    over: Callable[[UUID], None]
    run_id: UUID

    def gone(self) -> None:
        """The manager is gone."""
        # LangChain signals the end of a generator that is closed. Garbage collection closes it only after it has found
        # that its manager is gone.
        if self.code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            after_collection(self._end)
        elif not is_on_stack(self.frame_id, self.code):
            self._end()

    def _end(self) -> None:
        self.over(self.run_id)


def _gone(watch: _Watch) -> None:
    with contained("watch of a call"):
        watch.gone()


_COMPREHENSION = "<listcomp>"
"""Has a frame of its own before Python 3.12, which is over at once. LangChain starts completion models in one."""
