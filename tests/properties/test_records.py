"""Names, settings, records and attributes: whatever they are made of, what is stated can be sent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentry_conventions.attributes import ATTRIBUTE_METADATA, AttributeType

from sentry_langchain_stream._runs.attributes import describe
from sentry_langchain_stream._runs.call import Call, Cost, Request, Response
from sentry_langchain_stream._runs.details import Agent, Retrieval, ToolCall
from sentry_langchain_stream._runs.kinds import RunKind
from sentry_langchain_stream._runs.places import Tree
from sentry_langchain_stream._runs.run import Run
from sentry_langchain_stream._runs.settings import Settings
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._runtime import containment
from sentry_langchain_stream._runtime.containment import contained
from sentry_langchain_stream._vocabulary import names, providers
from sentry_langchain_stream._vocabulary.facts import FACTS, Fact
from sentry_langchain_stream._vocabulary.keys import Dialect, spell
from sentry_langchain_stream._vocabulary.names import SpanKind
from sentry_langchain_stream._vocabulary.providers import Platform
from tests.kit.helpers import prompt_of, run_of
from tests.kit.strategies import can_be_sent, in_production, limits, texts, values

DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
KINDS: tuple[RunKind, ...] = get_args(RunKind)
SPAN_KINDS: tuple[SpanKind, ...] = get_args(SpanKind)
dialects = st.sampled_from(DIALECTS)
optional_texts = st.one_of(st.none(), st.text(max_size=8))


# -- Names -----------------------------------------------------------------------------------------------------


@given(values(), optional_texts, values(leaves=3))
def test_whatever_tells_a_provider_it_has_a_name_and_a_platform(told: Any, path: str | None, kind: Any) -> None:
    """Of anything at all there is a provider with a name, or none; what states one has one."""
    found = providers.find(told, path, kind)
    assert providers.platform_of(found) in get_args(Platform)
    if found is not None:
        assert found.name
    assert found is not None or not (isinstance(told, str) and told)


@given(st.sampled_from(SPAN_KINDS), dialects, st.text(min_size=1, max_size=9), optional_texts)
def test_a_span_has_a_name(kind: SpanKind, dialect: Dialect, pipeline: str, what: str | None) -> None:
    """A span's name ends with what it is done to, or is the pipeline's; nothing is named "None"."""
    name = names.span_name(kind, dialect, pipeline, what)
    if kind == "pipeline" or (
        dialect == "ai" and kind in ("chat", "text_completion", "evaluate", "embeddings", "rerank")
    ):
        assert name == pipeline
    else:
        assert name.endswith(what or name)
        assert name == name.strip() or what != (what or "").strip()
        assert "None" not in name or "None" in (what or "")


@given(optional_texts, optional_texts, optional_texts, optional_texts)
def test_a_pipeline_always_has_a_name(
    configured: str | None, metadata: str | None, from_sentry: str | None, run_name: str | None
) -> None:
    """The pipeline's name is the first that says something, of whatever there is."""
    name = names.pipeline(configured=configured, metadata=metadata, sentry=from_sentry, run=run_name)
    candidates = [each for each in (configured, metadata, from_sentry, run_name) if isinstance(each, str)]
    assert name == next((each for each in candidates if each.strip()), "langchain")


# -- Settings --------------------------------------------------------------------------------------------------

arguments = st.dictionaries(
    st.sampled_from(sorted(Settings.__slots__)),
    st.one_of(
        st.none(),
        st.integers(-2, 2),
        st.floats(),
        st.text(max_size=5),
        st.lists(st.one_of(st.text(max_size=3), st.integers()), max_size=2),
        st.sampled_from(["ai", "gen_ai", "x", len, True, False, 1, 0.5]),
        st.just(["plan", "user"]),
        limits,
    ),
    max_size=3,
)


@given(arguments)
def test_settings_are_refused_by_name_or_are_right(given_arguments: dict[str, Any]) -> None:
    """Any argument is kept as it is, and of a kind that the code can use, or is refused by its name."""
    refused = None
    try:
        settings = Settings(**given_arguments)
    except (TypeError, ValueError) as error:
        refused = str(error)
    if refused is not None:
        assert refused.partition(" ")[0] in given_arguments
        return
    for name, value in given_arguments.items():
        assert getattr(settings, name) is value
    assert settings.dialect in DIALECTS
    assert settings.max_live_runs >= 1
    assert settings.max_idle_seconds > 0
    assert settings.redact is None or callable(settings.redact)
    assert settings.pipeline_name is None or settings.pipeline_name.strip()
    assert all(isinstance(key, str) for key in settings.metadata_keys)


