"""What the events of chains, agents, tools and retrievers mean for their records. `handler.py` hands them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from . import bookkeeping, details
from .containment import contained
from .lifecycle import LiveRuns
from .privacy import NOTHING, Policy
from .record import Agent, Detail, Retrieval, Run, Start, ToolCall

D = TypeVar("D", bound=Detail)


class StepRuns:
    """Starts and ends the runs that are no model's.

    Args:
        runs: The live runs.
    """

    def __init__(self, runs: LiveRuns) -> None:
        self._runs = runs

    def start_chain(self, start: Start, inputs: object) -> None:
        """A chain starts, which may be an agent."""
        if not bookkeeping.is_graph(start):
            self._runs.start(start)
            return
        read = _read("question of an agent", lambda policy: details.agent(start.name, inputs, policy))
        self._runs.start(start._replace(kind="agent"), read)

    def end_chain(self, run_id: UUID, outputs: object) -> None:
        """A chain has come to its end."""
        run = self._runs.get(run_id)
        if run is not None and isinstance(run.detail, Agent):
            with contained("answer of an agent"):
                details.add_answer(run.detail, outputs, run.policy)
        self._runs.end(run_id)

    def start_tool(self, start: Start, serialized: object, told: Mapping[str, Any], input_str: str) -> None:
        """A tool starts.

        Args:
            start: The run's start.
            serialized: LangChain's description of the tool.
            told: What else LangChain hands to the start: the inputs as given, the id of the call.
            input_str: The inputs as a text.
        """
        self._runs.start(
            start,
            _read(
                "arguments of a tool",
                lambda policy: details.tool_call(start.name, serialized, told, input_str, policy),
            ),
        )

    def end_tool(self, run_id: UUID, output: object) -> None:
        """A tool has come to its end, or has made a message of its failure, which LangChain does not call an error."""
        run = self._runs.get(run_id)
        if run is None:
            return
        if isinstance(run.detail, ToolCall):
            with contained("result of a tool"):
                details.add_result(run.detail, output, run.policy)
        if details.is_failed(output):
            run.error_type = "tool_error"
            self._runs.end(run_id, "failed")
        else:
            self._runs.end(run_id)

    def start_retriever(self, start: Start, serialized: object, query: str) -> None:
        """A retriever starts."""
        read = _read("query of a retriever", lambda policy: details.retrieval(start.name, serialized, query, policy))
        self._runs.start(start, read)

    def end_retriever(self, run_id: UUID, documents: object) -> None:
        """A retriever has come to its end."""
        run = self._runs.get(run_id)
        if run is not None and isinstance(run.detail, Retrieval):
            with contained("documents of a retriever"):
                details.add_documents(run.detail, documents, run.policy)
        self._runs.end(run_id)

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """A run got an error event: it failed, was left or cancelled, or handed control upwards."""
        run = self._runs.get(run_id)
        if run is None:
            return
        run.control = bookkeeping.control(error)
        if run.control == "interrupt":
            # The agent that waits ends as if all were well. One that hands over is told so itself, and the graph that
            # it hands over to catches that in the node above it: that graph just goes on.
            agent: Run | None = run
            while agent is not None and agent.kind != "agent":
                agent = agent.parent
            if agent is not None:
                agent.control = run.control
        self._runs.end(run_id, bookkeeping.outcome(error), error)


def _read(what: str, make: Callable[[Policy], D]) -> Callable[[Policy], D]:
    """Make a record. What was said there is left out if it cannot be read; the run is a run all the same."""

    def read(policy: Policy) -> D:
        with contained(what):
            return make(policy)
        return make(NOTHING)

    return read
