"""What an agent has of its own model calls: the system instructions, and the tools that they are offered."""

from __future__ import annotations

from .._content.policy import Policy
from .call import Request
from .details import Agent
from .run import Run


def add_request(run: Run, request: Request) -> None:
    """Give the agent whose own model call has started what the call asks with, if the same may be recorded of both.

    Args:
        run: The run of the call.
        request: The request. What it has may be recorded under the run's policy.
    """
    policy, agent = _agent_of(run)
    if agent is not None and (run.policy is policy or run.policy == policy):
        agent.tools, agent.system = request.tools or agent.tools, request.system or agent.system
        agent.asked_by = run.number


def take_back(run: Run) -> None:
    """Take from the agent what this call has given it: another handler records the call, and may forbid it."""
    _, agent = _agent_of(run)
    if agent is not None and agent.asked_by == run.number:
        agent.tools = agent.system = None


def _agent_of(run: Run) -> tuple[Policy | None, Agent | None]:
    """What may be recorded of the agent that makes a call itself, and the agent.

    A tool, a retriever, another model or a middleware between the two makes the call for itself.
    """
    around = None if run.is_middleware else run.parent
    while around is not None:
        if isinstance(around.detail, Agent):
            return around.policy, around.detail
        if around.call is not None or around.kind in ("tool", "retriever") or around.is_middleware:
            break
        around = around.parent
    return None, None
