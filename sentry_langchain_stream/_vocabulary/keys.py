"""The facts that a span can record, and the attribute keys of each fact.

There is one row per fact. Its first tuple has the keys for both dialects: the current key, and the older keys that are
cheap to send too. Its second tuple has the keys that dialect `"ai"` adds.

Sources: `gen_ai.*`, `mcp.*`, `network.*`, `error.*` and `cache.*` come from the PyPI package `sentry-conventions`,
except `gen_ai.memory.*`, which only OpenTelemetry's conventions for generative AI have ("Memory" in `gen-ai-spans.md`);
`ai.*` and `pipeline_name`
come from the LLM Monitoring recipe of 2024. `langchain_stream.*` are our own keys, used only where the conventions have
no key. Our keys must not contain "token", "key", "auth", "secret", "password" or "session", because Sentry's
server-side scrubber removes keys with these words unless the conventions define them. The scrubber also removes
`ai.total_tokens`, the key that the recipe asks for. So the total is sent under two more keys, which it keeps.

Messages have no older keys. LLM Monitoring of 2024 did not read messages: it showed `ai.input_messages` and
`ai.responses` only in the list of all attributes, where the current keys appear too. The trace view of 2025 expects
`{"system", "prompt"}` in `ai.input_messages`, and would show an empty prompt for a list of messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Literal

Dialect = Literal["gen_ai", "ai"]
"""`"gen_ai"`: current Sentry. `"ai"`: the LLM Monitoring convention of 2024."""

AttributeValue = str | int | float | bool | list[str]
"""The value of an attribute: a scalar or a flat list. Sentry would receive a dict as its Python repr."""


class Fact(Enum):
    """A fact, as `(keys in both dialects, keys that dialect "ai" adds)`.

    `docs/attributes.md` is made of the lines below: `python -m tests.project.attributes`.
    """

    # `Enum.__hash__` is a Python function and would run for every attribute. Members are singletons, so identity works.
    __hash__ = object.__hash__

    # -- A run, whatever it is

    OPERATION = (("gen_ai.operation.name",), ())
    """Kind of call: `chat`, `text_completion`, `embeddings`, `rerank`."""
    PROVIDER = (("gen_ai.provider.name",), ())
    """Provider of the model."""
    PIPELINE = (("gen_ai.pipeline.name", "pipeline_name", "ai.pipeline.name"), ())
    """Name of the pipeline."""
    RUN_NAME = (("langchain_stream.run_name",), ())
    """Name of the run of a model or a tool, if you gave it one."""

    # -- Model calls

    REQUEST_MODEL = (("gen_ai.request.model", "ai.model_id"), ())
    """Model asked for."""
    RESPONSE_MODEL = (("gen_ai.response.model",), ())
    """Model that answered."""
    RESPONSE_ID = (("gen_ai.response.id",), ())
    """The provider's id of the answer."""
    FINISH_REASONS = (("gen_ai.response.finish_reasons",), ())
    """Why the model stopped."""
    STREAMING = (("gen_ai.response.streaming",), ("ai.streaming",))
    """Whether the answer was streamed."""
    CACHE_HIT = (("cache.hit",), ())
    """LangChain's cache answered, and no model was called."""

    # -- Request parameters

    TEMPERATURE = (("gen_ai.request.temperature",), ())
    """Request parameter `temperature`."""
    TOP_P = (("gen_ai.request.top_p",), ())
    """Request parameter `top_p`."""
    TOP_K = (("gen_ai.request.top_k",), ())
    """Request parameter `top_k`."""
    MAX_TOKENS = (("gen_ai.request.max_tokens",), ())
    """Request parameter: the maximum number of output tokens."""
    SEED = (("gen_ai.request.seed",), ())
    """Request parameter `seed`."""
    STOP = (("gen_ai.request.stop_sequences",), ())
    """Request parameter: the texts at which the model stops."""
    FREQUENCY_PENALTY = (("gen_ai.request.frequency_penalty",), ())
    """Request parameter `frequency_penalty`."""
    PRESENCE_PENALTY = (("gen_ai.request.presence_penalty",), ())
    """Request parameter `presence_penalty`."""
    REASONING_LEVEL = (("gen_ai.request.reasoning.level",), ())
    """Request parameter: how much the model reasons."""

    # -- Tokens

    INPUT_TOKENS = (("gen_ai.usage.input_tokens",), ("ai.prompt_tokens.used",))
    """Input tokens of a model call."""
    OUTPUT_TOKENS = (("gen_ai.usage.output_tokens",), ("ai.completion_tokens.used",))
    """Output tokens of a model call."""
    TOTAL_TOKENS = (("gen_ai.usage.total_tokens", "ai.total_tokens", "ai.total_tokens.used"), ())
    """All tokens of a model call."""
    CACHE_READ = (("gen_ai.usage.cache_read.input_tokens",), ())
    """Of the input tokens: read from the provider's cache."""
    CACHE_CREATION = (("gen_ai.usage.cache_creation.input_tokens",), ())
    """Of the input tokens: written to the provider's cache."""
    REASONING = (("gen_ai.usage.reasoning.output_tokens",), ())
    """Of the output tokens: reasoning."""
    AUDIO_INPUT = (("langchain_stream.audio_input",), ())
    """Of the input tokens: audio."""
    AUDIO_OUTPUT = (("langchain_stream.audio_output",), ())
    """Of the output tokens: audio."""
    USAGE_SOURCE = (("langchain_stream.usage_source",), ())
    """Source of the token counts: `provider`, `estimate`."""

    # -- Cost

    COST_INPUT = (("gen_ai.cost.input_tokens",), ())
    """Cost of the input tokens in USD, with `cost=True`."""
    COST_OUTPUT = (("gen_ai.cost.output_tokens",), ())
    """Cost of the output tokens in USD."""
    COST_TOTAL = (("gen_ai.cost.total_tokens",), ())
    """Cost of all tokens in USD."""
    COST_CACHE_READ = (("gen_ai.cost.cache_read.input_tokens",), ())
    """Part of the cost: input read from the provider's cache."""
    COST_CACHE_CREATION = (("gen_ai.cost.cache_creation.input_tokens",), ())
    """Part of the cost: input written to the provider's cache."""
    COST_REASONING = (("gen_ai.cost.reasoning.output_tokens",), ())
    """Part of the cost: reasoning."""
    COST_REQUESTS = (("langchain_stream.request_fee",), ())
    """What the provider charges for the request beside its tokens, in USD."""

    # -- Timing of a stream

    FIRST_CHUNK = (("gen_ai.response.time_to_first_chunk",), ())
    """Seconds to the first chunk with content."""
    TOKENS_PER_SECOND = (("gen_ai.response.tokens_per_second",), ())
    """Output tokens per second over the whole call."""
    CHUNKS = (("langchain_stream.chunks",), ())
    """Number of chunks with content."""
    LONGEST_GAP = (("langchain_stream.longest_gap",), ())
    """Longest gap between two chunks with content, in seconds."""
    LONGEST_GAP_AT = (("langchain_stream.longest_gap_at",), ())
    """When the longest gap began, in seconds from the start."""
    FINAL_SILENCE = (("langchain_stream.final_silence",), ())
    """From the last chunk with content to the end, in seconds."""
    DECODE_RATE = (("langchain_stream.decode_rate",), ())
    """Output tokens per second after the first chunk."""

    # -- Agents, conversations, retries

    AGENT = (("gen_ai.agent.name",), ())
    """Name of the agent that the run is, or belongs to."""
    CONVERSATION = (("gen_ai.conversation.id",), ())
    """Conversation, [from metadata or `sentry_sdk.ai.set_conversation_id(...)`](runs.md#conversations)."""
    ATTEMPT = (("langchain_stream.attempt",), ())
    """Number of the `with_retry` attempt, from 2 on."""
    FALLBACK = (("langchain_stream.fallback",), ())
    """Number of `with_fallbacks` calls that failed before this one."""
    CONTROL = (("langchain_stream.control",), ())
    """A part of a graph waits for a human, or handed over to another part: `interrupt`, `handoff`."""
    # Without the older keys: Sentry would add them to those of the agent's model calls.
    AGENT_INPUT_TOKENS = (("gen_ai.usage.input_tokens",), ())
    """Of an agent: total input tokens of the model calls inside it."""
    AGENT_OUTPUT_TOKENS = (("gen_ai.usage.output_tokens",), ())
    """Of an agent: total output tokens of the model calls inside it."""
    AGENT_TOTAL_TOKENS = (("gen_ai.usage.total_tokens",), ())
    """Of an agent: all tokens of the model calls inside it."""

    # -- Tools

    TOOL_NAME = (("gen_ai.tool.name",), ())
    """Name of the tool."""
    TOOL_DESCRIPTION = (("gen_ai.tool.description",), ())
    """Description of the tool, if inputs may be recorded."""
    TOOL_CALL_ID = (("langchain_stream.tool_call_id",), ())
    """The id that the model gave the call."""
    TOOL_ARGUMENTS = (("gen_ai.tool.call.arguments",), ())
    """Arguments of the tool call, if inputs may be recorded."""
    TOOL_RESULT = (("gen_ai.tool.call.result",), ())
    """Result of the tool call, if outputs may be recorded."""
    TOOL_RESULT_SIZE = (("gen_ai.tool.call.result.size",), ())
    """Size of the whole result in bytes, with content capture on or off."""

    # -- Tools of MCP servers

    MCP_METHOD = (("mcp.method.name",), ())
    """Method of the request to an MCP server: `tools/call`."""
    MCP_TOOL = (("mcp.tool.name",), ())
    """The server's name of the tool, without the adapters' prefix."""
    MCP_SERVER = (("mcp.server.name",), ())
    """The name that the server declares, else its name in your client."""
    MCP_TRANSPORT = (("mcp.transport",), ())
    """How the server is reached: `stdio`, `http`, `sse`, `websocket`."""
    NETWORK_TRANSPORT = (("network.transport",), ())
    """The transport below it: `pipe`, `tcp`."""

    # -- Retrievers

    RETRIEVER = (("langchain_stream.retriever",), ())
    """Name of the retriever."""
    DOCUMENTS = (("langchain_stream.documents",), ())
    """Number of documents found."""
    QUERY = (("langchain_stream.query",), ())
    """Query of a retriever or reranker, if inputs may be recorded."""
    FOUND = (("langchain_stream.found",), ())
    """Documents of a retriever or reranker, if outputs may be recorded."""

    # -- Handoffs and memory

    HANDOFF_FROM = (("langchain_stream.handoff_from",), ())
    """Of a handoff: the agent that hands over."""
    HANDOFF_TO = (("langchain_stream.handoff_to",), ())
    """Of a handoff: the agent that goes on."""

    MEMORY_OPERATION = (("langchain_stream.memory_operation",), ())
    """What was done with a store: `search_memory`, `upsert_memory`, `delete_memory`."""
    MEMORY_NAMESPACE = (("gen_ai.memory.store.id",), ())
    """The namespace in the store, joined by `/`, if inputs may be recorded."""
    MEMORY_RECORD = (("gen_ai.memory.record.id",), ())
    """The key of the item, if inputs may be recorded."""
    MEMORY_COUNT = (("gen_ai.memory.record.count",), ())
    """Number of items found, or to write or delete."""
    MEMORY_QUERY = (("gen_ai.memory.query.text",), ())
    """The query of a search, if inputs may be recorded."""
    MEMORY_RECORDS = (("gen_ai.memory.records",), ())
    """The items: written if inputs may be recorded, read if outputs may be."""

    # -- Checkpoints

    CHECKPOINTER = (("langchain_stream.checkpointer",), ())
    """Class of the checkpointer."""
    CHECKPOINT_OPERATION = (("langchain_stream.checkpoint_operation",), ())
    """What the checkpointer did: `put`, `put_writes`, `get_tuple`."""
    CHECKPOINT_CHANNELS = (("langchain_stream.checkpoint_channels",), ())
    """Number of channels of the checkpoint that was saved or found."""
    CHECKPOINT_WRITES = (("langchain_stream.checkpoint_writes",), ())
    """Number of channels that changed (`put`), or of pending writes (`put_writes`, `get_tuple`)."""

    # -- Embedding models and rerankers

    INPUTS = (("langchain_stream.inputs",), ())
    """Number of texts or documents that an embedding model or reranker is given."""
    EMBEDDINGS_INPUT = (("gen_ai.embeddings.input",), ())
    """Texts that are embedded, if inputs may be recorded."""
    DIMENSIONS = (("langchain_stream.dimensions",), ())
    """Length of an embedding."""
    TOP_N = (("langchain_stream.top_n",), ())
    """The most documents that a reranker is to return."""

    # -- End of a run

    OUTCOME = (("langchain_stream.outcome",), ())
    """How the run ended: `completed`, `cancelled`, `abandoned` (the consumer left), `failed`."""
    EVICTED = (("langchain_stream.evicted",), ())
    """Why the handler ended the run, if LangChain did not: `idle`, `limit`, `exit`."""
    ERROR_TYPE = (("error.type",), ())
    """Class of the exception, if the run failed."""

    # -- Content of model calls

    INPUT_MESSAGES = (("gen_ai.input.messages",), ())
    """Prompt, [if inputs may be recorded](privacy.md)."""
    OUTPUT_MESSAGES = (("gen_ai.output.messages",), ())
    """Answer, [if outputs may be recorded](privacy.md)."""
    SYSTEM_INSTRUCTIONS = (("gen_ai.system_instructions",), ())
    """System instructions, if inputs may be recorded."""
    TOOL_DEFINITIONS = (("gen_ai.tool.definitions",), ())
    """Tools offered to the model, if inputs may be recorded."""