# -- Attributes ------------------------------------------------------------------------------------------------

FITS: dict[AttributeType, Callable[[Any], bool]] = {
    AttributeType.STRING: lambda value: isinstance(value, str),
    AttributeType.INTEGER: lambda value: type(value) is int,
    AttributeType.DOUBLE: lambda value: type(value) in (int, float),
    AttributeType.BOOLEAN: lambda value: isinstance(value, bool),
    AttributeType.STRING_ARRAY: lambda value: isinstance(value, list) and bool(value),
}
SCRUBBED = ("token", "secret", "password", "auth", "key", "session")

tokens = st.one_of(st.none(), st.integers(0, 10**9))
money = st.floats(0, 1e6)
usages = st.builds(Usage, tokens, tokens, tokens, tokens, tokens, tokens, tokens, tokens)
parameters = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(0, 99),
        "max_tokens": st.integers(0, 10**6),
        "seed": st.text(min_size=1, max_size=5),
        "stop": st.lists(st.text(max_size=5), min_size=1, max_size=3),
        "frequency_penalty": st.floats(-2, 2),
        "presence_penalty": st.floats(-2, 2),
    },
)
requests = st.builds(
    Request,
    st.sampled_from(["chat", "text_completion"]),
    optional_texts,
    optional_texts,
    function=optional_texts,
    parameters=parameters,
    messages=optional_texts,
    system=optional_texts,
    tools=optional_texts,
    prompt=st.builds(prompt_of, tokens),
)
responses = st.builds(
    Response, optional_texts, optional_texts, st.lists(st.text(max_size=5), max_size=2).map(tuple), optional_texts
)
calls = st.builds(
    Call,
    requests,
    st.floats(0, 1e6),
    streamed=st.booleans(),
    counted=tokens,
    reported=st.one_of(st.none(), usages),
    cached=st.booleans(),
    cost=st.one_of(st.none(), st.builds(Cost, money, money, money, *[st.one_of(st.none(), money)] * 4)),
    response=responses,
    finished=st.booleans(),
    ended=st.floats(0, 2e6),
)
runs = st.builds(
    run_of,
    st.one_of(st.none(), calls),
    st.sampled_from(KINDS),
    agent=optional_texts,
    attempt=st.one_of(st.none(), st.integers(1, 9)),
    fallback=st.one_of(st.none(), st.integers(1, 9)),
    conversation=optional_texts,
    outcome=st.sampled_from(["completed", "cancelled", "abandoned", "failed"]),
    control=st.sampled_from([None, "interrupt", "handoff"]),
    error_type=optional_texts,
    evicted=st.sampled_from([None, "idle", "limit", "exit"]),
    detail=st.one_of(
        st.none(),
        st.builds(ToolCall, st.text(max_size=5), optional_texts, optional_texts, optional_texts, optional_texts),
        st.builds(Retrieval, st.text(max_size=5), optional_texts, tokens, optional_texts),
        st.builds(Agent, st.text(max_size=5), *(optional_texts for _ in range(4)), st.one_of(st.none(), usages)),
    ),
)


@given(runs, dialects, st.lists(st.floats(0, 1e5), max_size=4))
def test_whatever_is_known_of_a_run_can_be_sent(run: Run, dialect: Dialect, pauses: list[float]) -> None:
    """An attribute is a finite scalar or a flat list, of the type that the conventions give its key."""
    if run.call is not None:
        now = run.call.started
        for pause in pauses:
            now += pause
            run.call.add_chunk(now)
    stated = describe(run, dialect)
    for key, value in stated.items():
        assert can_be_sent(value), (key, value)
        if key in ATTRIBUTE_METADATA:
            assert FITS[ATTRIBUTE_METADATA[key].type](value), (key, value)
        elif key.startswith("langchain_stream."):
            assert not any(word in key for word in SCRUBBED), key
    assert stated["langchain_stream.outcome"] == run.ending.outcome
    assert stated == describe(run, dialect)


