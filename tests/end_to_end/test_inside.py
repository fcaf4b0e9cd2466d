"""What users' code does inside a run belongs to that run's span, wherever the code is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from langchain_core.tools import StructuredTool
from sentry_sdk import logger
from sentry_sdk.consts import DEFAULT_OPTIONS

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit import places
from tests.kit.async_context import needs_async_context
from tests.kit.inside import SURROUNDINGS, World, around, world
from tests.kit.pairwise import pairwise, parameters, table
from tests.kit.places import ALONE, ASYNC, PLACES, SYNC, Place
from tests.kit.wire import WIRE_SHAPES

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    """A server and a database."""
    with world() as found:
        yield found


def note(name: str) -> None:
    """Log, and send an event."""
    logger.info(name)
    sentry_sdk.capture_message(name)


def the(captured: Captured, name: str, op: str | None = None) -> CapturedSpan:
    """The only span of this name, or the only request to this path."""
    is_path = name.startswith("/")
    found = [
        span
        for span in captured.spans
        if (span.name.endswith(name) if is_path else span.name == name) and op in (None, span.op)
    ]
    assert len(found) == 1, f"{len(found)} spans are called {name!r}; there are:\n{captured.tree()}"
    return found[0]


def trace_of(items: list[tuple[str, Any]], kind: str, name: str) -> tuple[str, str | None]:
    """Trace and span of the only log or event with this text."""
    found: list[tuple[str, str | None]] = []
    for item, payload in items:
        if item == kind == "log":
            for each in (each for each in payload["items"] if each["body"] == name):
                older = each["attributes"].get("sentry.trace.parent_span_id", {})  # in older SDKs, as 2.44
                found.append((each["trace_id"], each.get("span_id") or older.get("value")))
        elif item == kind == "event" and payload.get("message") == name:
            context = payload["contexts"]["trace"]
            found.append((context["trace_id"], context.get("span_id")))
    assert len(found) == 1, (kind, name, found)
    return found[0]


CELLS = pairwise(
    (place, way, *where)
    for place, way in table((*PLACES, ALONE), places.WAYS)
    if way in place.ways
    for where in SURROUNDINGS
)


@pytest.mark.parametrize(("place", "way", "shape", "application"), parameters(CELLS))
@needs_async_context(lambda way: way not in SYNC)
async def test_what_is_done_inside_a_run_belongs_to_its_span(
    outside: World, place: Place, way: str, shape: str, application: bool
) -> None:
    """A request and its tracing header, a query, the user's span, a log and an event, of each place and way."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    consumed: list[str] = []

    def work(name: str) -> None:
        note(name)
        outside.work(shape, name)

    async def awork(name: str) -> None:
        note(name)
        await outside.awork(shape, name)

    def between() -> None:
        consumed.append(f"between{len(consumed)}")
        note(consumed[-1])

    with capture_spans(**WIRE_SHAPES[shape], enable_logs=True) as captured, around(shape, application):
        # Workaround: of two threads that are the first to log, at the same time, the SDK loses what one of them logs
        # while the other starts its batching thread (sentry-sdk 2.44 to 2.75).
        logger.info("before")
        await places.run(place.make(work, awork), way, place.question, config, between)
        await outside.awork(shape, "after")
        note("after")
    items = captured.items
    for name, expected in place.parents.items():
        parent = the(captured, expected)
        request = the(captured, f"/{name}", "http.client")
        for span in (request, the(captured, name)):
            assert span.parent_id == parent.span_id, captured.tree()
        assert any(span.parent_id == parent.span_id for span in captured.find_all(op="db")), captured.tree()
        assert outside.tracing[name] == f"{request.trace_id}-{request.span_id}-1"
        for kind in ("log", "event"):
            assert trace_of(items, kind, name) == (parent.trace_id, parent.span_id), kind
    outer = [span.span_id for span in captured.find_all(name="application")]
    inner = {span.span_id for span in captured.spans} - set(outer)
    for name in ("after", *consumed):
        _, span_id = trace_of(items, "event", name)
        assert span_id not in inner, name
        assert not outer or span_id == outer[0], name
    if application:
        assert the(captured, "/after", "http.client").parent_id == outer[0]


