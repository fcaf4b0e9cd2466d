"""Turns the record of a run into the attributes of its span."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from .._runtime.containment import contain
from .._vocabulary.keys import AttributeValue, Dialect, Fact, spell
from .call import Call, TextsCall
from .run import Agent, Checkpoint, Detail, Handoff, Memory, Retrieval, Run, ToolCall

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
    for facts in _OF[type(record)] if record is not None else ():
        try:
            spell(facts(record), dialect, attributes)
        except Exception as error:
            contain(f"attributes.{facts.__name__}", error)
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
        yield Fact.OPERATION, run.call.request.operation
        yield Fact.REQUEST_MODEL, run.call.request.model
        yield Fact.PROVIDER, run.call.request.provider
    elif isinstance(run.detail, ToolCall):
        yield Fact.TOOL_NAME, run.detail.name
    elif isinstance(run.detail, Retrieval):
        yield Fact.RETRIEVER, run.detail.name


def identity(run: Run, dialect: Dialect) -> Facts:
    """Which pipeline, agent and attempt a run belongs to, and the operation of agents, tools and handoffs.

    Retrievers, memory, checkpoints and chains have no operation, because Sentry would count them as model calls.
    """
    yield Fact.PIPELINE, run.pipeline
    yield Fact.AGENT, run.agent
    yield Fact.ATTEMPT, run.attempt
    yield Fact.FALLBACK, run.fallback
    if run.kind == "agent" or (run.kind == "pipeline" and dialect == "ai"):
        # In dialect "ai" the op of a pipeline starts with "ai.". This makes current Sentry treat the span as an agent.
        yield Fact.OPERATION, "invoke_agent"
    elif run.kind == "tool":
        yield Fact.OPERATION, "execute_tool"
    elif run.kind == "handoff":
        yield Fact.OPERATION, "handoff"


def membership(run: Run) -> dict[str, AttributeValue]:
    """Return what the span of a raw client's call in a run gets: the run's pipeline, agent and conversation."""
    attributes: dict[str, AttributeValue] = {}
    facts = ((Fact.PIPELINE, run.pipeline), (Fact.AGENT, run.agent), (Fact.CONVERSATION, run.conversation))
    spell((each for each in facts), "gen_ai", attributes)
    return attributes


def ending(run: Run) -> Facts:
    """How the run ended, and the conversation that it belongs to.

    Sentry counts a conversation's errors over every span with its id. What fails in a model also fails the agent and
    the chains around it. So of those only the span where the failure began has the id.
    """
    ending = run.ending
    yield Fact.CONVERSATION, None if ending.counted else run.conversation
    yield Fact.OUTCOME, ending.outcome
    yield Fact.CONTROL, ending.control
    yield Fact.ERROR_TYPE, ending.error_type
    yield Fact.EVICTED, ending.evicted


def agent(of: Agent) -> Facts:
    """An agent's input, tools, answer and token totals.

    There is no model attribute: with one, Sentry would compute a cost for the agent on top of its model calls' costs.
    """
    yield Fact.TOOL_DEFINITIONS, of.tools
    yield Fact.INPUT_MESSAGES, of.messages
    yield Fact.OUTPUT_MESSAGES, of.answer
    used = of.usage
    if used is None:
        return
    yield Fact.AGENT_INPUT_TOKENS, used.input
    yield Fact.AGENT_OUTPUT_TOKENS, used.output
    yield Fact.AGENT_TOTAL_TOKENS, used.total
    yield Fact.USAGE_SOURCE, used.source


def tool(of: ToolCall) -> Facts:
    """A tool's name, description, arguments and result, and the size of the result in bytes."""
    yield Fact.TOOL_NAME, of.name
    yield Fact.TOOL_DESCRIPTION, of.description
    yield Fact.TOOL_CALL_ID, of.id
    yield Fact.TOOL_ARGUMENTS, of.arguments
    yield Fact.TOOL_RESULT, of.result
    yield Fact.TOOL_RESULT_SIZE, of.size
    yield Fact.RUN_NAME, of.run_name
    if of.mcp is not None:
        # `mcp.tool.name` is deprecated, but what Sentry's MCP pages and its SDK's MCPIntegration use.
        yield Fact.MCP_METHOD, "tools/call"
        yield Fact.MCP_TOOL, of.mcp.tool
        yield Fact.MCP_SERVER, of.mcp.server
        yield Fact.MCP_TRANSPORT, of.mcp.transport
        if of.mcp.transport is not None:
            yield Fact.NETWORK_TRANSPORT, "pipe" if of.mcp.transport == "stdio" else "tcp"


def retrieval(of: Retrieval) -> Facts:
    """A retriever's query and the documents that it found."""
    yield Fact.RETRIEVER, of.name
    yield Fact.QUERY, of.query
    yield Fact.DOCUMENTS, of.documents
    yield Fact.FOUND, of.found


def handoff(of: Handoff) -> Facts:
    """The agent that hands off, and the one that continues."""
    yield Fact.HANDOFF_FROM, of.source
    yield Fact.HANDOFF_TO, of.target


