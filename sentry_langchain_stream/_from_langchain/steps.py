"""Updates the records of chains, agents, tools and retrievers from LangChain's events. `hooks` passes them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from .._content.message_formats import messages_in
from .._content.messages import (
    agent_answer,
    agent_question,
    retrieved_documents,
    tool_arguments,
    tool_result,
    tool_result_size,
)
from .._content.policy import NOTHING, Policy
from .._content.reading import as_text, field
from .._runs.details import Agent, Detail, Retrieval, ToolCall
from .._runs.live_runs import LiveRuns
from .._runs.numbers import number
from .._runs.run import Run
from .._runs.start import Start
from .._runtime.containment import attempt, contained
from . import decisions, executors, handoffs, injected, inside, left_streams, marks, prompts, same_ids, starters
from .inner_chains import InnerChains

D = TypeVar("D", bound=Detail)


class StepRuns:
    """Starts and ends all runs that are not model calls.

    Args:
        runs: The live runs.
    """

    def __init__(self, runs: LiveRuns) -> None:
        self._runs = runs
        self._get = runs.get
        self._inner = InnerChains(runs)
        self.start_inner = self._inner.start
        """Starts a chain below a chain, if nothing is sent of it, and returns whether it has."""

    def start_chain(self, start: Start, inputs: object) -> None:
        """Start a chain or an agent."""
        if (start.parent_id is None or start.is_called_alone) and self._runs.settings.checkpoints:
            with contained("checkpoint"):
                from . import checkpoints  # imported only if checkpoints are on

                checkpoints.started(start)
        executor = executors.starting() if start.kind == "chain" else None
        if executor is not None:
            start.kind, start.name = "agent", start.name or executor.get_name()
            inputs = executors.question(inputs)
        graph = starters.graph() if not start.is_node else None
        if graph is not None:
            start.created_as = marks.created_agent(graph.itself)
            if start.created_as is not None:
                start.kind = "agent"
        goes_on = graph is not None and marks.is_resumed(graph.called_with)
        if graph is not None and (goes_on or start.kind != "agent"):
            start.question = partial(_question_at_first, inputs, goes_on)
        if start.kind != "agent":
            self._runs.start(start)
            return
        if goes_on:
            inputs = None
        read = _read("question of an agent", lambda policy: agent(start.name, inputs, policy))
        self._runs.start(start, read)

    def start_prompt(self, start: Start, serialized: object, inputs: object) -> None:
        """Start the run of a prompt: a chain that the next model call is about."""
        start.is_prompt = True
        with contained("prompt"):
            chosen = self._runs.settings.prompt_variables
            start.prompt = prompts.of_run(start.name, start.metadata, serialized, inputs, chosen)
        self._runs.start(start)

    def end_chain(self, run_id: UUID, outputs: object) -> None:
        """End a chain or an agent that has completed, or a decision model that has answered."""
        run = self._get(number(same_ids.own(run_id) if same_ids.again else run_id))
        if run is None or self._inner.end(run):
            return
        if run.call is not None:
            with contained("answer of a decision model"):
                # A call that is not recorded may still be followed for its metrics, which have no content.
                decisions.add_answer(run.call, outputs, run.policy if run.place.recording else NOTHING)
        elif isinstance(run.detail, Agent):
            with contained("answer of an agent"):
                add_answer(run.detail, executors.answer(outputs), run.policy)
        if run.is_node and marks.hands_over(outputs):
            run.ending.control = "handoff"
        outcome = left_streams.ended(run)
        if outcome is not None:
            self._runs.end_run(run, outcome)

    def start_tool(self, start: Start, serialized: object, kwargs: Mapping[str, Any], input_str: str) -> None:
        """Start a tool.

        Args:
            start: The start of the run.
            serialized: LangChain's description of the tool.
            kwargs: LangChain's other arguments of the start event: the inputs, the id of the tool call.
            input_str: The inputs as a string.
        """
        self._runs.start(
            start,
            _read(
                "arguments of a tool",
                lambda policy: tool_call(start.name, serialized, kwargs, input_str, policy),
            ),
        )

    def end_tool(self, run_id: UUID, output: object) -> None:
        """End a tool. If it returned its failure as a message, it has failed: LangChain signals no error then."""
        run = self._live(run_id)
        if run is None:
            return
        if isinstance(run.detail, ToolCall):
            with contained("result of a tool"):
                add_result(run.detail, output, run.policy)
        with contained("handoff"):
            if marks.hands_over(output):
                run.ending.control = "handoff"
        failed = False
        with contained("outcome of a tool"):
            failed = is_failed(output, run.detail.id if isinstance(run.detail, ToolCall) else None)
        if failed:
            run.ending.error_type = "tool_error"
        self._runs.end_run(run, "failed" if failed else "completed")

    def start_retriever(self, start: Start, serialized: object, query: str) -> None:
        """Start a retriever."""
        read = _read("query of a retriever", lambda policy: retrieval(start.name, serialized, query, policy))
        inside.started(self._runs.start(start, read))

    def end_retriever(self, run_id: UUID, documents: object) -> None:
        """End a retriever that has completed."""
        run = self._live(run_id)
        if run is None:
            return
        if isinstance(run.detail, Retrieval):
            with contained("documents of a retriever"):
                add_documents(run.detail, documents, run.policy)
        self._runs.end_run(run)

    def interrupt(self, run_id: UUID | None) -> None:
        """Record that a graph waits for a human. LangGraph says so also of `interrupt_before` and `interrupt_after`."""
        run = self._live(run_id) if run_id is not None else None
        if run is not None:
            self._interrupt(run)

    @staticmethod
    def _interrupt(run: Run) -> None:
        """Record that the agent at or around a run waits for a human. It gets a normal end event."""
        agent: Run | None = run
        while agent is not None and agent.kind != "agent":
            agent = agent.parent
        if agent is not None:
            agent.ending.control = "interrupt"

    def fail(self, run_id: UUID, error: BaseException) -> None:
        """End a run that got an error event: it failed, was cancelled, its consumer left, or it gave up control."""
        run = self._live(run_id)
        if run is None:
            return
        outcome = marks.outcome(error)
        known = run.ending.control if outcome != "failed" else None  # left while it waits for a human
        run.ending.control = marks.control(error) or known
        if run.ending.control == "interrupt" and run.is_node:
            # A node may have caught what a tool in it raised. A handoff needs no such thing: the agent that hands off
            # gets the error event itself, and the parent graph continues.
            self._interrupt(run)
        if run.has_fallbacks and isinstance(error, GeneratorExit) and left_streams.fallbacks_left(run):
            return
        parent = run.parent  # an ended run knows its parent no more
        self._runs.end_run(run, outcome, error)
        if run.kind == "agent" and run.ending.control == "handoff":
            with contained("handoff"):
                handoffs.record(run, parent, error)

    def _live(self, run_id: UUID) -> Run | None:
        """Return the live run that LangChain's event with this id is about."""
        return self._get(number(same_ids.own(run_id)))


