"""The attribute keys of a span, and how facts become attributes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from . import facts
from .facts import FACTS, Fact

Dialect = Literal["gen_ai", "ai"]
"""`"gen_ai"`: current Sentry. `"ai"`: the LLM Monitoring convention of 2024."""

AttributeValue = str | int | float | bool | list[str]
"""The value of an attribute: a scalar or a flat list. Sentry would receive a dict as its Python repr."""


(CONVERSATION,) = facts.CONVERSATION.keys
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
        facts.OPERATION,
        facts.PROVIDER,
        facts.PIPELINE,
        facts.REQUEST_MODEL,
        facts.RESPONSE_MODEL,
        facts.INPUT_TOKENS,
        facts.OUTPUT_TOKENS,
        facts.TOTAL_TOKENS,
        facts.AGENT,
        facts.CONVERSATION,
        facts.TOOL_NAME,
        facts.OUTCOME,
        facts.ERROR_TYPE,
    )
    for key in (*fact.keys, *fact.added)
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
    "gen_ai": {fact: fact.keys for fact in FACTS.values()},
    "ai": {fact: fact.keys + fact.added for fact in FACTS.values()},
}
"""The keys of each fact, by dialect."""


Values = tuple[AttributeValue | None, ...]
"""The values of the facts of a group, in their order."""


class Group:
    """Facts that are stated together.

    Args:
        facts: The facts. They are all content, or none of them is.

    Raises:
        ValueError: Some of the facts are content and some are not.
    """

    __slots__ = ("_keys", "facts", "is_content", "unknown")

    def __init__(self, *facts: Fact) -> None:
        are_content = {not CONTENT.isdisjoint(fact.keys) for fact in facts}
        if len(are_content) > 1:
            raise ValueError(f"facts must be content, all of them or none, not {facts}")
        self.facts = facts
        self.is_content = True in are_content
        self.unknown = (None,) * len(facts)
        self._keys = {dialect: tuple(KEYS[dialect][fact] for fact in facts) for dialect in KEYS}

    def spell(self, values: Sequence[AttributeValue | None], dialect: Dialect) -> dict[str, AttributeValue]:
        """Return span attributes, one for each key of a fact. A fact that is `None` is left out.

        Args:
            values: The values of the facts.
            dialect: The dialect.
        """
        found: dict[str, AttributeValue] = {}
        for keys, value in zip(self._keys[dialect], values, strict=True):
            if value is not None:
                if type(value) is str and len(value) > LONGEST and not self.is_content:
                    value = bounded(value, LONGEST)
                for key in keys:
                    found[key] = value
        return found


def spell(known: Iterable[tuple[Fact, AttributeValue | None]], dialect: Dialect) -> dict[str, AttributeValue]:
    """Return single facts as span attributes. A `Group` is quicker.

    Args:
        known: Facts and their values. A fact that is `None` is left out.
        dialect: The dialect.
    """
    return {key: spelled for fact, value in known for key, spelled in Group(fact).spell((value,), dialect).items()}


LONGEST = 1_000
"""The maximum length of an attribute that is no content, in characters. Content has its own limits."""


def bounded(text: str, longest: int) -> str:
    """Return a name or an id, cut if it is too long: an envelope must not be refused because of it."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
