"""The facts that a span can record, and the attribute keys of each fact.

There is one row per fact. Its first tuple has the keys for both dialects: the current key, and the older keys that are
cheap to send too. Its second tuple has the keys that dialect `"ai"` adds.

Sources: `gen_ai.*`, `mcp.*`, `network.*`, `error.*` and `cache.*` come from the PyPI package `sentry-conventions`;
`ai.*` and `pipeline_name` come from the LLM Monitoring recipe of 2024. `langchain_stream.*` are our own keys, used only
where the conventions have no key. Our keys must not contain "token", "key", "auth", "secret", "password" or "session",
because Sentry's server-side scrubber removes keys with these words unless the conventions define them. The scrubber
also removes `ai.total_tokens`, the key that the recipe asks for. So the total is sent under two more keys, which it
keeps.

Messages have no older keys. LLM Monitoring of 2024 did not read messages: it showed `ai.input_messages` and
`ai.responses` only in the list of all attributes, where the current keys appear too. The trace view of 2025 expects
`{"system", "prompt"}` in `ai.input_messages`, and would show an empty prompt for a list of messages.
"""

from __future__ import annotations


class Fact:
    """A fact.

    `docs/attributes.md` is made of the lines below: `python -m tests.project.attributes`.

    Args:
        keys: Its keys in both dialects.
        added: The keys that dialect `"ai"` adds.
    """

    __slots__ = ("added", "keys")

    def __init__(self, keys: tuple[str, ...], added: tuple[str, ...] = ()) -> None:
        self.keys = keys
        self.added = added

    def __repr__(self) -> str:
        return f"<fact {self.keys[0]}>"


# -- A run, whatever it is

OPERATION = Fact(("gen_ai.operation.name",))
"""`chat`, `text_completion`, `evaluate`, `embeddings`, `rerank`, `invoke_agent`, `execute_tool` or `handoff`."""
PROVIDER = Fact(("gen_ai.provider.name",))
"""Provider of the model."""
PIPELINE = Fact(("gen_ai.pipeline.name", "pipeline_name", "ai.pipeline.name"))
"""Name of the pipeline."""
RUN_NAME = Fact(("gen_ai.function_id", "langchain_stream.run_name"))
"""Name of the run of a model or a tool, if you gave it one."""

# -- Model calls

REQUEST_MODEL = Fact(("gen_ai.request.model", "ai.model_id"))
"""Model asked for."""
RESPONSE_MODEL = Fact(("gen_ai.response.model",))
"""Model that answered. If a completed answer names none: the one that was asked."""
RESPONSE_ID = Fact(("gen_ai.response.id",))
"""The provider's id of the answer."""
FINISH_REASONS = Fact(("gen_ai.response.finish_reasons",))
"""Why the model stopped."""
STREAMING = Fact(("gen_ai.response.streaming",), ("ai.streaming",))
"""Whether the answer was streamed."""
CACHE_HIT = Fact(("cache.hit",))
"""LangChain's cache answered, and no model was called."""

# -- Request parameters

TEMPERATURE = Fact(("gen_ai.request.temperature",))
"""Request parameter `temperature`."""
TOP_P = Fact(("gen_ai.request.top_p",))
"""Request parameter `top_p`."""
TOP_K = Fact(("gen_ai.request.top_k",))
"""Request parameter `top_k`."""
MAX_TOKENS = Fact(("gen_ai.request.max_tokens",))
"""Request parameter: the maximum number of output tokens."""
SEED = Fact(("gen_ai.request.seed",))
"""Request parameter `seed`."""
STOP = Fact(("gen_ai.request.stop_sequences",))
"""Request parameter: the texts at which the model stops."""
FREQUENCY_PENALTY = Fact(("gen_ai.request.frequency_penalty",))
"""Request parameter `frequency_penalty`."""
PRESENCE_PENALTY = Fact(("gen_ai.request.presence_penalty",))
"""Request parameter `presence_penalty`."""
REASONING_LEVEL = Fact(("gen_ai.request.reasoning.level",))
"""Request parameter: how much the model reasons."""

# -- Tokens

