"""The vocabulary keeps to Sentry's conventions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, get_args

import pytest
from sentry_conventions.attributes import ATTRIBUTE_METADATA, AttributeType

from sentry_langchain_stream._runs import attributes
from sentry_langchain_stream._runs.attributes import describe
from sentry_langchain_stream._runs.kinds import RunKind
from sentry_langchain_stream._vocabulary import facts
from sentry_langchain_stream._vocabulary.facts import FACTS, Fact
from sentry_langchain_stream._vocabulary.keys import (
    EVALUATION_EXPLANATION,
    EVALUATION_LABEL,
    EVALUATION_NAME,
    EVALUATION_SCORE,
    KEYS,
    METADATA,
    PROMPT_NAME,
    PROMPT_VARIABLE,
    PROMPT_VERSION,
    TAGS,
    USER,
    AttributeValue,
    Dialect,
    Group,
    spell,
)
from tests.kit.helpers import (
    filled_agent,
    filled_call,
    filled_cost,
    filled_request,
    filled_response,
    filled_retrieval,
    filled_run,
    filled_tool,
    filled_usage,
)

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
KINDS: tuple[RunKind, ...] = get_args(RunKind)

CONVENTIONAL = ("gen_ai.", "error.", "cache.", "mcp.", "network.")
STILL_READ = {"mcp.tool.name"}
"""Deprecated keys that Sentry's own pages and MCPIntegration still use."""
RECIPE = {
    "ai.model_id",
    "ai.total_tokens",
    "ai.total_tokens.used",
    "ai.pipeline.name",
    "pipeline_name",
}
RECIPE_OF_AI = {"ai.prompt_tokens.used", "ai.completion_tokens.used", "ai.streaming"}
OURS = "langchain_stream."
SCRUBBED = ("token", "secret", "password", "auth", "key", "session")

FITS: dict[AttributeType, Callable[[Any], bool]] = {
    AttributeType.STRING: lambda value: isinstance(value, str),
    AttributeType.INTEGER: lambda value: isinstance(value, int) and not isinstance(value, bool),
    AttributeType.DOUBLE: lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    AttributeType.BOOLEAN: lambda value: isinstance(value, bool),
    AttributeType.STRING_ARRAY: lambda value: (
        isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)
    ),
}


def keys(dialect: Dialect) -> list[str]:
    """Every key that the vocabulary has in a dialect, as `spell` writes them."""
    return [key for fact in FACTS.values() for key in spell([(fact, "")], dialect)]


def keys_that_begin(*prefixes: str) -> list[str]:
    """The keys of both dialects that begin with one of these, in the table's order."""
    return [key for key in keys("ai") if key.startswith(prefixes)]


@pytest.mark.parametrize("key", keys_that_begin(*CONVENTIONAL))
def test_a_conventional_key_is_current(key: str) -> None:
    """A key in a namespace of the conventions exists there and is not deprecated."""
    assert key in ATTRIBUTE_METADATA
    deprecation = ATTRIBUTE_METADATA[key].deprecation
    assert deprecation is None or key in STILL_READ, f"{key} is deprecated for {deprecation.replacement}"


def test_the_keys_beside_the_facts() -> None:
    """Prompt and user have the keys of the conventions; the version and OpenTelemetry's evaluations have none there."""
    for key in (PROMPT_NAME, f"{PROMPT_VARIABLE}<key>", USER):
        assert ATTRIBUTE_METADATA[key].deprecation is None
    for key in (EVALUATION_NAME, EVALUATION_SCORE, EVALUATION_LABEL, EVALUATION_EXPLANATION):
        assert key not in ATTRIBUTE_METADATA, "sentry-conventions has this key now: say so where it is quoted"


@pytest.mark.parametrize(("dialect", "recipe"), [("gen_ai", RECIPE), ("ai", RECIPE | RECIPE_OF_AI)])
def test_the_other_keys_are_the_recipes_and_ours(dialect: Dialect, recipe: set[str]) -> None:
    """Besides the conventions' keys and our own, each dialect has exactly those of the original recipe."""
    assert {key for key in keys(dialect) if not key.startswith((*CONVENTIONAL, OURS))} == recipe


@pytest.mark.parametrize("key", [*keys_that_begin(OURS), TAGS, METADATA, PROMPT_VERSION])
def test_our_own_keys_survive_ingestion(key: str) -> None:
    """A key of our own has no word in it for which Sentry's server-side scrubber would remove it."""
    assert [word for word in SCRUBBED if word in key.removeprefix(OURS)] == []
    assert key not in ATTRIBUTE_METADATA


