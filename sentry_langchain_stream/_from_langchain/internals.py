"""Every name of langchain-core, and of the agents of langchain, that is not documented for users, in this one module.

A name that is missing switches its feature off. The import of this package never fails for it, and no span is lost.
Seen in langchain-core 1.0 to 1.8. There is no upstream issue unless an entry links one.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import ContextVar
from threading import RLock
from types import CodeType
from typing import Any
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackManager, manager
from langchain_core.runnables import config

from .._runtime.containment import warn_once

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


MODEL_CALLS = ("_execute_model_sync", "_execute_model_async")
"""The functions in `langchain.agents.factory` where an agent of `create_agent` calls its model (langchain 1.0 to 1.5).

They are made with the agent, and known by these names on the stack. Without them, such an agent has no instructions and
tools: those of its middleware could not be distinguished from its own.
"""


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


def configurable(config: Any, names: Collection[str]) -> dict[str, Any]:
    """Return these values of the config of the run that encloses this code, if they are plain.

    langchain-core before 1.3 copies all of them into the metadata of every run. Since then, it does so for LangSmith's
    tracer alone.
    """
    values = config.get("configurable")
    if not isinstance(values, Mapping) or not values:
        return {}
    return {name: values[name] for name in names if isinstance(values.get(name), (str, int, float, bool, UUID))}


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
