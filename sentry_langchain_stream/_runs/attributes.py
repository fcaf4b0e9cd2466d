"""Turns the record of a run into the attributes of its span."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from .._runtime.containment import contain
from .._vocabulary import facts
from .._vocabulary.keys import AttributeValue, Dialect, Group, Values
from . import call_facts
from .call import Call
from .details import Agent, Checkpoint, Detail, Handoff, McpCall, Memory, Retrieval, ToolCall
from .kinds import RunKind
from .run import Run
from .texts_call import TextsCall


def describe(run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
    """Return the attributes of a run's span.

    Each group of facts is contained separately. If one fails, only the attributes of that group are missing.
    """
    groups: list[Group] = []
    values: list[AttributeValue | None] = []
    try:
        values += (*identity(run, dialect), *ending(run))
        groups.append(_RUN)
    except Exception as error:
        contain("attributes.run", error)
        values.clear()
    content: dict[str, AttributeValue] = {}
    record = run.call or run.detail
    for group, read in _OF[type(record)]:
        try:
            stated = read(record)
        except Exception as error:
            contain(f"attributes.{read.__name__}", error)
            continue
        if stated is None:
            continue
        if not group.is_content:
            groups.append(group)
            values += stated
        elif stated != group.unknown:
            content.update(group.spell(stated, dialect))
    # Content apart, all of a span is spelled at once.
    return {**run.labels, **_together(*groups).spell(values, dialect), **content}


@cache
def _together(*groups: Group) -> Group:
    """Several groups as one. There are few combinations."""
    return Group(*(fact for group in groups for fact in group.facts))


def at_start(run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
    """Return the attributes of a run's span that are known when it starts, without content."""
    attributes: dict[str, AttributeValue] = {**run.labels}
    try:
        attributes.update(_AT_START.spell((*identity(run, dialect), *subject(run)), dialect))
    except Exception as error:
        contain("attributes.run", error)
    return attributes


def subject(run: Run) -> Values:
    """The model that is asked, the tool or the retriever."""
    if run.call is not None:
        sent = run.call.request
        return sent.operation, sent.model, sent.provider, None, None
    detail = run.detail
    if isinstance(detail, ToolCall):
        return None, None, None, detail.name, None
    return None, None, None, None, detail.name if isinstance(detail, Retrieval) else None


def identity(run: Run, dialect: Dialect) -> Values:
    """Which pipeline, agent and attempt a run belongs to, and the operation of agents, tools and handoffs.

    Retrievers, memory, checkpoints and chains have no operation, because Sentry would count them as model calls. Other
    facts have that of a model call.
    """
    operation = _OPERATIONS.get(run.kind)
    if run.kind == "pipeline" and dialect == "ai":
        # In dialect "ai" the op of a pipeline starts with "ai.". This makes current Sentry treat the span as an agent.
        operation = "invoke_agent"
    elif run.kind == "memory" and dialect == "gen_ai" and isinstance(run.detail, Memory):
        # Sentry's pages know these by the operation, also with another op. A batch that does several has none.
        operation = run.detail.name if run.detail.name in _MEMORY_OPERATIONS else None
    return run.pipeline, run.agent, run.attempt, run.fallback, operation


_OPERATIONS: Mapping[RunKind, str] = {"agent": "invoke_agent", "tool": "execute_tool", "handoff": "handoff"}
_MEMORY_OPERATIONS = ("search_memory", "upsert_memory", "delete_memory")

_MEMBERSHIP = Group(facts.PIPELINE, facts.AGENT, facts.CONVERSATION)


def membership(run: Run) -> dict[str, AttributeValue]:
    """Return what the span of a raw client's call in a run gets: the run's pipeline, agent and conversation."""
    return _MEMBERSHIP.spell((run.pipeline, run.agent, run.conversation), "gen_ai")


def ending(run: Run) -> Values:
    """How the run ended, and the conversation that it belongs to.

    Sentry counts a conversation's errors over every span with its id. What fails in a model also fails the agent and
    the chains around it. So of those only the span where the failure began has the id.
    """
    ending = run.ending
    conversation = None if ending.counted else run.conversation
    return conversation, ending.outcome, ending.control, ending.error_type, ending.evicted


_AGENT_CONTENT = Group(facts.SYSTEM_INSTRUCTIONS, facts.TOOL_DEFINITIONS, facts.INPUT_MESSAGES, facts.OUTPUT_MESSAGES)


def agent_content(of: Agent) -> Values:
    """An agent's instructions, tools, input and answer."""
    return of.system, of.tools, of.messages, of.answer


_AGENT = Group(
    *(facts.AGENT_INPUT_TOKENS, facts.AGENT_OUTPUT_TOKENS, facts.AGENT_TOTAL_TOKENS),
    *(facts.CACHE_READ, facts.CACHE_CREATION, facts.REASONING, facts.USAGE_SOURCE),
)


def agent(of: Agent) -> Values | None:
    """An agent's token totals.

    There is no model attribute: with one, Sentry would compute a cost for the agent on top of its model calls' costs.
    """
    used = of.usage
    if used is None:
        return None
    return used.input, used.output, used.total, used.cache_read, used.cache_creation, used.reasoning, used.source