SHARED = {facts.AGENT_INPUT_TOKENS, facts.AGENT_OUTPUT_TOKENS, facts.AGENT_TOTAL_TOKENS}
"""What an agent's models used in all stands under today's keys for it, which on their own spans are theirs."""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_two_facts_share_a_key(dialect: Dialect) -> None:
    """Each key states one fact, but for the tokens of models and those of agents."""
    told = [key for fact in FACTS.values() if fact not in SHARED for key in spell([(fact, "")], dialect)]
    assert len(told) == len(set(told))
    shared = {key for fact in SHARED for key in spell([(fact, "")], dialect)}
    assert shared == {f"gen_ai.usage.{kind}_tokens" for kind in ("input", "output", "total")}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_span_states_two_facts_under_one_key(
    kind: RunKind, dialect: Dialect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the span of any one kind of run each key states one fact."""
    told: list[str] = []
    spell_group = Group.spell

    def listening(self: Group, values: Sequence[Any], dialect: Dialect) -> dict[str, AttributeValue]:
        stated = [fact for fact, value in zip(self.facts, values, strict=True) if value is not None]
        told.extend(key for fact in stated for key in KEYS[dialect][fact])
        return spell_group(self, values, dialect)

    monkeypatch.setattr(Group, "spell", listening)
    describe(filled_run(kind), dialect)
    assert told
    assert len(told) == len(set(told))


def test_a_group_is_content_or_it_is_not() -> None:
    """Content has limits of its own, so a group of facts that is partly content is refused."""
    with pytest.raises(ValueError, match="content"):
        Group(facts.TOOL_NAME, facts.TOOL_RESULT)


def test_a_group_needs_a_value_for_each_fact() -> None:
    """With a value too few nothing is stated, rather than each value under the key of another fact."""
    group = Group(facts.TOOL_NAME, facts.TOOL_CALL_ID)
    with pytest.raises(ValueError, match="shorter"):
        group.spell(("adder",), "gen_ai")


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_tells_a_value_for_each_fact_of_its_groups(kind: RunKind) -> None:
    """No group has a value too few or too many: the facts after it would get each other's values."""
    run = filled_run(kind)
    record: Any = run.call or run.detail
    for group, tell in attributes._OF[type(record)]:
        values = tell(record)
        assert values is None or len(values) == len(group.facts), tell.__name__
    assert len((*attributes.identity(run, "gen_ai"), *attributes.ending(run))) == len(attributes._RUN.facts)
    assert len((*attributes.identity(run, "gen_ai"), *attributes.subject(run))) == len(attributes._AT_START.facts)


def test_dialect_ai_only_adds() -> None:
    """Everything that is stated in dialect "gen_ai" is stated in "ai" too."""
    assert set(keys("gen_ai")) < set(keys("ai"))


def test_both_dialects_state_the_keys_that_dashboards_read() -> None:
    """Model, pipeline and all tokens are spelled in today's and in the original key, whatever the dialect."""
    wanted = {"gen_ai.request.model", "gen_ai.pipeline.name", "gen_ai.usage.total_tokens"} | RECIPE
    for dialect in DIALECTS:
        assert wanted <= set(keys(dialect))


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        ("gen_ai", {"gen_ai.response.streaming": True}),
        ("ai", {"gen_ai.response.streaming": True, "ai.streaming": True}),
    ],
)
def test_a_fact_is_spelled_under_each_of_its_keys(dialect: Dialect, expected: dict[str, AttributeValue]) -> None:
    """`spell` states the one value under every key of the fact in the dialect."""
    assert spell([(facts.STREAMING, True)], dialect) == expected
    assert spell([], dialect) == {}


@pytest.mark.parametrize(
    "record",
    [
        filled_request(),
        filled_response(),
        filled_usage(),
        filled_cost(),
        filled_call(),
        filled_tool(),
        filled_retrieval(),
        filled_agent(),
    ],
    ids=lambda record: type(record).__name__,
)
def test_the_filled_record_is_filled(record: Any) -> None:
    """The record that the next tests describe has every field set, also one that is added later."""
    names = getattr(record, "_fields", None) or [field.name for field in dataclasses.fields(record)]
    empty = [name for name in names if getattr(record, name) in (None, 0, (), {}, "")]
    assert empty == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fact", FACTS.values(), ids=FACTS)
def test_no_fact_is_dead(fact: Fact, dialect: Dialect) -> None:
    """Of the records of which everything is known one states each fact of the vocabulary, under all its keys."""
    wanted = set(spell([(fact, "")], dialect))
    kinds: tuple[RunKind, ...] = ("agent",) if fact in SHARED else KINDS
    assert any(wanted <= set(describe(filled_run(kind), dialect)) for kind in kinds)


@pytest.mark.parametrize("key", [key for key in keys("ai") if key in ATTRIBUTE_METADATA])
def test_values_have_the_type_of_the_conventions(key: str) -> None:
    """What is stated has the type that the conventions give its key."""
    told = [described[key] for kind in KINDS if key in (described := describe(filled_run(kind), "ai"))]
    wanted = ATTRIBUTE_METADATA[key].type
    assert told
    for value in told:
        assert FITS[wanted](value), f"{key} is {value!r}, and should be a {wanted.value}"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_scalars_or_flat_lists(kind: RunKind, dialect: Dialect) -> None:
    """No value is a dict or a nested list, which would reach Sentry as its Python repr."""
    for key, value in describe(filled_run(kind), dialect).items():
        flat = value if isinstance(value, list) else [value]
        assert {type(each) for each in flat} <= {str, int, float, bool}, key