def _read(what: str, make: Callable[[Policy], D]) -> Callable[[Policy], D]:
    """Return a function that makes a record. If reading the content fails, the record is made without content."""

    def read(policy: Policy) -> D:
        with contained(what):
            return make(policy)
        return make(NOTHING)

    return read


def tool_call(
    name: str | None, serialized: object, kwargs: Mapping[str, Any], input_str: str, policy: Policy
) -> ToolCall:
    """Make the record of a tool call.

    Args:
        name: The run's name. For most tools LangChain gives none.
        serialized: LangChain's description of the tool.
        kwargs: LangChain's other arguments of the start event.
        input_str: The inputs as a string.
        policy: What may be recorded.
    """
    described: Mapping[str, Any] = serialized if isinstance(serialized, Mapping) else {}
    inputs = kwargs.get("inputs")
    arguments: Any = input_str
    if policy.inputs and isinstance(inputs, Mapping):
        arguments = injected.asked_for(inputs, by_model=kwargs.get("tool_call_id") is not None)
    tool_name = _text(described.get("name")) or name or "tool"
    return ToolCall(
        tool_name,
        _description(described, policy),
        _text(kwargs.get("tool_call_id")),
        tool_arguments(arguments, policy.beside(ahead=1)),
        run_name=name if name != tool_name else None,
    )


def _text(value: object) -> str | None:
    """Return `as_text`, or `None` if the value cannot be read. A run has its span without a name of its own, too."""
    with contained("name"):
        return as_text(value)
    return None


def _description(described: Mapping[str, Any], policy: Policy) -> str | None:
    """Return a tool's description. It counts as input, because the model gets it as part of the tool's definition."""
    description = as_text(described.get("description")) if policy.inputs else None
    return description and policy.text(description)


def add_result(to: ToolCall, output: object, policy: Policy) -> None:
    """Add a tool's result, if it may be recorded, and the id of the call, which langchain-core 1.0 gives only here."""
    to.id = to.id or (None if isinstance(output, Mapping) else as_text(field(output, "tool_call_id")))
    to.result = tool_result(output, policy.beside(to.arguments))
    with suppress(TypeError, ValueError, RecursionError):  # a result that is not made of plain values
        to.size = tool_result_size(output)


def is_failed(output: object, call_id: str | None = None) -> bool:
    """Whether a tool returned its failure as a message, perhaps among others or in LangGraph's `Command`."""
    if isinstance(output, Mapping) or type(output) is str:
        return False
    messages = [each for each in messages_in(output) if field(each, "type") == "tool"]
    own = [each for each in messages if field(each, "tool_call_id") == call_id] if len(messages) > 1 else messages
    return any(field(each, "status") == "error" for each in own)


def retrieval(name: str | None, serialized: object, query: str, policy: Policy) -> Retrieval:
    """Make the record of a retriever call."""
    cls = None
    with contained("class of a retriever"):
        path = serialized.get("id") if isinstance(serialized, Mapping) else None
        cls = path[-1] if isinstance(path, list) and path else None
    return Retrieval(name or _text(cls) or "retriever", tool_arguments(query, policy.beside(ahead=1)))


def add_documents(to: Retrieval, documents: object, policy: Policy) -> None:
    """Add the number of documents found, and the documents if they may be recorded."""
    if isinstance(documents, Sequence):
        to.documents = len(documents)
        to.found = retrieved_documents(documents, policy.beside(to.query))


def agent(name: str | None, inputs: object, policy: Policy) -> Agent:
    """Make the record of an agent run, with its input if that may be recorded."""
    return Agent(name or "", messages=_question(inputs, policy))


def _question(inputs: object, policy: Policy) -> str | None:
    """Return the input of an agent. The instructions, the tools and the answer are still to come."""
    return attempt("question of an agent", lambda: agent_question(inputs, policy.beside(ahead=3)))


def _question_at_first(inputs: object, goes_on: bool, policy: Policy, is_first: bool) -> str | None:
    """Return the input of a graph whose first node of this call starts, unless it is that of an earlier call."""
    return None if goes_on and not is_first else _question(inputs, policy)


def add_answer(to: Agent, outputs: object, policy: Policy) -> None:
    """Add an agent's answer, if it may be recorded."""
    to.answer = agent_answer(outputs, policy.beside(to.system, to.tools, to.messages))
