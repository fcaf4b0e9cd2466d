"""Turns the record of a run into the attributes of its span."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from .._runtime.containment import contain
from .._vocabulary import facts
from .._vocabulary.facts import Fact
from .._vocabulary.keys import AttributeValue, Dialect, spell
from .call import Call, TextsCall
from .details import Agent, Checkpoint, Detail, Handoff, Memory, Retrieval, ToolCall
from .run import Run

Facts = Generator[tuple[Fact, AttributeValue | None], None, None]


def describe(run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
    """Return the attributes of a run's span.

    Each group of facts is contained separately. If one fails, only the attributes of that group are missing.
    """
    attributes: dict[str, AttributeValue] = {**run.labels}
    try:
        spell(identity(run, dialect), dialect, attributes)
        spell(ending(run), dialect, attributes)
    except Exception as error:
        contain("attributes.run", error)
    record = run.call or run.detail
    groups = _OF[type(record)] if record is not None else ()
    if groups is _CALL and run.call is not None and not run.call.streamed and run.call.cost is None:
        groups = _WHOLE_ANSWER  # which most calls are, and each group has its price
    for group in groups:
        try:
            spell(group(record), dialect, attributes)
        except Exception as error:
            contain(f"attributes.{group.__name__}", error)
    return attributes


def at_start(run: Run, dialect: Dialect) -> dict[str, AttributeValue]:
    """Return the attributes of a run's span that are known when it starts, without content."""
    attributes: dict[str, AttributeValue] = {**run.labels}
    try:
        spell(identity(run, dialect), dialect, attributes)
        spell(subject(run), dialect, attributes)
    except Exception as error:
        contain("attributes.run", error)
    return attributes


def subject(run: Run) -> Facts:
    """The model that is asked, the tool or the retriever."""
    if run.call is not None:
        yield facts.OPERATION, run.call.request.operation
        yield facts.REQUEST_MODEL, run.call.request.model
        yield facts.PROVIDER, run.call.request.provider
    elif isinstance(run.detail, ToolCall):
        yield facts.TOOL_NAME, run.detail.name
    elif isinstance(run.detail, Retrieval):
        yield facts.RETRIEVER, run.detail.name


def identity(run: Run, dialect: Dialect) -> Facts:
    """Which pipeline, agent and attempt a run belongs to, and the operation of agents, tools and handoffs.

    Retrievers, memory, checkpoints and chains have no operation, because Sentry would count them as model calls.
    """
    yield facts.PIPELINE, run.pipeline
    yield facts.AGENT, run.agent
    yield facts.ATTEMPT, run.attempt
    yield facts.FALLBACK, run.fallback
    if run.kind == "agent" or (run.kind == "pipeline" and dialect == "ai"):
        # In dialect "ai" the op of a pipeline starts with "ai.". This makes current Sentry treat the span as an agent.
        yield facts.OPERATION, "invoke_agent"
    elif run.kind == "tool":
        yield facts.OPERATION, "execute_tool"
    elif run.kind == "handoff":
        yield facts.OPERATION, "handoff"


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
    yield facts.CONVERSATION, None if ending.counted else run.conversation
    yield facts.OUTCOME, ending.outcome
    yield facts.CONTROL, ending.control
    yield facts.ERROR_TYPE, ending.error_type
    yield facts.EVICTED, ending.evicted


def agent(of: Agent) -> Facts:
    """An agent's input, tools, answer and token totals.

    There is no model attribute: with one, Sentry would compute a cost for the agent on top of its model calls' costs.
    """
    yield facts.TOOL_DEFINITIONS, of.tools
    yield facts.INPUT_MESSAGES, of.messages
    yield facts.OUTPUT_MESSAGES, of.answer
    used = of.usage
    if used is None:
        return
    yield facts.AGENT_INPUT_TOKENS, used.input
    yield facts.AGENT_OUTPUT_TOKENS, used.output
    yield facts.AGENT_TOTAL_TOKENS, used.total
    yield facts.USAGE_SOURCE, used.source


def tool(of: ToolCall) -> Facts:
    """A tool's name, description, arguments and result, and the size of the result in bytes."""
    yield facts.TOOL_NAME, of.name
    yield facts.TOOL_DESCRIPTION, of.description
    yield facts.TOOL_CALL_ID, of.id
    yield facts.TOOL_ARGUMENTS, of.arguments
    yield facts.TOOL_RESULT, of.result
    yield facts.TOOL_RESULT_SIZE, of.size
    yield facts.RUN_NAME, of.run_name
    if of.mcp is not None:
        # `mcp.tool.name` is deprecated, but what Sentry's MCP pages and its SDK's MCPIntegration use.
        yield facts.MCP_METHOD, "tools/call"
        yield facts.MCP_TOOL, of.mcp.tool
        yield facts.MCP_SERVER, of.mcp.server
        yield facts.MCP_TRANSPORT, of.mcp.transport
        if of.mcp.transport is not None:
            yield facts.NETWORK_TRANSPORT, "pipe" if of.mcp.transport == "stdio" else "tcp"


def retrieval(of: Retrieval) -> Facts:
    """A retriever's query and the documents that it found."""
    yield facts.RETRIEVER, of.name
    yield facts.QUERY, of.query
    yield facts.DOCUMENTS, of.documents
    yield facts.FOUND, of.found