(CONVERSATION,) = Fact.CONVERSATION.value[0]
"""The key of the conversation's id."""

MESSAGES = frozenset({"gen_ai.input.messages", "gen_ai.output.messages"})
"""The keys of messages, as JSON."""

CONTENT = MESSAGES | {
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.description",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.embeddings.input",
    "gen_ai.memory.store.id",
    "gen_ai.memory.record.id",
    "gen_ai.memory.query.text",
    "gen_ai.memory.records",
    "langchain_stream.query",
    "langchain_stream.found",
}
"""The keys of content."""

ESSENTIAL = frozenset(
    key
    for fact in (
        Fact.OPERATION,
        Fact.PROVIDER,
        Fact.PIPELINE,
        Fact.REQUEST_MODEL,
        Fact.RESPONSE_MODEL,
        Fact.INPUT_TOKENS,
        Fact.OUTPUT_TOKENS,
        Fact.TOTAL_TOKENS,
        Fact.AGENT,
        Fact.CONVERSATION,
        Fact.TOOL_NAME,
        Fact.OUTCOME,
        Fact.ERROR_TYPE,
    )
    for keys in fact.value
    for key in keys
)
"""The keys that a span keeps even in a transaction that is too large."""

LEFT_OUT = "langchain_stream.left_out"
"""How many attributes a span has lost because its transaction is too large."""