@given(runs)
def test_the_dialects_agree(run: Run) -> None:
    """Whatever a run is, dialect "ai" states all that "gen_ai" does, and the same; it may only add to it."""
    both = describe(run, "gen_ai")
    assert both.items() <= describe(run, "ai").items()


@given(st.lists(st.tuples(st.sampled_from([*FACTS.values()]), st.integers()), max_size=10), dialects)
def test_facts_are_spelled_under_their_keys_and_no_other(facts: list[tuple[Fact, int]], dialect: Dialect) -> None:
    """Each key has the value of the last fact that has it, and there is no key of any other."""
    stated = spell(facts, dialect)
    expected = {key: value for fact, value in facts for key in fact.keys + (fact.added if dialect == "ai" else ())}
    assert stated == expected


# -- The tree of runs ------------------------------------------------------------------------------------------


@st.composite
def trees(draw: st.DrawFn) -> list[Run]:
    """Runs of one tree, each below one of those before it."""
    tree = Tree(touched=draw(st.floats(0, 100)))
    made: list[Run] = []
    for index in range(draw(st.integers(1, 7))):
        call = draw(st.one_of(st.none(), st.builds(Call, st.just(Request()), st.just(0.0), streamed=st.booleans())))
        if call is not None:
            call.last_chunk_at = draw(st.floats(0, 100))
        run = run_of(call, tree=tree, detail=draw(st.sampled_from([None, Agent(str(index))])))
        if made:
            run.parent = draw(st.sampled_from(made))
            run.parent.add_child(run)
        made.append(run)
    return made


@given(trees())
def test_a_tree_of_runs_is_walked_as_it_is(made: list[Run]) -> None:
    """Every descendant of a run is found once, children before parents, and each has the same top."""
    top = made[0]
    below = top.descendants()
    assert len(below) == len(made) - 1
    assert {run.id for run in below} == {run.id for run in made[1:]}
    place = {run.id: index for index, run in enumerate(below)}
    for run in made[1:]:
        assert run.root() is top
        assert run.parent is not None
        assert run.parent is top or place[run.id] < place[run.parent.id]
        assert run in run.parent.descendants()
    chunks = [run.call.last_chunk_at for run in made if run.call is not None]
    assert top.active_at() == max([top.tree.touched, *chunks])


@given(trees())
def test_a_run_belongs_to_the_agents_above_it(made: list[Run]) -> None:
    """The agents that a run belongs to are those on its way up, the nearest first."""
    for run in made:
        way, above = [], run
        while True:
            way += [above.detail] if above.detail is not None else []
            if above.parent is None:
                break
            above = above.parent
        assert [*run.agents()] == way


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), max_size=10))
def test_a_run_remembers_the_newest_failures(told: list[list[int]]) -> None:
    """Of what failed below at most eight are kept, and no newer one is given up for an older."""
    run = run_of()
    seen: dict[UUID, Any] = {}
    for numbers in told:
        failures: dict[UUID, Any] = {UUID(int=number): number for number in numbers}
        run.ending.remember(failures)
        seen.update(failures)
    assert len(run.ending.failed) <= 8
    assert run.ending.failed.items() <= seen.items()
    if len(seen) <= 8:
        assert run.ending.failed == seen


# -- Containment -----------------------------------------------------------------------------------------------

failures = st.sampled_from([ValueError, KeyError, RecursionError, MemoryError, StopIteration, OSError, AssertionError])


@given(st.lists(st.tuples(failures, st.sampled_from(["here", "there"]), texts), max_size=10))
def test_failures_of_ours_are_contained_and_said_once(told: list[tuple[type[Exception], str, str]]) -> None:
    """Whatever of ours fails nothing is raised, and there is a line for each cause, without the exception's words."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    keep = Keep()
    containment.forget_reports()
    containment.logger.addHandler(keep)
    try:
        with in_production():
            for kind, place, words in told:
                with contained(place):
                    raise kind(words)
    finally:
        containment.logger.removeHandler(keep)
        containment.forget_reports()
    assert len(said) == len({(kind, place) for kind, place, _ in told})
    assert all("failed with" in line and len(line) < 200 for line in said)


@given(st.sampled_from([KeyboardInterrupt, SystemExit, GeneratorExit]))
def test_what_is_no_failure_of_ours_is_not_contained(kind: type[BaseException]) -> None:
    """An end that the user or the interpreter asks for passes."""
    with in_production(), pytest.raises(kind), contained("here"):
        raise kind
