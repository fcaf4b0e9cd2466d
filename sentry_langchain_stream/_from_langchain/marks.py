"""What LangChain's and LangGraph's own bookkeeping tells of a run: where it belongs, and how it ended.

The facts stand in tags, metadata and the classes of exceptions; what is the user's own there is told apart from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .._runs.run import Control, Outcome, Start

GRAPH = "LangGraph"
"""The name of a graph that was given none."""

_NODE = "graph:step:"
_ATTEMPT = "retry:attempt:"


def is_node(tags: Sequence[str]) -> bool:
    """Whether a run is a node of a graph."""
    return bool(tags) and any(isinstance(tag, str) and tag.startswith(_NODE) for tag in tags)


def is_graph(start: Start) -> bool:
    """Whether a chain is known, by its start alone, to be a graph of LangGraph and not a part of one.

    A graph inside of a graph that has a name of its own shows itself only when its first node starts.
    """
    if is_node(start.tags):
        return False
    told = start.metadata.get("ls_integration")
    return (
        start.name == GRAPH
        or (isinstance(told, str) and told.startswith(_GRAPHS) and "langgraph_node" not in start.metadata)
        or (start.name is not None and start.metadata.get("lc_agent_name") == start.name)
    )


_GRAPHS = ("langgraph", "langchain_create_agent", "deepagents")


def agent_name(start: Start, above: str | None) -> str:
    """The name of an agent: its own, else the run's.

    Args:
        start: The start of the agent's run.
        above: The name of the agent that it runs inside of, which its metadata inherits.
    """
    own = start.metadata.get("lc_agent_name")
    return own if isinstance(own, str) and own and own != above else start.name or GRAPH


def attempt(tags: Sequence[str]) -> int | None:
    """Which attempt of `with_retry` a run is, from the second one on."""
    for tag in tags:
        if isinstance(tag, str) and tag.startswith(_ATTEMPT) and tag[len(_ATTEMPT) :].isdecimal():
            return int(tag[len(_ATTEMPT) :])
    return None


def outcome(error: BaseException) -> Outcome:
    """How a run that got an error event ended: not every exception is an error.

    `GeneratorExit` says that the consumer left; `CancelledError` (a cancelled task, a timeout) and an
    interrupted process that the run was cancelled; LangGraph's `GraphBubbleUp` family (interrupts, handoffs)
    is how a graph hands control upwards.
    """
    if isinstance(error, GeneratorExit):
        return "abandoned"
    if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit)):
        return "cancelled"
    return "completed" if _is("GraphBubbleUp", error) else "failed"


def control(error: BaseException) -> Control | None:
    """Whether a part of a graph ended because it waits for a human, or hands over to another part."""
    if _is("GraphInterrupt", error):
        return "interrupt"
    return "handoff" if _is("ParentCommand", error) else None


def _is(name: str, error: BaseException) -> bool:
    # By name: LangGraph may not be installed.
    return any(kind.__name__ == name for kind in type(error).__mro__)
