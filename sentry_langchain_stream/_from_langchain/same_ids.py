"""Runs that share their id with a run that is live already. The `run_id` of a call is the caller's to choose.

LangChain's events name a run by its id alone, and so do its children. Behind the events it is known which call fires
them: its callback manager and the manager of its run have the same list of handlers, which no other call has
(langchain-core 1.0 to 1.8). And the children run in the context of the call. So the second live run of an id, and each
further one, gets an id of ours, which is found by that list, and by the context where the id names a parent.

Most ids are in no table here: then all of this is one look-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from threading import get_ident
from types import MappingProxyType
from typing import NamedTuple, overload
from uuid import UUID, uuid4

from .._runs import enclosing
from .._runs.live_runs import LiveRuns
from .._runs.numbers import number
from .._runs.run import Run
from .._runtime.locks import PatientLock
from . import call_stack
from .inline_hooks import InlineHandler


class _Again(NamedTuple):
    """A run whose id was taken: the list of handlers of its call, and the id that it has with us."""

    handlers: list[object]
    id: UUID


_MOST = 64
"""So many runs are remembered after their end: late events, and an exception on its way up, still name them."""

again: dict[UUID, tuple[_Again, ...]] = {}
"""The ids that several runs have. Mostly there are none: ask for that first, where it has to be quick."""
_order: list[tuple[UUID, _Again]] = []
_lock = PatientLock()
_here: ContextVar[Mapping[UUID, UUID]] = ContextVar("sentry_langchain_stream_ids", default=MappingProxyType({}))
"""For an id that several runs have: which of them encloses the code of this context. Else it is the first one."""


def starting(given: UUID, runs: LiveRuns) -> UUID:
    """Return the id for the run that is starting: the given one, unless another call has a live run of that id.

    Args:
        given: The run's id by LangChain.
        runs: The live runs of the handler that hears of the start.
    """
    # Claim the id first: another thread may be about to start a run of the same id.
    here, mine = get_ident(), number(given)
    is_free = enclosing.claims.setdefault(mine, here) == here
    live = enclosing.get(mine)
    if live is not None and is_free:
        enclosing.claims.pop(mine, None)
    if live is None and is_free and not (again and given in again):
        return given
    handlers = call_stack.event_handlers()
    own = given
    if handlers is not None and (live is not None or not is_free):
        own = _find(given, handlers) or given
        if own == given and (live is None or _is_another(live, runs, handlers)):
            own = _add(given, handlers)
    if _here.get().get(given, given) != own:
        _here.set({**_here.get(), given: own})
    return own


def not_started(given: UUID) -> None:
    """Give the id back: the run's start has failed on its way to `Starts.start`, which does it else."""
    if enclosing.claims.get(number(given)) == get_ident():
        enclosing.claims.pop(number(given), None)


def own(given: UUID, handlers: object = None) -> UUID:
    """Return our id of a run.

    Args:
        given: The run's id by LangChain.
        handlers: The handlers of the run's manager. The default is those of the manager that fires this event.
    """
    if not again or given not in again:  # an empty dict would still ask for the hash, which is slow for a UUID
        return given
    if handlers is None:
        handlers = call_stack.event_handlers()
    return (_find(given, handlers) or given) if handlers is not None else enclosing_own(given)


@overload
def enclosing_own(given: UUID) -> UUID: ...


@overload
def enclosing_own(given: UUID | None) -> UUID | None: ...


def enclosing_own(given: UUID | None) -> UUID | None:
    """Return our id of the run that encloses this code and has this id by LangChain."""
    return given if given is None or not again or given not in again else _here.get().get(given, given)


def _find(given: UUID, handlers: object) -> UUID | None:
    return next((each.id for each in again.get(given, ()) if each.handlers is handlers), None)


def _is_another(live: Run, runs: LiveRuns, handlers: list[object]) -> bool:
    """Whether the start with these handlers is not the one that has started the live run.

    One start is fired for each handler in the list. It is heard twice if the list has a handler twice, or two of ours.
    """
    ours = [each for each in handlers if isinstance(each, InlineHandler)]
    if live.keeper is runs or runs in live.seen_by:
        return sum(getattr(each, "_runs", None) is runs for each in ours) == 1
    return not any(getattr(each, "_runs", None) is live.keeper for each in ours)


def _add(given: UUID, handlers: list[object]) -> UUID:
    another = _Again(handlers, uuid4())
    with _lock:
        again[given] = (*again.get(given, ()), another)
        _order.append((given, another))
        if len(_order) > _MOST:
            _forget(*next((each for each in _order if enclosing.get(number(each[1].id)) is None), _order[-1]))
    if (live := enclosing.get(number(given))) is not None:
        live.keeper.no_longer_plain(live)  # its chunks have the id of both now
    return another.id


def _forget(given: UUID, ended: _Again) -> None:
    """Forget a run that has ended."""
    if enclosing.get(number(ended.id)) is not None:
        return
    _order.remove((given, ended))
    rest = tuple(each for each in again[given] if each is not ended)
    if rest:
        again[given] = rest
    else:
        del again[given]