INPUT_TOKENS = Fact(("gen_ai.usage.input_tokens",), ("ai.prompt_tokens.used",))
"""Input tokens of a model call."""
OUTPUT_TOKENS = Fact(("gen_ai.usage.output_tokens",), ("ai.completion_tokens.used",))
"""Output tokens of a model call."""
TOTAL_TOKENS = Fact(("gen_ai.usage.total_tokens", "ai.total_tokens", "ai.total_tokens.used"))
"""All tokens of a model call."""
CACHE_READ = Fact(("gen_ai.usage.cache_read.input_tokens",))
"""Of the input tokens: read from the provider's cache."""
CACHE_CREATION = Fact(("gen_ai.usage.cache_creation.input_tokens",))
"""Of the input tokens: written to the provider's cache."""
REASONING = Fact(("gen_ai.usage.reasoning.output_tokens",))
"""Of the output tokens: reasoning."""
AUDIO_INPUT = Fact(("langchain_stream.audio_input",))
"""Of the input tokens: audio."""
AUDIO_OUTPUT = Fact(("langchain_stream.audio_output",))
"""Of the output tokens: audio."""
USAGE_SOURCE = Fact(("langchain_stream.usage_source",))
"""Source of the token counts: `provider`, `estimate`."""

# -- Cost

COST_INPUT = Fact(("gen_ai.cost.input_tokens",))
"""Cost of the input tokens in USD, with `cost=True`."""
COST_OUTPUT = Fact(("gen_ai.cost.output_tokens",))
"""Cost of the output tokens in USD."""
COST_TOTAL = Fact(("gen_ai.cost.total_tokens",))
"""Cost of all tokens in USD."""
COST_CACHE_READ = Fact(("gen_ai.cost.cache_read.input_tokens",))
"""Part of the cost: input read from the provider's cache."""
COST_CACHE_CREATION = Fact(("gen_ai.cost.cache_creation.input_tokens",))
"""Part of the cost: input written to the provider's cache."""
COST_REASONING = Fact(("gen_ai.cost.reasoning.output_tokens",))
"""Part of the cost: reasoning."""
COST_REQUESTS = Fact(("langchain_stream.request_fee",))
"""What the provider charges for the request beside its tokens, in USD."""

# -- Timing of a stream

FIRST_CHUNK = Fact(("gen_ai.response.time_to_first_chunk",))
"""Seconds to the first chunk with content."""
TOKENS_PER_SECOND = Fact(("gen_ai.response.tokens_per_second",))
"""Output tokens per second over the whole call."""
CHUNKS = Fact(("langchain_stream.chunks",))
"""Number of chunks with content."""
LONGEST_GAP = Fact(("langchain_stream.longest_gap",))
"""Longest gap between two chunks with content, in seconds."""
LONGEST_GAP_AT = Fact(("langchain_stream.longest_gap_at",))
"""When the longest gap began, in seconds from the start."""
FINAL_SILENCE = Fact(("langchain_stream.final_silence",))
"""From the last chunk with content to the end, in seconds."""
DECODE_RATE = Fact(("langchain_stream.decode_rate",))
"""Output tokens per second after the first chunk."""

# -- Agents, conversations, retries

AGENT = Fact(("gen_ai.agent.name",))
"""Name of the agent that the run is, or belongs to."""
CONVERSATION = Fact(("gen_ai.conversation.id",))
"""Conversation, [from metadata or `sentry_sdk.ai.set_conversation_id(...)`](runs.md#conversations)."""
ATTEMPT = Fact(("langchain_stream.attempt",))
"""Number of the `with_retry` attempt, from 2 on."""
FALLBACK = Fact(("langchain_stream.fallback",))
"""Number of `with_fallbacks` calls that failed before this one."""
CONTROL = Fact(("langchain_stream.control",))
"""A part of a graph waits for a human, handed over, or was asked to stop: `interrupt`, `handoff`, `drained`."""
# Without the older keys: Sentry would add them to those of the agent's model calls.
AGENT_INPUT_TOKENS = Fact(("gen_ai.usage.input_tokens",))
"""Of an agent: total input tokens of the model calls inside it."""
AGENT_OUTPUT_TOKENS = Fact(("gen_ai.usage.output_tokens",))
"""Of an agent: total output tokens of the model calls inside it."""
AGENT_TOTAL_TOKENS = Fact(("gen_ai.usage.total_tokens",))
"""Of an agent: all tokens of the model calls inside it."""

# -- Tools

TOOL_NAME = Fact(("gen_ai.tool.name",))
"""Name of the tool."""
TOOL_DESCRIPTION = Fact(("gen_ai.tool.description",))
"""Description of the tool, if inputs may be recorded."""
TOOL_CALL_ID = Fact(("langchain_stream.tool_call_id",))
"""The id that the model gave the call."""
TOOL_ARGUMENTS = Fact(("gen_ai.tool.call.arguments",))
"""Arguments of the tool call, if inputs may be recorded."""
TOOL_RESULT = Fact(("gen_ai.tool.call.result",))
"""Result of the tool call, if outputs may be recorded."""
TOOL_RESULT_SIZE = Fact(("gen_ai.tool.call.result.size",))
"""Size of the whole result in bytes, with content capture on or off."""

