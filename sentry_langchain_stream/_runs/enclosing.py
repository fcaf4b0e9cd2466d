"""The live runs of all handlers, to be found by their id: from the code inside them, and by other handlers."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from .._to_sentry.reports import request_of
from .kinds import LEAVES
from .numbers import Number, number
from .places import Tree
from .run import Run
from .start import Start

_runs: dict[Number, Run] = {}

started_elsewhere: set[Number] = set()
"""Live models whose start LangChain signals in a context that is not theirs: completion models on the async ways."""

claims: dict[Number, int] = {}
"""Numbers of runs that are about to start, and the threads where they do."""

get = _runs.get
"""The live run of a number, or `None`."""

add = _runs.__setitem__
"""A run has started: its number, and the run."""


def parent_of(start: Start) -> Run | None:
    """Return the live parent: the run that LangChain names, or the one among its children that calls this code.

    The second case is a workaround, for two kinds of calls (langchain-core 1.0 to 1.8). LangChain gives a tool the
    config of the tool's caller, so a run that the tool starts with this config would become the tool's sibling. And the
    attempts of `with_fallbacks` get the config of its caller: if a model or retriever has called it in its own method,
    the attempts would become siblings of that model or retriever. It can go when LangChain gives tools and attempts a
    config of their own.
    """
    named = get(number(start.parent_id)) if start.parent_id is not None else None
    if named is not None and start.namespace is not None and not start.is_node:
        node = node_of(start.namespace, named)
        if node is not None:
            return node
    if start.enclosing_id is None or start.enclosing_id is start.parent_id:
        return named
    inside = get(number(start.enclosing_id))
    if inside is None:
        return named
    around = inside.parent
    if inside.kind == "tool" and around is named:
        return inside
    if inside.has_fallbacks and around is not None and around.kind in LEAVES and around.enclosing_id == start.parent_id:
        return around
    return named


def node_of(namespace: object, named: Run) -> Run | None:
    """Return the node or the `@task` that runs what starts, if LangChain names a run around the node's graph instead.

    Workaround: LangGraph runs the steps of a sequence that is a node, but for the first one, without setting
    LangChain's context (langgraph 1.0 to 1.2). A step with something bound to it, such as a model with tools, takes its
    parent from that context (langchain-core 1.0 to 1.8): from whoever called the graph. Can go when LangGraph sets it.

    Args:
        namespace: The id of the graph's task, as the metadata have it.
        named: The parent that LangChain names.
    """
    node = _nodes.get(namespace) if type(namespace) is str else None
    if node is None or node is named or node in named.ancestors():
        return None
    return node if named in node.ancestors() else None


_nodes: dict[str, Run] = {}
"""The live nodes of graphs and `@task`s, by the ids of their tasks."""


def add_node(task: str, run: Run) -> None:
    """A node or a `@task` has started."""
    _nodes[task] = run


class Gone(NamedTuple):
    """A chain that was given up: LangChain may yet start steps of it, in tasks and threads that it does not stop.

    Args:
        pipeline: The name of its pipeline.
        conversation: The id of the conversation that it belonged to.
        is_node: Whether it is a node, whose code is the application's and may go on.
    """

    pipeline: str
    conversation: str | None
    is_node: bool


_MOST_GONE = 500
_gone: dict[Number, Gone] = {}

gone = _gone.get
"""The chain of a number that was given up, one of the latest, or `None`."""


def give_up(number: Number, chain: Gone) -> None:
    """Remember a chain that was given up, or a step that has started after that."""
    _gone[number] = chain
    if len(_gone) > _MOST_GONE:
        with suppress(KeyError, RuntimeError):  # another thread was faster. A lock might be held in a forked process
            del _gone[next(iter(_gone))]


def any_live() -> bool:
    """Whether a handler of ours follows any run now."""
    return bool(_runs)


def any_beside(tree: Tree, before: float) -> bool:
    """Whether runs of other trees go on in the same request that started before a time.

    Args:
        tree: A tree.
        before: The time, in seconds of the system's monotonic clock.
    """
    if tree.scopes is None:
        return False
    request = request_of(tree.scopes)
    trees = {id(run.tree): run.tree for run in list(_runs.values()) if run.tree is not tree}
    return any(
        each.started <= before and each.scopes is not None and request.is_also(request_of(each.scopes))
        for each in trees.values()
    )


def discard(run: Run) -> None:
    """A run has ended."""
    if started_elsewhere:
        started_elsewhere.discard(run.number)
    if _runs.get(run.number) is run:
        _runs.pop(run.number, None)
    if type(run.work) is str and _nodes.get(run.work) is run:
        _nodes.pop(run.work, None)


def forget(runs: dict[Number, Run]) -> None:
    """Forget these runs: in a forked process they are the parent process's."""
    claims.clear()
    for run in list(runs.values()):
        discard(run)
