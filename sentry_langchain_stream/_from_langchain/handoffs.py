"""Handoffs between the agents of a graph, as runs of ours that end at once.

LangGraph turns a `Command(graph=Command.PARENT, goto=...)` of a tool or a node into a `ParentCommand`. The graph that
hands off is left by that exception, wherever the command was returned, so each handoff is seen once there: below the
graph the tool, the node and the tasks around them have seen it too.

Sentry's conventions have the op `gen_ai.handoff` ("Handoff of control between different AI agents or components",
`model/op/gen_ai.json` of sentry-conventions, August 2026), and Sentry's integrations call the span "handoff from X to
Y". It has no op in dialect `"ai"`, which is older than agents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import uuid4

from .._content.error_texts import FILTERED
from .._content.policy import Policy
from .._content.reading import field
from .._runs import enclosing, labelling
from .._runs.details import Agent, Handoff
from .._runs.numbers import number
from .._runs.run import Run
from .._runs.start import Start
from .._vocabulary.keys import bounded
from .._vocabulary.names import DEFAULT_AGENT, LONGEST

_END = "__end__"
"""LangGraph's `END`, which is no agent."""
_MOST = 20
"""The most handoffs of one command that get a span."""


def record(run: Run, parent: Run | None, error: BaseException) -> None:
    """Record the handoffs that the end of an agent brings, on its parent's level.

    Args:
        run: The agent's run, which has just ended.
        parent: Its parent.
        error: The `ParentCommand` that it ended with.
    """
    if parent is None or not any(parent.agents()):
        return  # no graph around it that could continue
    command = error.args[0] if error.args else None
    source = _source(run, parent)
    for target in list(dict.fromkeys(targets(field(command, "goto"))))[:_MOST]:
        handoff = Handoff(source, _sendable(target, run.policy))
        start = Start(id=uuid4(), parent_id=parent.id, kind="handoff", name=handoff.name)
        run.keeper.start(start, lambda policy, made=handoff: made)  # type: ignore[misc]
        live = enclosing.get(number(start.id))
        if live is not None:
            live.agent = source
            labelling.inherit(live, parent)
        run.keeper.end(start.id)


def _sendable(target: str, policy: Policy) -> str:
    """A target, unless it may be content: a tool may take the model's word for where to go on."""
    if _NAME.fullmatch(target):
        return target
    return (policy.text(target) if policy.inputs else None) or FILTERED


_NAME = re.compile(r"[\w.:-]{1,64}")
"""A name, as that of a node is, without blanks."""


def _source(run: Run, parent: Run) -> str:
    """The name of the agent. A graph without a name is called as its node."""
    name = run.detail.name if isinstance(run.detail, Agent) else run.agent
    if name in (None, "", DEFAULT_AGENT) and parent.is_node:
        name = parent.name
    return bounded(name or DEFAULT_AGENT, LONGEST)


def targets(goto: object) -> Iterator[str]:
    """Yield the names of the nodes that a command goes to: a name, a `Send`, or several of these."""
    for each in goto if isinstance(goto, (list, tuple)) else (goto,):
        node = each if isinstance(each, str) else field(each, "node")
        if isinstance(node, str) and node and node != _END:
            yield bounded(node, LONGEST)
