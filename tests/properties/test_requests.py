"""What LangChain tells of a run besides its content: whatever it is, it becomes plain values, or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import re
from math import isfinite
from typing import Any, get_args
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from sentry_langchain_stream._content.labels import conversation_id, user_labels
from sentry_langchain_stream._content.policy import NOTHING, Policy
from sentry_langchain_stream._content.reading import as_text
from sentry_langchain_stream._from_langchain import marks, stream_events
from sentry_langchain_stream._runs.kinds import Control, Outcome
from sentry_langchain_stream._runs.parameters import _NESTED, PARAMETERS, request_parameters
from sentry_langchain_stream._runs.start import Start
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._vocabulary.keys import METADATA, TAGS
from sentry_langchain_stream._vocabulary.names import DEFAULT_AGENT
from tests.kit.strategies import in_production, payloads, policies, scalars, texts, values

# -- Request parameters ----------------------------------------------------------------------------------------

spellings = st.sampled_from(sorted({name for names, _ in PARAMETERS.values() for name in names} | {*_NESTED}))
sources = st.lists(
    st.one_of(
        payloads(spellings),
        st.dictionaries(spellings, st.one_of(st.integers(0, 9), st.floats(0, 2), st.just(["END"])), max_size=6),
    ),
    max_size=3,
)


@given(sources)
def test_request_parameters_have_the_types_that_they_should(given_sources: list[dict[str, Any]]) -> None:
    """Whatever is passed to a model, a parameter is of the type of its fact, or is left out."""
    with in_production():
        found = request_parameters(given_sources)
    for name, value in found.items():
        if name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
            assert type(value) is float
            assert isfinite(value)
        elif name in ("top_k", "max_tokens"):
            assert type(value) is int
            assert value >= 0
        elif name in ("seed", "reasoning"):
            assert isinstance(value, str)
            assert value
        else:
            assert name == "stop"
            assert value
            assert all(isinstance(each, str) for each in value)


@given(spellings, st.integers(0, 1_000), st.integers(0, 1_000), st.sampled_from([None, *_NESTED]))
def test_the_source_that_stands_first_has_the_last_word(spelling: str, first: int, second: int, below: Any) -> None:
    """Of two values of one parameter the first is taken, also where it lies further down."""
    given_first: dict[str, Any] = {spelling: first}
    found = request_parameters([{below: given_first} if below else given_first, {spelling: second}])
    assert found == request_parameters([given_first])


@given(values())
def test_a_text_is_a_text_or_a_number(value: Any) -> None:
    """A name is a text that says something, or a number of sensible size, as it is spelled."""
    text = as_text(value)
    if isinstance(value, str):
        assert text == (value or None)
    elif text is not None:
        assert type(value) is int
        assert int(text) == value


# -- Stream events ---------------------------------------------------------------------------------------------

event_names = st.sampled_from(
    [
        *("event", "delta", "content", "content_block", "fields", "type", "text", "usage", "index", "id", "name"),
        *("args", "reasoning", "input_tokens", "output_tokens", "extras", "annotations"),
    ]
)
kinds = st.sampled_from(
    ["message-start", "content-block-start", "content-block-delta", "content-block-finish", "message-finish", "error"]
)
v3_events = st.one_of(
    values(event_names, leaves=6),
    st.builds(lambda kind, event: {**event, "event": kind}, kinds, payloads(event_names)),
    st.builds(
        lambda kind, block: {"event": "content-block-delta", kind: block},
        st.sampled_from(["delta", "content_block"]),
        payloads(event_names),
    ),
)


@given(v3_events)
def test_whatever_a_stream_brings_is_read(event: Any) -> None:
    """Of any stream event there is a text, whether it counts, and a usage or none; only a delta has text."""
    text, brings, usage = stream_events.read(event)
    assert isinstance(text, str)
    assert isinstance(brings, bool)
    assert usage is None or isinstance(usage, Usage)
    kind = event.get("event") if isinstance(event, dict) else None
    assert not text or (brings and kind == "content-block-delta")
    assert usage is None or kind == "message-finish"
    assert stream_events.failed(event) == (kind == "error")


@given(st.lists(st.text(max_size=5), max_size=8), st.sampled_from(["delta", "content_block"]))
def test_the_pieces_make_the_text(pieces: list[str], name: str) -> None:
    """Of a stream of text deltas the pieces are the text, and those that are empty count for nothing."""
    stream = [{"event": "content-block-delta", name: {"type": "text-delta", "text": piece}} for piece in pieces]
    read = [stream_events.read(event) for event in stream]
    assert "".join(text for text, _, _ in read) == "".join(pieces)
    assert [brings for _, brings, _ in read] == [bool(piece) for piece in pieces]


# -- Tags, metadata and endings --------------------------------------------------------------------------------

tags = st.one_of(
    texts,
    st.builds(
        lambda kind, rest: f"{kind}{rest}",
        st.sampled_from(["seq:step:", "graph:step:", "retry:attempt:", "map:key:", "condition:", "langsmith:", ""]),
        st.one_of(st.integers(-3, 10**6).map(str), st.text(max_size=5)),
    ),
    scalars,
)
metadata_names = st.sampled_from(
    ["conversation_id", "session_id", "thread_id", "lc_agent_name", "langgraph_node", "ls_integration", "plan", "user"]
)
starts = st.builds(
    lambda name, found, metadata: marks.read_start("chain", UUID(int=1), None, metadata, {"name": name, "tags": found}),
    st.one_of(st.none(), texts, st.just(DEFAULT_AGENT)),
    st.lists(tags, max_size=30),
    st.one_of(payloads(metadata_names), st.dictionaries(metadata_names, texts, max_size=4)),
)


@given(starts)
def test_whatever_a_start_says_it_is_read(start: Start) -> None:
    """Tags and metadata of any kind mark a node, a graph, an attempt and an agent's name, or nothing."""
    assert not (start.kind == "agent" and start.is_node)
    assert start.agent_name is None or isinstance(start.agent_name, str)
    assert start.attempt is None or (type(start.attempt) is int and start.attempt >= 0)