def memory(of: Memory) -> Facts:
    """A memory operation: what it does, where, and how many items."""
    yield Fact.MEMORY_OPERATION, of.name
    yield Fact.MEMORY_NAMESPACE, of.namespace
    yield Fact.MEMORY_RECORD, of.record
    yield Fact.MEMORY_QUERY, of.query
    yield Fact.MEMORY_COUNT, of.count
    yield Fact.MEMORY_RECORDS, of.records


def checkpoint(of: Checkpoint) -> Facts:
    """A save or a load of a checkpoint: by which checkpointer, and how much."""
    yield Fact.CHECKPOINTER, of.checkpointer
    yield Fact.CHECKPOINT_OPERATION, of.operation
    yield Fact.CHECKPOINT_CHANNELS, of.channels
    yield Fact.CHECKPOINT_WRITES, of.writes


def request(call: Call) -> Facts:
    """The model, the provider and the parameters of the request."""
    sent = call.request
    yield Fact.OPERATION, sent.operation
    yield Fact.REQUEST_MODEL, sent.model
    yield Fact.PROVIDER, sent.provider
    yield Fact.RUN_NAME, sent.function
    for name, value in sent.parameters.items():
        yield _PARAMETERS[name], value


def response(call: Call) -> Facts:
    """The model, the id and the finish reasons of the response."""
    answered = call.finished or call.streamed
    assumed = call.request.model if call.finished and call.assumes_model else None
    yield Fact.RESPONSE_MODEL, call.response.model or call.named or assumed
    yield Fact.RESPONSE_ID, call.response.id
    yield Fact.CACHE_HIT, call.cached or None
    yield Fact.FINISH_REASONS, ",".join(call.response.finish_reasons) or None
    if answered and not isinstance(
        call, TextsCall
    ):  # otherwise it is unknown whether the answer would have been streamed
        yield Fact.STREAMING, call.streamed


def usage(call: Call) -> Facts:
    """Token counts and rates, and whether the provider reported the tokens or they are estimated."""
    used = call.usage()
    if used is None:
        return
    yield from zip(_USAGE, used, strict=True)
    seconds = call.ended - call.started
    if used.output is not None and seconds > 0:
        yield Fact.TOKENS_PER_SECOND, used.output / seconds
    streaming = call.last_chunk_at - call.first_chunk_at
    if used.output is not None and streaming > 0:
        # The tokens after the first chunk, assuming that all chunks have the same number of tokens.
        yield Fact.DECODE_RATE, used.output * (call.chunks - 1) / call.chunks / streaming


def cost(call: Call) -> Facts:
    """What the tokens cost, in USD."""
    if call.cost is not None:
        yield from zip(_COST, call.cost, strict=True)


def timing(call: Call) -> Facts:
    """Chunks and the time between them, in seconds."""
    if not call.streamed:
        return
    yield Fact.CHUNKS, call.chunks
    if call.chunks:
        yield Fact.FIRST_CHUNK, call.first_chunk_at - call.started
        yield Fact.FINAL_SILENCE, max(call.ended - call.last_chunk_at, 0.0)
    if call.chunks > 1:
        yield Fact.LONGEST_GAP, call.longest_gap
        yield Fact.LONGEST_GAP_AT, call.longest_gap_at - call.started


def content(call: Call) -> Facts:
    """Prompt, tools and answer, if they were kept."""
    yield Fact.INPUT_MESSAGES, call.request.messages
    yield Fact.SYSTEM_INSTRUCTIONS, call.request.system
    yield Fact.TOOL_DEFINITIONS, call.request.tools
    yield Fact.OUTPUT_MESSAGES, call.response.messages


def texts(call: TextsCall) -> Facts:
    """What an embedding model or a reranker was given, and what it returned."""
    yield Fact.INPUTS, call.inputs
    yield Fact.EMBEDDINGS_INPUT, call.embedded
    yield Fact.DIMENSIONS, call.dimensions
    yield Fact.QUERY, call.query
    yield Fact.TOP_N, call.top
    yield Fact.DOCUMENTS, call.documents
    yield Fact.FOUND, call.found


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

# One fact per field of `Usage` and of `Cost`, in the order of the fields.
_USAGE = (
    Fact.INPUT_TOKENS,
    Fact.OUTPUT_TOKENS,
    Fact.TOTAL_TOKENS,
    Fact.CACHE_READ,
    Fact.CACHE_CREATION,
    Fact.REASONING,
    Fact.AUDIO_INPUT,
    Fact.AUDIO_OUTPUT,
    Fact.USAGE_SOURCE,
)
_COST = (
    Fact.COST_INPUT,
    Fact.COST_OUTPUT,
    Fact.COST_TOTAL,
    Fact.COST_CACHE_READ,
    Fact.COST_CACHE_CREATION,
    Fact.COST_REASONING,
    Fact.COST_REQUESTS,
)

_PARAMETERS: dict[str, Fact] = {
    "temperature": Fact.TEMPERATURE,
    "top_p": Fact.TOP_P,
    "top_k": Fact.TOP_K,
    "max_tokens": Fact.MAX_TOKENS,
    "seed": Fact.SEED,
    "stop": Fact.STOP,
    "frequency_penalty": Fact.FREQUENCY_PENALTY,
    "presence_penalty": Fact.PRESENCE_PENALTY,
    "reasoning": Fact.REASONING_LEVEL,
}
