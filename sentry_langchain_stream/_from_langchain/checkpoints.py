"""Saves and loads of LangGraph's checkpointers as runs of ours. LangGraph has no callbacks for them.

So the methods of `BaseCheckpointSaver` and of all its subclasses are wrapped, as those of stores are, from the first
handler with `checkpoints=True` on. LangGraph calls them outside of every run that its context names, and some of them
in a thread without a context. So the graph is found by the config that it hands to the checkpointer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sized
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from .._content.policy import Policy
from .._content.reading import as_id, field
from .._runs import enclosing
from .._runs.details import Checkpoint
from .._runs.kinds import CHAINS
from .._runs.numbers import number
from .._runs.run import Run
from .._runs.start import Start
from .._runtime.containment import contained
from .._to_sentry import other_integrations
from .._to_sentry.asking import is_asking
from .._vocabulary.keys import bounded
from .._vocabulary.names import LONGEST
from . import inside, internals, same_ids
from .families import Family
from .recorded_calls import Arguments, Recording, langgraph_family

_family: Family | None = None
_NAMES = ("put", "put_writes", "get_tuple")
_THREAD = "thread_id"
_MOST_THREADS = 10_000

_roots: OrderedDict[str, UUID] = OrderedDict()
"""The root run that has started last on a thread of LangGraph's (a conversation). It may have ended."""


def install() -> None:
    """Wrap the methods of all checkpointers, those to come too.

    Raises:
        ImportError: LangGraph is not installed.
    """
    global _family
    if _family is None:
        _family = langgraph_family("checkpoints", "langgraph.checkpoint.base", "BaseCheckpointSaver", _NAMES, _begin)
    _family.install()
    other_integrations.undo_with(uninstall)


def uninstall() -> None:
    """Undo `install`."""
    if _family is not None:
        _family.uninstall()
    _roots.clear()


def started(start: Start) -> None:
    """A chain has started that LangChain names no parent of: perhaps a graph, which has a checkpointer."""
    thread = as_id(start.metadata.get(_THREAD))
    if thread is None:
        return
    _roots[thread] = start.id
    with suppress(KeyError):  # another thread has removed it
        _roots.move_to_end(thread)
        if len(_roots) > _MOST_THREADS:
            _roots.popitem(last=False)


# -- Recording --------------------------------------------------------------------------------------------------------


def _begin(
    name: str, saver: Any, args: Arguments, kwargs: dict[str, Any]
) -> tuple[Arguments, _RecordedCheckpoint | None]:
    """Start recording a call, unless nobody follows it."""
    if _family is None or not _family.is_on or not enclosing.any_live() or is_asking():
        return args, None
    with contained("checkpoint"):
        around = inside.wrapped_call()
        if around is not None and around.kind == "checkpoint":
            return args, None  # one method of a checkpointer calls another
        parent = _parent(args[0] if args else kwargs.get("config"))
        if parent is not None and parent.keeper.settings.checkpoints:
            recording = _RecordedCheckpoint(name, saver, args, kwargs, parent)
            return args, recording if recording.run is not None else None
    return args, None


def _parent(config: object) -> Run | None:
    """The graph that saves or loads, or what calls the checkpointer inside of it."""
    inner = inside.innermost(handed_over=True)
    if not isinstance(config, Mapping):
        return inner
    # The config has the callbacks and the thread with which the graph was called. They name what the graph is a child
    # of, or nothing if it is a root.
    parent_id = getattr(config.get("callbacks"), "parent_run_id", None)
    above = _live(same_ids.enclosing_own(parent_id)) if isinstance(parent_id, UUID) else None
    graph = _root(config) if above is None else _only_graph(above)
    found = graph or above
    if found is None or (_is_inside(inner, found) and not _is_found_by_the_stack(inner, graph)):
        return inner
    if above is not None and graph is not None and graph.kind == "chain":
        graph.keeper.become_graph(graph, None)  # LangGraph's first node, which shows that it is one, starts later
    return found


def _root(config: Mapping[str, Any]) -> Run | None:
    thread = as_id(field(config.get("configurable"), _THREAD))
    return _live(_roots.get(thread)) if thread is not None else None


def _only_graph(above: Run) -> Run | None:
    """The graph among the live children of a run, if it is clear which one that is."""
    chains = [each for each in above.children if each.kind in CHAINS and not each.is_node]
    return chains[0] if len(chains) == 1 else None


def _is_inside(run: Run | None, outer: Run) -> bool:
    while run is not None and run is not outer:
        run = run.parent
    return run is not None


def _is_found_by_the_stack(inner: Run | None, graph: Run | None) -> bool:
    """Whether the innermost run is the graph itself, as its method is on the stack while it loads.

    The stack is looked at while a model is live, and on Python 3.10 in any task. LangChain's context, which names what
    the application calls, never names a graph.
    """
    return (
        inner is not None
        and inner is graph
        and _live(same_ids.enclosing_own(internals.enclosing_run_id())) is not graph
    )


def _live(run_id: UUID | None) -> Run | None:
    return enclosing.get(number(run_id)) if run_id is not None else None


class _RecordedCheckpoint(Recording):
    """A call of a checkpointer that is being recorded."""

    def __init__(self, name: str, saver: Any, args: Arguments, kwargs: Mapping[str, Any], parent: Run) -> None:
        record = Checkpoint(bounded(type(saver).__name__, LONGEST), name)
        if name != "get_tuple":
            given = args[1] if len(args) > 1 else kwargs.get("checkpoint" if name == "put" else "writes")
            versions = args[3] if len(args) > 3 else kwargs.get("new_versions")
            record.channels = _number(field(given, "channel_values")) if name == "put" else None
            record.writes = _number(versions if name == "put" else given)
        super().__init__("checkpoint", record.name, parent, parent.keeper, partial(_same, record))

    def _returned(self, run: Run, result: Any) -> None:
        record = run.detail
        if isinstance(record, Checkpoint) and record.operation == "get_tuple":
            record.channels = _number(field(field(result, "checkpoint"), "channel_values")) or 0
            record.writes = _number(field(result, "pending_writes")) or 0


def _same(record: Checkpoint, policy: Policy) -> Checkpoint:
    """Make the record of a run: nothing in it is content."""
    return record


def _number(values: object) -> int | None:
    return len(values) if isinstance(values, Sized) else None