def handoff(of: Handoff) -> Facts:
    """The agent that hands off, and the one that continues."""
    yield facts.HANDOFF_FROM, of.source
    yield facts.HANDOFF_TO, of.target


def memory(of: Memory) -> Facts:
    """A memory operation: what it does, where, and how many items."""
    yield facts.MEMORY_OPERATION, of.name
    yield facts.MEMORY_NAMESPACE, of.namespace
    yield facts.MEMORY_RECORD, of.record
    yield facts.MEMORY_QUERY, of.query
    yield facts.MEMORY_COUNT, of.count
    yield facts.MEMORY_RECORDS, of.records


def checkpoint(of: Checkpoint) -> Facts:
    """A save or a load of a checkpoint: by which checkpointer, and how much."""
    yield facts.CHECKPOINTER, of.checkpointer
    yield facts.CHECKPOINT_OPERATION, of.operation
    yield facts.CHECKPOINT_CHANNELS, of.channels
    yield facts.CHECKPOINT_WRITES, of.writes


def request(call: Call) -> Facts:
    """The model, the provider and the parameters of the request."""
    sent = call.request
    yield facts.OPERATION, sent.operation
    yield facts.REQUEST_MODEL, sent.model
    yield facts.PROVIDER, sent.provider
    yield facts.RUN_NAME, sent.function
    for name, value in sent.parameters.items():
        yield _PARAMETERS[name], value


def response(call: Call) -> Facts:
    """The model, the id and the finish reasons of the response."""
    answered = call.finished or call.streamed
    assumed = call.request.model if call.finished and call.assumes_model else None
    yield facts.RESPONSE_MODEL, call.response.model or call.named or assumed
    yield facts.RESPONSE_ID, call.response.id
    yield facts.CACHE_HIT, call.cached or None
    yield facts.FINISH_REASONS, ",".join(call.response.finish_reasons) or None
    if answered and not isinstance(
        call, TextsCall
    ):  # otherwise it is unknown whether the answer would have been streamed
        yield facts.STREAMING, call.streamed


def usage(call: Call) -> Facts:
    """Token counts and rates, and whether the provider reported the tokens or they are estimated."""
    used = call.usage()
    if used is None:
        return
    yield from zip(_USAGE, used, strict=True)
    seconds = call.ended - call.started
    if used.output is not None and seconds > 0:
        yield facts.TOKENS_PER_SECOND, used.output / seconds
    streaming = call.last_chunk_at - call.first_chunk_at
    if used.output is not None and streaming > 0:
        # The tokens after the first chunk, assuming that all chunks have the same number of tokens.
        yield facts.DECODE_RATE, used.output * (call.chunks - 1) / call.chunks / streaming


def cost(call: Call) -> Facts:
    """What the tokens cost, in USD."""
    if call.cost is not None:
        yield from zip(_COST, call.cost, strict=True)


def timing(call: Call) -> Facts:
    """Chunks and the time between them, in seconds."""
    if not call.streamed:
        return
    yield facts.CHUNKS, call.chunks
    if call.chunks:
        yield facts.FIRST_CHUNK, call.first_chunk_at - call.started
        yield facts.FINAL_SILENCE, max(call.ended - call.last_chunk_at, 0.0)
    if call.chunks > 1:
        yield facts.LONGEST_GAP, call.longest_gap
        yield facts.LONGEST_GAP_AT, call.longest_gap_at - call.started


def content(call: Call) -> Facts:
    """Prompt, tools and answer, if they were kept."""
    yield facts.INPUT_MESSAGES, call.request.messages
    yield facts.SYSTEM_INSTRUCTIONS, call.request.system
    yield facts.TOOL_DEFINITIONS, call.request.tools
    yield facts.OUTPUT_MESSAGES, call.response.messages


def texts(call: TextsCall) -> Facts:
    """What an embedding model or a reranker was given, and what it returned."""
    yield facts.INPUTS, call.inputs
    yield facts.EMBEDDINGS_INPUT, call.embedded
    yield facts.DIMENSIONS, call.dimensions
    yield facts.QUERY, call.query
    yield facts.TOP_N, call.top
    yield facts.DOCUMENTS, call.documents
    yield facts.FOUND, call.found


# The groups of facts of each record.
_WHOLE_ANSWER = (request, response, usage, content)
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

# One fact per field of `Usage` and of `Cost`, in the order of the fields.
_USAGE = (
    facts.INPUT_TOKENS,
    facts.OUTPUT_TOKENS,
    facts.TOTAL_TOKENS,
    facts.CACHE_READ,
    facts.CACHE_CREATION,
    facts.REASONING,
    facts.AUDIO_INPUT,
    facts.AUDIO_OUTPUT,
    facts.USAGE_SOURCE,
)
_COST = (
    facts.COST_INPUT,
    facts.COST_OUTPUT,
    facts.COST_TOTAL,
    facts.COST_CACHE_READ,
    facts.COST_CACHE_CREATION,
    facts.COST_REASONING,
    facts.COST_REQUESTS,
)

_PARAMETERS: dict[str, Fact] = {
    "temperature": facts.TEMPERATURE,
    "top_p": facts.TOP_P,
    "top_k": facts.TOP_K,
    "max_tokens": facts.MAX_TOKENS,
    "seed": facts.SEED,
    "stop": facts.STOP,
    "frequency_penalty": facts.FREQUENCY_PENALTY,
    "presence_penalty": facts.PRESENCE_PENALTY,
    "reasoning": facts.REASONING_LEVEL,
}
