"""The facts that a span can record, and the attribute keys of each fact.

There is one row per fact. Its first tuple has the keys for both dialects: the current key, and the older keys that are
cheap to send too. Its second tuple has the keys that dialect `"ai"` adds.

Sources: `gen_ai.*`, `mcp.*`, `network.*`, `error.*` and `cache.*`
come from the PyPI package `sentry-conventions`; `ai.*` and `pipeline_name`
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
    """A fact, as `(keys in both dialects, keys that dialect "ai" adds)`."""

    # `Enum.__hash__` is a Python function and would run for every attribute. Members are singletons, so identity works.
    __hash__ = object.__hash__

    OPERATION = (("gen_ai.operation.name",), ())
    PROVIDER = (("gen_ai.provider.name",), ())
    PIPELINE = (("gen_ai.pipeline.name", "pipeline_name", "ai.pipeline.name"), ())
    RUN_NAME = (("langchain_stream.run_name",), ())

    REQUEST_MODEL = (("gen_ai.request.model", "ai.model_id"), ())
    RESPONSE_MODEL = (("gen_ai.response.model",), ())
    RESPONSE_ID = (("gen_ai.response.id",), ())
    FINISH_REASONS = (("gen_ai.response.finish_reasons",), ())
    STREAMING = (("gen_ai.response.streaming",), ("ai.streaming",))

    TEMPERATURE = (("gen_ai.request.temperature",), ())
    TOP_P = (("gen_ai.request.top_p",), ())
    TOP_K = (("gen_ai.request.top_k",), ())
    MAX_TOKENS = (("gen_ai.request.max_tokens",), ())
    SEED = (("gen_ai.request.seed",), ())
    STOP = (("gen_ai.request.stop_sequences",), ())
    FREQUENCY_PENALTY = (("gen_ai.request.frequency_penalty",), ())
    PRESENCE_PENALTY = (("gen_ai.request.presence_penalty",), ())
    REASONING_LEVEL = (("gen_ai.request.reasoning.level",), ())

    INPUT_TOKENS = (("gen_ai.usage.input_tokens",), ("ai.prompt_tokens.used",))
    OUTPUT_TOKENS = (("gen_ai.usage.output_tokens",), ("ai.completion_tokens.used",))
    TOTAL_TOKENS = (("gen_ai.usage.total_tokens", "ai.total_tokens", "ai.total_tokens.used"), ())
    CACHE_READ = (("gen_ai.usage.cache_read.input_tokens",), ())
    CACHE_CREATION = (("gen_ai.usage.cache_creation.input_tokens",), ())
    REASONING = (("gen_ai.usage.reasoning.output_tokens",), ())
    AUDIO_INPUT = (("langchain_stream.audio_input",), ())
    AUDIO_OUTPUT = (("langchain_stream.audio_output",), ())
    USAGE_SOURCE = (("langchain_stream.usage_source",), ())

    CACHE_HIT = (("cache.hit",), ())
    COST_INPUT = (("gen_ai.cost.input_tokens",), ())
    COST_OUTPUT = (("gen_ai.cost.output_tokens",), ())
    COST_TOTAL = (("gen_ai.cost.total_tokens",), ())
    COST_CACHE_READ = (("gen_ai.cost.cache_read.input_tokens",), ())
    COST_CACHE_CREATION = (("gen_ai.cost.cache_creation.input_tokens",), ())
    COST_REASONING = (("gen_ai.cost.reasoning.output_tokens",), ())
    COST_REQUESTS = (("langchain_stream.request_fee",), ())

    FIRST_CHUNK = (("gen_ai.response.time_to_first_chunk",), ())
    TOKENS_PER_SECOND = (("gen_ai.response.tokens_per_second",), ())
    CHUNKS = (("langchain_stream.chunks",), ())
    LONGEST_GAP = (("langchain_stream.longest_gap",), ())
    LONGEST_GAP_AT = (("langchain_stream.longest_gap_at",), ())
    FINAL_SILENCE = (("langchain_stream.final_silence",), ())
    DECODE_RATE = (("langchain_stream.decode_rate",), ())

    AGENT = (("gen_ai.agent.name",), ())
    CONVERSATION = (("gen_ai.conversation.id",), ())
    ATTEMPT = (("langchain_stream.attempt",), ())
    FALLBACK = (("langchain_stream.fallback",), ())
    CONTROL = (("langchain_stream.control",), ())
    # Without the older keys: Sentry would add them to those of the agent's model calls.
    AGENT_INPUT_TOKENS = (("gen_ai.usage.input_tokens",), ())
    AGENT_OUTPUT_TOKENS = (("gen_ai.usage.output_tokens",), ())
    AGENT_TOTAL_TOKENS = (("gen_ai.usage.total_tokens",), ())

    TOOL_NAME = (("gen_ai.tool.name",), ())
    TOOL_DESCRIPTION = (("gen_ai.tool.description",), ())
    TOOL_CALL_ID = (("langchain_stream.tool_call_id",), ())
    TOOL_ARGUMENTS = (("gen_ai.tool.call.arguments",), ())
    TOOL_RESULT = (("gen_ai.tool.call.result",), ())
    TOOL_RESULT_SIZE = (("gen_ai.tool.call.result.size",), ())

    MCP_METHOD = (("mcp.method.name",), ())
    MCP_TOOL = (("mcp.tool.name",), ())
    MCP_SERVER = (("mcp.server.name",), ())
    MCP_TRANSPORT = (("mcp.transport",), ())
    NETWORK_TRANSPORT = (("network.transport",), ())

    RETRIEVER = (("langchain_stream.retriever",), ())
    DOCUMENTS = (("langchain_stream.documents",), ())
    QUERY = (("langchain_stream.query",), ())
    FOUND = (("langchain_stream.found",), ())

    INPUTS = (("langchain_stream.inputs",), ())
    EMBEDDINGS_INPUT = (("gen_ai.embeddings.input",), ())
    DIMENSIONS = (("langchain_stream.dimensions",), ())
    TOP_N = (("langchain_stream.top_n",), ())

    OUTCOME = (("langchain_stream.outcome",), ())
    EVICTED = (("langchain_stream.evicted",), ())
    ERROR_TYPE = (("error.type",), ())

    INPUT_MESSAGES = (("gen_ai.input.messages",), ())
    OUTPUT_MESSAGES = (("gen_ai.output.messages",), ())
    SYSTEM_INSTRUCTIONS = (("gen_ai.system_instructions",), ())
    TOOL_DEFINITIONS = (("gen_ai.tool.definitions",), ())


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
