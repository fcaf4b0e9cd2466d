"""Calls of wrapped methods as runs of ours, which end with the call. LangChain has no callbacks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Token
from functools import partial, wraps
from importlib import import_module
from inspect import iscoroutinefunction
from typing import Any
from uuid import uuid4

from .._runs import labelling
from .._runs.details import MakeRecord
from .._runs.kinds import RunKind
from .._runs.run import Keeper, Run
from .._runs.settings import Settings
from .._runs.start import Start
from .._runtime.containment import contained
from . import inside, internals, marks, same_ids
from .families import Family

Arguments = tuple[Any, ...]


class Recording:
    """A call that is being recorded.

    Args:
        kind: The kind of its run.
        name: The run's name.
        parent: The run that encloses the call, if there is one.
        keeper: The live runs that its run is to be one of.
        record: Makes the record of its input.
    """

    def __init__(self, kind: RunKind, name: str, parent: Run | None, keeper: Keeper, record: MakeRecord) -> None:
        self._keeper = keeper
        self._token: Token[Any] | None = None
        self.run_id = uuid4()
        start = Start(id=self.run_id, kind=kind, parent_id=parent.id if parent is not None else None, name=name)
        start.enclosing_id = same_ids.enclosing_own(internals.enclosing_run_id())
        self.run = keeper.start(start, record)
        if self.run is not None:
            self.run.reports = False  # the application gets the exception, and what encloses the call may recover
            if parent is not None:
                labelling.inherit(self.run, parent)
            self._token = inside.enter(self.run)

    def end(self, result: Any) -> None:
        """The call has returned."""
        self._leave()
        with contained("end of a call"):
            if self.run is not None:
                with contained("result"):
                    self._returned(self.run, result)
            self._keeper_now.end(self.run_id)

    def fail(self, error: BaseException) -> None:
        """The call has raised."""
        self._leave()
        with contained("end of a call"):
            if self.run is not None:
                self._raised(self.run)
            self._keeper_now.end(self.run_id, marks.outcome(error), error)

    @property
    def watched_by(self) -> tuple[Settings, ...]:
        """The settings of the handler that follows the call, see `failures.find`."""
        return (self._keeper_now.settings,)

    @property
    def _keeper_now(self) -> Keeper:
        return self.run.keeper if self.run is not None else self._keeper

    def _leave(self) -> None:
        token, self._token = self._token, None
        if token is not None:
            inside.leave(token)

    def _returned(self, run: Run, result: Any) -> None:
        """Complete the record of a call that has returned."""

    def _raised(self, run: Run) -> None:
        """Complete the record of a call that has raised."""


Begin = Callable[[Any, Arguments, dict[str, Any]], tuple[Arguments, Recording | None]]
"""Starts recording a call of an object's method, unless nobody follows it.

Returns the arguments for the method too: an iterator among them can be read only once.
"""


def recorded(begin: Begin, method: Any) -> Any:
    """Return what takes the place of a method, a coroutine function or not. `failures.find` knows it by `recording`."""

    @wraps(method)
    def call(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        args, recording = begin(self, args, kwargs)
        if recording is None:
            return method(self, *args, **kwargs)
        try:
            result = method(self, *args, **kwargs)
        except BaseException as error:
            recording.fail(error)
            raise
        recording.end(result)
        return result

    @wraps(method)
    async def acall(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        args, recording = begin(self, args, kwargs)
        if recording is None:
            return await method(self, *args, **kwargs)
        try:
            result = await method(self, *args, **kwargs)
        except BaseException as error:
            recording.fail(error)
            raise
        recording.end(result)
        return result

    return acall if iscoroutinefunction(method) else call


def langgraph_family(
    option: str,
    module: str,
    base: str,
    names: Iterable[str],
    begin: Callable[[str, Any, Arguments, dict[str, Any]], tuple[Arguments, Recording | None]],
) -> Family:
    """Return the family of one of LangGraph's base classes whose methods are recorded, sync and async.

    Args:
        option: The option of the handler that asks for it.
        module: The module of the base class.
        base: Its name.
        names: The names of the methods; those of the async ones begin with "a".
        begin: A `Begin`, with the method's name as its first argument.

    Raises:
        ImportError: LangGraph is not installed.
    """
    try:
        cls: type = getattr(import_module(module), base)
    except ImportError:
        raise ImportError(f"{option}=True needs langgraph: pip install langgraph") from None
    return Family(
        cls, {f"{prefix}{name}": partial(recorded, partial(begin, name)) for prefix in ("", "a") for name in names}
    )