@pytest.mark.parametrize("way", ASYNC)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_async_completion_model_alone_is_as_without_us(outside: World, shape: str, way: str) -> None:
    """The one exception in `docs/runs.md`: what it does becomes a child of the application's span."""

    async def awork(name: str) -> None:
        await outside.awork(shape, name)

    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        config: Any = {"callbacks": [SentryStreamHandler()]}
        await places.run(ALONE.make(lambda name: None, awork), way, "Hi", config, lambda: None)
    assert the(captured, "/work", "http.client").parent_id == the(captured, "application").span_id


NOT_SAMPLED: dict[str, dict[str, Any]] = {
    "by rate": {"traces_sample_rate": 0.0},
    "by the sampler": {"traces_sampler": lambda context: 0.0},
}
"""Options with which a root of ours is not sent."""


@pytest.mark.parametrize(
    "place", [place for place in PLACES if place.name in ("node, a function", "tools", "chat model")], ids=str
)
@pytest.mark.parametrize("way", ["invoke", "astream"])
@pytest.mark.parametrize(("shape", "why"), [(shape, why) for shape in WIRE_SHAPES for why in NOT_SAMPLED])
@needs_async_context(lambda way: way == "astream")
async def test_inside_a_root_that_is_not_sampled_nothing_is(
    outside: World, place: Place, way: str, shape: str, why: str
) -> None:
    """No span is sent, and other services are told that the trace is not sampled, as with the SDK's own root."""

    def work(name: str) -> None:
        outside.work(shape, name)

    async def awork(name: str) -> None:
        await outside.awork(shape, name)

    outside.tracing.clear()
    with capture_spans(**WIRE_SHAPES[shape], **NOT_SAMPLED[why]) as captured:
        config: Any = {"callbacks": [SentryStreamHandler()]}
        await places.run(place.make(work, awork), way, place.question, config, lambda: None)
    assert captured.spans == []
    assert outside.tracing
    assert {header[-2:] for header in outside.tracing.values()} == {"-0"}
    assert len({header.partition("-")[0] for header in outside.tracing.values()}) == 1


@pytest.mark.skipif(
    "stream" not in WIRE_SHAPES or "ignore_spans" not in DEFAULT_OPTIONS,
    reason="needs streamed spans that can be ignored",
)
async def test_inside_a_root_that_is_ignored_nothing_is_sampled(outside: World) -> None:
    """`ignore_spans` may name a root of ours: then what happens inside is not sent either."""

    def node(state: Any) -> dict[str, Any]:
        outside.work("stream", "ignored")
        return {}

    outside.tracing.clear()
    options = {**WIRE_SHAPES["stream"], "ignore_spans": ["invoke_agent LangGraph"]}
    with capture_spans(**options) as captured:
        places.graph(node).invoke(places.ASKED, {"callbacks": [SentryStreamHandler()]})
    assert captured.spans == []
    assert {header[-2:] for header in outside.tracing.values()} == {"-0"}


@pytest.mark.parametrize("where", ["node", "tool"])
@pytest.mark.parametrize(("shape", "application"), SURROUNDINGS)
def test_a_tracked_stream_belongs_to_the_run_that_pulls_it(
    outside: World, shape: str, application: bool, where: str
) -> None:
    """Its span is a child of the node's or the tool's, its source's work of its own span, its consumer's of the run."""

    def source() -> Iterator[str]:
        outside.work(shape, "source")
        yield "one"

    def consume() -> str:
        for _ in track_stream(source(), model="gpt-4o-mini"):
            outside.work(shape, "consumer")
        return "done"

    def node(state: Any) -> dict[str, Any]:
        consume()
        return {}

    def look() -> str:
        """Look."""
        return consume()

    runnable: Any = places.graph(node) if where == "node" else StructuredTool.from_function(look)
    question: Any = places.ASKED if where == "node" else {}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, application):
        runnable.invoke(question, {"callbacks": [SentryStreamHandler()]})
    run = the(captured, "invoke_agent LangGraph" if where == "node" else "execute_tool look")
    stream = the(captured, "chat gpt-4o-mini")
    assert stream.parent_id == run.span_id
    assert the(captured, "source").parent_id == stream.span_id
    assert the(captured, "/source", "http.client").parent_id == stream.span_id
    assert the(captured, "consumer").parent_id == run.span_id
