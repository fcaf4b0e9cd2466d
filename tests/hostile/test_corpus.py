"""Whatever an application puts wherever, it gets what it gets without the handler."""

from __future__ import annotations

import gc
import json
import os
import re
import sys
from types import GeneratorType
from typing import Any

import pytest
import sentry_sdk
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.hostile import corpus
from tests.hostile.corpus import PLACES, VALUES
from tests.kit import garbage
from tests.kit.counting import calls
from tests.kit.pairwise import pairwise, parameters, table
from tests.kit.parts import strictly
from tests.kit.wire import WIRE_SHAPES, content_allowed

pytestmark = [pytest.mark.usefixtures("lenient"), pytest.mark.filterwarnings("ignore")]

CANARY = "canary7d41"
MEGABYTE = 1_000_000
MODES = ("content off", "content on", "redact")
_FIELDS = ("content", "tool_calls", "usage_metadata", "response_metadata", "page_content", "metadata")


def seen(value: Any, depth: int = 8) -> Any:
    """What an application sees of a value, without asking the value for anything."""
    kind = type(value)
    if kind is str:
        return re.sub(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}", "", value)
    if kind in (int, bool, bytes, float, type(None)):
        return repr(value) if kind is float else value
    if kind is GeneratorType:
        return ["generator", *value]  # which nobody has read before
    if depth and kind in (list, tuple):
        return [kind.__name__, *(seen(each, depth - 1) for each in value)]
    if depth and kind is dict:
        return [(seen(key, depth - 1), seen(each, depth - 1)) for key, each in value.items()]
    if depth and issubclass(kind, (BaseMessage, Document)):
        return kind.__name__, [seen(vars(value).get(name), depth - 1) for name in _FIELDS]
    return kind.__name__


def outcome(place: str, value: Any, *handlers: Any) -> Any:
    """What an application gets: a result, or an exception with all that can be seen of it."""
    try:
        return "returned", seen(PLACES[place].run(value, {"callbacks": list(handlers)}))
    except Exception as error:
        causes = [type(cause).__name__ for cause in (error.__cause__, error.__context__)]
        return "raised", type(error).__name__, seen(error.args), sorted(vars(error)), causes


def redacted(text: str) -> str:
    return text.replace(CANARY, "[redacted]")


# Each value in a place, another one for the next value; all places with `HYPOTHESIS_PROFILE=thorough`.
EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 24


def chosen(value: str, place: str, *_: str) -> bool:
    """Whether a value is tried in a place."""
    is_turn = (list(VALUES).index(value) + list(PLACES).index(place)) % EVERY == 0
    return (is_turn or (value, place) in corpus.ALWAYS) and corpus.possible(value, place)


CELLS = pairwise(table(VALUES, PLACES, MODES, WIRE_SHAPES, possible=chosen))


@pytest.mark.parametrize(("value", "place", "mode", "shape"), parameters(CELLS))
def test_nothing_changes_for_the_application(value: str, place: str, mode: str, shape: str) -> None:
    """It gets the same result or exception; what is sent is JSON, small, and says no more than it may."""
    without = outcome(place, VALUES[value](CANARY))
    redact = redacted if mode == "redact" else None
    handler = SentryStreamHandler(metadata_keys=["tenant"], metrics=True, redact=redact)
    allowed = mode != "content off"
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        with_handler = outcome(place, VALUES[value](CANARY), handler)
        # Where LangChain itself fails, on a chunk or a result, it signals no end: the run ends when its call is gone.
        assert handler.live_runs == 0 or (with_handler[0] == "raised" and gc.collect() >= 0 and handler.live_runs == 0)
    assert with_handler == without
    assert captured.envelopes or with_handler[0] == "raised"  # LangChain refuses some before any run
    for envelope in captured.envelopes:
        assert len(envelope) < MEGABYTE
        for item in Envelope.deserialize(envelope).items:
            json.loads(item.payload.get_bytes(), parse_constant=strictly)
    if mode != "content on" and not PLACES[place].is_name:
        assert not any(CANARY.encode() in envelope for envelope in captured.envelopes)


MOST_CALLS = 20_000
MOST_CALLS_PER_ITEM = 30
"""Of functions of ours, for a run with whatever value."""


def items(value: Any) -> int:
    """How many messages or texts an application gave, if it is a plain list."""
    return len(value) if type(value) is list else 0


@pytest.fixture
def quick_collections() -> None:
    """Of what is there already, no collection looks at anything."""
    garbage.leave_out()


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("place", PLACES)
def test_no_value_costs_much_or_is_kept(place: str) -> None:
    """The work for a value is bounded, counted in calls, and when the run is over nothing of ours keeps the value."""
    handler = SentryStreamHandler(metadata_keys=["tenant"], metrics=True, redact=redacted)
    dear, kept = {}, {}
    turn = list(PLACES).index(place) + 1
    for name in (name for number, name in enumerate(VALUES) if (number + turn) % EVERY == 0):
        if not corpus.possible(name, place):
            continue
        references = []
        for handlers in ((), (handler,)):
            box = [VALUES[name](CANARY)]  # whoever reads this frame's variables for an issue keeps them
            with capture_spans(**content_allowed(True)):
                made = calls(lambda box=box, handlers=handlers: outcome(place, box[0], *handlers))  # type: ignore[misc]
                sentry_sdk.flush()  # a failure is held until somebody reports it
            if made > MOST_CALLS + MOST_CALLS_PER_ITEM * items(box[0]):
                dear[name] = made
            gc.collect()
            references.append(sys.getrefcount(box[0]))
        if gc.is_tracked(box[0]) and references[1] > references[0]:  # nobody else has it
            kept[name] = references
    assert (dear, kept) == ({}, {})