@given(st.integers(0, 10**9), st.lists(st.text(max_size=5), max_size=4))
def test_an_attempt_is_the_number_in_its_tag(number: int, others: list[str]) -> None:
    """The attempt is read from its own tag, whatever stands before it."""
    before = [tag for tag in others if not tag.startswith("retry:attempt:")]
    assert marks.attempt([*before, f"retry:attempt:{number}"]) == number


@given(starts)
def test_a_conversation_is_opaque(start: Start) -> None:
    """The id of a conversation is at most 128 letters, digits, dots and dashes, else a hash of it."""
    found = conversation_id(start.metadata)
    assert found == conversation_id(dict(start.metadata))
    if found is None:
        return
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", found)
    ids = (start.metadata.get(name) for name in ("conversation_id", "session_id", "thread_id"))
    texts_told = (str(each) for each in ids if type(each) is not bool and isinstance(each, (str, int, UUID)))
    told = next(text for text in texts_told if text)
    if found != told:
        assert found == hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:32]


@given(starts, st.lists(metadata_names, max_size=4), policies)
def test_labels_are_short_texts_under_their_keys(start: Start, keys: list[str], policy: Policy) -> None:
    """The user's tags and chosen metadata become texts of 200 characters at most, none of LangChain's among them."""
    assert user_labels(start.tags, start.metadata, keys, NOTHING) == {}
    found = user_labels(start.tags, start.metadata, keys, policy)
    assert set(found) <= {TAGS, *(METADATA + key for key in start.metadata)} & {TAGS, *(METADATA + key for key in keys)}
    told = found.get(TAGS, [])
    assert isinstance(told, list)
    assert len(told) <= 20
    for text in (*told, *(value for key, value in found.items() if key != TAGS)):
        assert isinstance(text, str)
        assert 0 < len(text) <= 200
        text.encode("utf-8")
        assert not text.startswith(("seq:step:", "graph:step:", "retry:attempt:", "langsmith:")) or text not in told


class GraphBubbleUp(Exception):
    """Named like LangGraph's own."""


class GraphInterrupt(GraphBubbleUp):
    """Likewise."""


class ParentCommand(GraphBubbleUp):
    """Likewise."""


errors = st.sampled_from(
    [
        *(GeneratorExit, asyncio.CancelledError, KeyboardInterrupt, SystemExit, GraphBubbleUp, GraphInterrupt),
        *(ParentCommand, ValueError, OSError, AssertionError),
    ]
)


@given(errors)
def test_every_ending_is_one_of_four(kind: type[BaseException]) -> None:
    """Any exception tells one of the outcomes; only one that hands control upwards tells how."""
    error = kind("x")
    outcome, control = marks.outcome(error), marks.control(error)
    assert outcome in get_args(Outcome)
    assert control is None or (control in get_args(Control) and outcome == "completed")
    assert (outcome == "failed") == (isinstance(error, Exception) and not isinstance(error, GraphBubbleUp))
