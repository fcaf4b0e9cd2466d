"""What an agent has of its own model calls: the system instructions, and the tools that they are offered."""

from __future__ import annotations

from .call import Request
from .details import Agent
from .run import Run


def add_request(run: Run, request: Request) -> None:
    """Give the agent whose own model call has started what the call asks with, if the same may be recorded of both.

    Args:
        run: The run of the call.
        request: The request. What it has may be recorded under the run's policy.
    """
    agent_run = _agent_of(run)
    if agent_run is None or not isinstance(agent_run.detail, Agent):
        return
    if run.policy is agent_run.policy or run.policy == agent_run.policy:
        agent = agent_run.detail
        agent.tools, agent.system = request.tools or agent.tools, request.system or agent.system
        agent.asked_by = run.number


def take_back(run: Run) -> None:
    """Take from the agent what this call has given it: another handler records the call, and may forbid it."""
    agent_run = _agent_of(run)
    if agent_run is not None and isinstance(agent_run.detail, Agent) and agent_run.detail.asked_by == run.number:
        agent_run.detail.tools = agent_run.detail.system = None


def _agent_of(run: Run) -> Run | None:
    """The agent that makes a call itself: no tool, no retriever, no other model and no middleware of it."""
    around = run.parent
    while around is not None and not isinstance(around.detail, Agent):
        if around.call is not None or around.kind in ("tool", "retriever") or around.is_hook:
            return None
        around = around.parent
    return around
