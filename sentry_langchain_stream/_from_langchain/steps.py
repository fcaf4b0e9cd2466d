"""What the events of chains, agents, tools and retrievers mean for their records. `handler.py` hands them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

from .._content.messages import agent_answer, agent_question, retrieved_documents, tool_arguments, tool_result
from .._content.policy import NOTHING, Policy
from .._content.reading import as_text, field
from .._runs.live_runs import LiveRuns
from .._runs.run import Agent, Detail, Retrieval, Run, Start, ToolCall
from .._runtime.containment import contained
from . import marks

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
        if start.kind != "agent":
            self._runs.start(start)
            return
        read = _read("question of an agent", lambda policy: agent(start.name, inputs, policy))
        self._runs.start(start, read)

    def end_chain(self, run_id: UUID, outputs: object) -> None:
        """A chain has come to its end."""
        run = self._runs.get(run_id)
        if run is not None and isinstance(run.detail, Agent):
            with contained("answer of an agent"):
                add_answer(run.detail, outputs, run.policy)
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
                lambda policy: tool_call(start.name, serialized, told, input_str, policy),
            ),
        )

    def end_tool(self, run_id: UUID, output: object) -> None:
        """A tool has come to its end, or has made a message of its failure, which LangChain does not call an error."""
        run = self._runs.get(run_id)
        if run is None:
            return
        if isinstance(run.detail, ToolCall):
            with contained("result of a tool"):
                add_result(run.detail, output, run.policy)
        if is_failed(output):
            run.ending.error_type = "tool_error"
            self._runs.end(run_id, "failed")
        else:
            self._runs.end(run_id)

    def start_retriever(self, start: Start, serialized: object, query: str) -> None:
        """A retriever starts."""
        read = _read("query of a retriever", lambda policy: retrieval(start.name, serialized, query, policy))
        self._runs.start(start, read)

    def end_retriever(self, run_id: UUID, documents: object) -> None:
        """A retriever has come to its end."""
        run = self._runs.get(run_id)
        if run is not None and isinstance(run.detail, Retrieval):
            with contained("documents of a retriever"):
                add_documents(run.detail, documents, run.policy)
        self._runs.end(run_id)

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """A run got an error event: it failed, was left or cancelled, or handed control upwards."""
        run = self._runs.get(run_id)
        if run is None:
            return
        run.ending.control = marks.control(error)
        if run.ending.control == "interrupt":
            # The agent that waits ends as if all were well. One that hands over is told so itself, and the graph that
            # it hands over to catches that in the node above it: that graph just goes on.
            agent: Run | None = run
            while agent is not None and agent.kind != "agent":
                agent = agent.parent
            if agent is not None:
                agent.ending.control = run.ending.control
        self._runs.end(run_id, marks.outcome(error), error)


def _read(what: str, make: Callable[[Policy], D]) -> Callable[[Policy], D]:
    """Make a record. What was said there is left out if it cannot be read; the run is a run all the same."""

    def read(policy: Policy) -> D:
        with contained(what):
            return make(policy)
        return make(NOTHING)

    return read


def tool_call(
    name: str | None, serialized: object, told: Mapping[str, Any], input_str: str, policy: Policy
) -> ToolCall:
    """A call of a tool.

    Args:
        name: The run's name; LangChain gives none for most tools.
        serialized: LangChain's description of the tool.
        told: What LangChain hands to the start besides.
        input_str: The inputs as a text.
        policy: What may be recorded.
    """
    described: Mapping[str, Any] = serialized if isinstance(serialized, Mapping) else {}
    inputs = told.get("inputs")
    given = inputs if inputs is not None else input_str
    return ToolCall(
        as_text(described.get("name")) or name or "tool",
        _description(described, policy),
        as_text(told.get("tool_call_id")),
        tool_arguments(given, policy.beside(ahead=1)),
    )


def _description(described: Mapping[str, Any], policy: Policy) -> str | None:
    """What a tool says of itself: a part of its definition, and so of what a model is given."""
    told = as_text(described.get("description")) if policy.inputs else None
    return told and policy.text(told)


def add_result(to: ToolCall, output: object, policy: Policy) -> None:
    """Add what a tool returned, if it may be recorded; and the call's id, which langchain-core 1.0 tells no earlier."""
    to.id = to.id or (None if isinstance(output, Mapping) else as_text(field(output, "tool_call_id")))
    to.result = tool_result(output, policy.beside(to.arguments))


def is_failed(output: object) -> bool:
    """Whether a tool has made a message of its failure."""
    return not isinstance(output, Mapping) and field(output, "type") == "tool" and field(output, "status") == "error"


def retrieval(name: str | None, serialized: object, query: str, policy: Policy) -> Retrieval:
    """A call of a retriever."""
    path = serialized.get("id") if isinstance(serialized, Mapping) else None
    cls = path[-1] if isinstance(path, list) and path else None
    return Retrieval(name or as_text(cls) or "retriever", tool_arguments(query, policy.beside(ahead=1)))


def add_documents(to: Retrieval, documents: object, policy: Policy) -> None:
    """Add what a retriever found: how much, and what, if it may be recorded."""
    if isinstance(documents, Sequence):
        to.documents = len(documents)
        to.found = retrieved_documents(documents, policy.beside(to.query))


def agent(name: str | None, inputs: object, policy: Policy) -> Agent:
    """A run of an agent, with what it is asked, if that may be recorded."""
    return Agent(name or "", messages=agent_question(inputs, policy.beside(ahead=2)))


def add_answer(to: Agent, outputs: object, policy: Policy) -> None:
    """Add what an agent answered, if it may be recorded."""
    to.answer = agent_answer(outputs, policy.beside(to.tools, to.messages))