EVALUATION_NAME = "gen_ai.evaluation.name"
EVALUATION_SCORE = "gen_ai.evaluation.score.value"
EVALUATION_LABEL = "gen_ai.evaluation.score.label"
EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation"
"""The keys of an evaluation. They are OpenTelemetry's (event `gen_ai.evaluation.result`): Sentry's conventions have an
operation name and a shape of the messages for evaluations, but no keys for a score."""

PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "langchain_stream.prompt_version"
"""The keys of the prompt's name and version. The conventions have none for a version."""

PROMPT_VARIABLE = "gen_ai.prompt.variable."
"""The prefix of the keys for the variables of a prompt."""

USER = "user.id"
"""The key of the user's id."""

TAGS = "langchain_stream.tags"
"""The key of the user's tags."""

METADATA = "langchain_stream.metadata."
"""The prefix of the keys for the user's metadata."""

KEYS: dict[Dialect, dict[Fact, tuple[str, ...]]] = {
    "gen_ai": {fact: fact.value[0] for fact in Fact},
    "ai": {fact: fact.value[0] + fact.value[1] for fact in Fact},
}
"""The keys of each fact, by dialect."""


def spell(
    facts: Iterable[tuple[Fact, AttributeValue | None]],
    dialect: Dialect,
    into: dict[str, AttributeValue] | None = None,
) -> dict[str, AttributeValue]:
    """Convert facts to span attributes, one for each key of a fact. A fact that is `None` is left out.

    Args:
        facts: The facts. If iterating over them raises, the facts before that are already in `into`.
        dialect: The dialect.
        into: The attributes to add to and return. The default is a new dict.
    """
    attributes = {} if into is None else into
    keys = KEYS[dialect]
    for fact, value in facts:
        if value is not None:
            if value.__class__ is str and len(value) > LONGEST and fact not in _CONTENT_FACTS:
                value = bounded(value, LONGEST)
            for key in keys[fact]:
                attributes[key] = value
    return attributes


LONGEST = 1_000
"""The maximum length of an attribute that is no content, in characters. Content has its own limits."""

_CONTENT_FACTS = frozenset(fact for fact in Fact if CONTENT.intersection(*fact.value[:1]))


def bounded(text: str, longest: int) -> str:
    """Return a name or an id, cut if it is too long: whoever made it, an envelope must not be refused because of it."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
