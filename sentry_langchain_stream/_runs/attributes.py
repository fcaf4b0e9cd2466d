"""Turns the record of a run into the attributes of its span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._runtime.containment import contain
from .._vocabulary import facts
from .._vocabulary.facts import Fact
from .._vocabulary.keys import AttributeValue, Dialect, Facts, spell
from .call import Call, TextsCall
from .call_facts import content, cost, request, response, texts, timing, usage
from .details import Agent, Checkpoint, Detail, Handoff, McpCall, Memory, Retrieval, ToolCall
from .kinds import RunKind
from .run import Run


def describe(run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
    """Return the attributes of a run's span.

    Each group of facts is contained separately. If one fails, only the attributes of that group are missing.
    """
    attributes: dict[str, AttributeValue] = {**run.labels}
    known: list[tuple[Fact, AttributeValue | None]] = []
    try:
        known += identity(run, dialect)
        known += ending(run)
    except Exception as error:
        contain("attributes.run", error)
    record = run.call or run.detail
    for group in _OF[type(record)] if record is not None else ():
        try:
            known += group(record)
        except Exception as error:
            contain(f"attributes.{group.__name__}", error)
    return spell(known, dialect, attributes)


def at_start(run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
    """Return the attributes of a run's span that are known when it starts, without content."""
    attributes: dict[str, AttributeValue] = {**run.labels}
    try:
        spell((*identity(run, dialect), *subject(run)), dialect, attributes)
    except Exception as error:
        contain("attributes.run", error)
    return attributes


def subject(run: Run) -> Facts:
    """The model that is asked, the tool or the retriever."""
    if run.call is not None:
        sent = run.call.request
        return (
            (facts.OPERATION, sent.operation),
            (facts.REQUEST_MODEL, sent.model),
            (facts.PROVIDER, sent.provider),
        )
    if isinstance(run.detail, ToolCall):
        return ((facts.TOOL_NAME, run.detail.name),)
    return ((facts.RETRIEVER, run.detail.name),) if isinstance(run.detail, Retrieval) else ()


def identity(run: Run, dialect: Dialect) -> Facts:
    """Which pipeline, agent and attempt a run belongs to, and the operation of agents, tools and handoffs.

    Retrievers, memory, checkpoints and chains have no operation, because Sentry would count them as model calls.
    """
    operation = _OPERATIONS.get(run.kind)
    if run.kind == "pipeline" and dialect == "ai":
        # In dialect "ai" the op of a pipeline starts with "ai.". This makes current Sentry treat the span as an agent.
        operation = "invoke_agent"
    known = (
        (facts.PIPELINE, run.pipeline),
        (facts.AGENT, run.agent),
        (facts.ATTEMPT, run.attempt),
        (facts.FALLBACK, run.fallback),
    )
    # Other facts have the operation of a model call.
    return known if operation is None else (*known, (facts.OPERATION, operation))


_OPERATIONS: Mapping[RunKind, str] = {"agent": "invoke_agent", "tool": "execute_tool", "handoff": "handoff"}


def membership(run: Run) -> dict[str, AttributeValue]:
    """Return what the span of a raw client's call in a run gets: the run's pipeline, agent and conversation."""
    attributes: dict[str, AttributeValue] = {}
    known = ((facts.PIPELINE, run.pipeline), (facts.AGENT, run.agent), (facts.CONVERSATION, run.conversation))
    spell(known, "gen_ai", attributes)
    return attributes


def ending(run: Run) -> Facts:
    """How the run ended, and the conversation that it belongs to.

    Sentry counts a conversation's errors over every span with its id. What fails in a model also fails the agent and
    the chains around it. So of those only the span where the failure began has the id.
    """
    ending = run.ending
    return (
        (facts.CONVERSATION, None if ending.counted else run.conversation),
        (facts.OUTCOME, ending.outcome),
        (facts.CONTROL, ending.control),
        (facts.ERROR_TYPE, ending.error_type),
        (facts.EVICTED, ending.evicted),
    )


def agent(of: Agent) -> Facts:
    """An agent's input, tools, answer and token totals.

    There is no model attribute: with one, Sentry would compute a cost for the agent on top of its model calls' costs.
    """
    content = (
        (facts.TOOL_DEFINITIONS, of.tools),
        (facts.INPUT_MESSAGES, of.messages),
        (facts.OUTPUT_MESSAGES, of.answer),
    )
    used = of.usage
    if used is None:
        return content
    return (
        *content,
        (facts.AGENT_INPUT_TOKENS, used.input),
        (facts.AGENT_OUTPUT_TOKENS, used.output),
        (facts.AGENT_TOTAL_TOKENS, used.total),
        (facts.USAGE_SOURCE, used.source),
    )


def tool(of: ToolCall) -> Facts:
    """A tool's name, description, arguments and result, and the size of the result in bytes."""
    known = (
        (facts.TOOL_NAME, of.name),
        (facts.TOOL_DESCRIPTION, of.description),
        (facts.TOOL_CALL_ID, of.id),
        (facts.TOOL_ARGUMENTS, of.arguments),
        (facts.TOOL_RESULT, of.result),
        (facts.TOOL_RESULT_SIZE, of.size),
        (facts.RUN_NAME, of.run_name),
    )
    return known if of.mcp is None else (*known, *mcp(of.mcp))


def mcp(of: McpCall) -> Facts:
    """The request to an MCP server."""
    network = None if of.transport is None else "pipe" if of.transport == "stdio" else "tcp"
    return (
        # `mcp.tool.name` is deprecated, but what Sentry's MCP pages and its SDK's MCPIntegration use.
        (facts.MCP_METHOD, "tools/call"),
        (facts.MCP_TOOL, of.tool),
        (facts.MCP_SERVER, of.server),
        (facts.MCP_TRANSPORT, of.transport),
        (facts.NETWORK_TRANSPORT, network),
    )


def retrieval(of: Retrieval) -> Facts:
    """A retriever's query and the documents that it found."""
    return (
        (facts.RETRIEVER, of.name),
        (facts.QUERY, of.query),
        (facts.DOCUMENTS, of.documents),
        (facts.FOUND, of.found),
    )


def handoff(of: Handoff) -> Facts:
    """The agent that hands off, and the one that continues."""
    return (facts.HANDOFF_FROM, of.source), (facts.HANDOFF_TO, of.target)


def memory(of: Memory) -> Facts:
    """A memory operation: what it does, where, and how many items."""
    return (
        (facts.MEMORY_OPERATION, of.name),
        (facts.MEMORY_NAMESPACE, of.namespace),
        (facts.MEMORY_RECORD, of.record),
        (facts.MEMORY_QUERY, of.query),
        (facts.MEMORY_COUNT, of.count),
        (facts.MEMORY_RECORDS, of.records),
    )


def checkpoint(of: Checkpoint) -> Facts:
    """A save or a load of a checkpoint: by which checkpointer, and how much."""
    return (
        (facts.CHECKPOINTER, of.checkpointer),
        (facts.CHECKPOINT_OPERATION, of.operation),
        (facts.CHECKPOINT_CHANNELS, of.channels),
        (facts.CHECKPOINT_WRITES, of.writes),
    )


# The groups of facts of each record.
_CALL = (request, response, usage, cost, timing, content)
_OF: Mapping[type[Call | Detail], tuple[Callable[[Any], Facts], ...]] = {
    Call: _CALL,
    TextsCall: (*_CALL, texts),
    Agent: (agent,),
    ToolCall: (tool,),
    Retrieval: (retrieval,),
    Handoff: (handoff,),
    Memory: (memory,),
    Checkpoint: (checkpoint,),
}