_TOOL = Group(facts.TOOL_NAME, facts.TOOL_CALL_ID, facts.TOOL_RESULT_SIZE, facts.RUN_NAME)


def tool(of: ToolCall) -> Values:
    """A tool's name, and the size of its result in bytes."""
    return of.name, of.id, of.size, of.run_name


_TOOL_CONTENT = Group(facts.TOOL_DESCRIPTION, facts.TOOL_ARGUMENTS, facts.TOOL_RESULT)


def tool_content(of: ToolCall) -> Values:
    """A tool's description, arguments and result."""
    return of.description, of.arguments, of.result


_MCP = Group(facts.MCP_METHOD, facts.MCP_TOOL, facts.MCP_SERVER, facts.MCP_TRANSPORT, facts.NETWORK_TRANSPORT)


def mcp(of: ToolCall) -> Values | None:
    """The request to an MCP server."""
    call: McpCall | None = of.mcp
    if call is None:
        return None
    network = None if call.transport is None else "pipe" if call.transport == "stdio" else "tcp"
    # `mcp.tool.name` is deprecated, but what Sentry's MCP pages and its SDK's MCPIntegration use.
    return "tools/call", call.tool, call.server, call.transport, network


_RETRIEVAL = Group(facts.RETRIEVER, facts.DOCUMENTS)


def retrieval(of: Retrieval) -> Values:
    """A retriever, and how many documents it found."""
    return of.name, of.documents


_RETRIEVAL_CONTENT = Group(facts.QUERY, facts.FOUND)


def retrieval_content(of: Retrieval) -> Values:
    """A retriever's query and the documents that it found."""
    return of.query, of.found


_HANDOFF = Group(facts.HANDOFF_FROM, facts.HANDOFF_TO)


def handoff(of: Handoff) -> Values:
    """The agent that hands off, and the one that continues."""
    return of.source, of.target


_MEMORY = Group(facts.MEMORY_OPERATION, facts.MEMORY_COUNT)


def memory(of: Memory) -> Values:
    """A memory operation: what it does, and how many items."""
    return of.name, of.count


_MEMORY_CONTENT = Group(facts.MEMORY_NAMESPACE, facts.MEMORY_RECORD, facts.MEMORY_QUERY, facts.MEMORY_RECORDS)


def memory_content(of: Memory) -> Values:
    """Where it does that, and with what."""
    return of.namespace, of.record, of.query, of.records


_CHECKPOINT = Group(facts.CHECKPOINTER, facts.CHECKPOINT_OPERATION, facts.CHECKPOINT_CHANNELS, facts.CHECKPOINT_WRITES)


def checkpoint(of: Checkpoint) -> Values:
    """A save or a load of a checkpoint: by which checkpointer, and how much."""
    return of.checkpointer, of.operation, of.channels, of.writes


# What is stated of each record: groups of facts, and the function that reads their values, or `None` if there are none.

_IDENTITY = (facts.PIPELINE, facts.AGENT, facts.ATTEMPT, facts.FALLBACK, facts.OPERATION)
_ENDING = (facts.CONVERSATION, facts.OUTCOME, facts.CONTROL, facts.ERROR_TYPE, facts.EVICTED)
_SUBJECT = (facts.OPERATION, facts.REQUEST_MODEL, facts.PROVIDER, facts.TOOL_NAME, facts.RETRIEVER)
_RUN = Group(*_IDENTITY, *_ENDING)
_AT_START = Group(*_IDENTITY, *_SUBJECT)


_Statement = tuple[Group, Callable[[Any], Values | None]]
"""Facts, and the function that reads their values from a record."""

_CALL = (
    (call_facts.REQUEST, call_facts.request),
    (call_facts.PARAMETERS, call_facts.parameters),
    (call_facts.RESPONSE, call_facts.response),
    (call_facts.USAGE, call_facts.usage),
    (call_facts.COST, call_facts.cost),
    (call_facts.TIMING, call_facts.timing),
    (call_facts.CONTENT, call_facts.content),
)
_TEXTS = (
    (call_facts.TEXTS, call_facts.texts),
    (call_facts.TEXTS_CONTENT, call_facts.texts_content),
)
_OF: Mapping[type[Call | Detail | None], tuple[_Statement, ...]] = {
    type(None): (),
    Call: _CALL,
    TextsCall: (*_CALL, *_TEXTS),
    Agent: ((_AGENT, agent), (_AGENT_CONTENT, agent_content)),
    ToolCall: ((_TOOL, tool), (_MCP, mcp), (_TOOL_CONTENT, tool_content)),
    Retrieval: ((_RETRIEVAL, retrieval), (_RETRIEVAL_CONTENT, retrieval_content)),
    Handoff: ((_HANDOFF, handoff),),
    Memory: ((_MEMORY, memory), (_MEMORY_CONTENT, memory_content)),
    Checkpoint: ((_CHECKPOINT, checkpoint),),
}