# -- Tools of MCP servers

MCP_METHOD = Fact(("mcp.method.name",))
"""Method of the request to an MCP server: `tools/call`."""
MCP_TOOL = Fact(("mcp.tool.name",))
"""The server's name of the tool, without the adapters' prefix."""
MCP_SERVER = Fact(("mcp.server.name",))
"""The name that the server declares, else its name in your client."""
MCP_TRANSPORT = Fact(("mcp.transport",))
"""How the server is reached: `stdio`, `http`, `sse`, `websocket`."""
NETWORK_TRANSPORT = Fact(("network.transport",))
"""The transport below it: `pipe`, `tcp`."""

# -- Retrievers

RETRIEVER = Fact(("langchain_stream.retriever",))
"""Name of the retriever."""
DOCUMENTS = Fact(("langchain_stream.documents",))
"""Number of documents found."""
QUERY = Fact(("langchain_stream.query",))
"""Query of a retriever or reranker, if inputs may be recorded."""
FOUND = Fact(("langchain_stream.found",))
"""Documents of a retriever or reranker, if outputs may be recorded."""

# -- Handoffs and memory

HANDOFF_FROM = Fact(("langchain_stream.handoff_from",))
"""Of a handoff: the agent that hands over."""
HANDOFF_TO = Fact(("langchain_stream.handoff_to",))
"""Of a handoff: the agent that goes on. A text that is no name needs inputs: it has blanks, or over 64 characters."""

MEMORY_OPERATION = Fact(("langchain_stream.memory_operation",))
"""What was done with a store: `search_memory`, `upsert_memory`, `delete_memory`."""
MEMORY_NAMESPACE = Fact(("gen_ai.memory.store.id",))
"""The namespace in the store, joined by `/`, if inputs may be recorded."""
MEMORY_RECORD = Fact(("gen_ai.memory.record.id",))
"""The key of the item, if inputs may be recorded."""
MEMORY_COUNT = Fact(("gen_ai.memory.record.count",))
"""Number of items found, to write and to delete."""
MEMORY_QUERY = Fact(("gen_ai.memory.query.text",))
"""The query of a search, if inputs may be recorded."""
MEMORY_RECORDS = Fact(("gen_ai.memory.records",))
"""The items: written if inputs may be recorded, read if outputs may be."""

# -- Checkpoints

CHECKPOINTER = Fact(("langchain_stream.checkpointer",))
"""Class of the checkpointer."""
CHECKPOINT_OPERATION = Fact(("langchain_stream.checkpoint_operation",))
"""What the checkpointer did: `put`, `put_writes`, `get_tuple`."""
CHECKPOINT_CHANNELS = Fact(("langchain_stream.checkpoint_channels",))
"""Number of channels of the checkpoint that was saved or found."""
CHECKPOINT_WRITES = Fact(("langchain_stream.checkpoint_writes",))
"""Number of channels that changed (`put`), or of pending writes (`put_writes`, `get_tuple`)."""

# -- Embedding models and rerankers

INPUTS = Fact(("langchain_stream.inputs",))
"""Number of texts or documents that an embedding model or reranker is given."""
EMBEDDINGS_INPUT = Fact(("gen_ai.embeddings.input",))
"""Texts that are embedded, if inputs may be recorded."""
DIMENSIONS = Fact(("langchain_stream.dimensions",))
"""Length of an embedding."""
TOP_N = Fact(("langchain_stream.top_n",))
"""The most documents that a reranker is to return."""

# -- End of a run

OUTCOME = Fact(("langchain_stream.outcome",))
"""How the run ended: `completed`, `cancelled`, `abandoned` (the consumer left), `failed`."""
EVICTED = Fact(("langchain_stream.evicted",))
"""Why the handler ended the run, if LangChain did not: `idle`, `limit`, `exit`."""
ERROR_TYPE = Fact(("error.type",))
"""Class of the exception, if the run failed."""

# -- Content of model calls

INPUT_MESSAGES = Fact(("gen_ai.input.messages",))
"""Prompt, [if inputs may be recorded](privacy.md)."""
OUTPUT_MESSAGES = Fact(("gen_ai.output.messages",))
"""Answer, [if outputs may be recorded](privacy.md)."""
SYSTEM_INSTRUCTIONS = Fact(("gen_ai.system_instructions",))
"""System instructions, if inputs may be recorded."""
TOOL_DEFINITIONS = Fact(("gen_ai.tool.definitions",))
"""Tools offered to the model, if inputs may be recorded."""

FACTS: dict[str, Fact] = {name: fact for name, fact in list(globals().items()) if isinstance(fact, Fact)}
"""Every fact, by its name."""
