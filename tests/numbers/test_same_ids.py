"""Calls at once under one `run_id`, which the caller gives: each is a run of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import same_ids
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit import HANG
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.trees.ways import settled
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed

SAME = UUID(int=7)
NAMES = ("one", "two", "three")
SHAPES = pytest.mark.parametrize("shape", list(WIRE_SHAPES))


class Meeting:
    """All calls are inside, before any goes on."""

    def __init__(self) -> None:
        self.threads = threading.Barrier(len(NAMES), timeout=HANG)
        self.there = 0
        self.all_there = asyncio.Event()

    def wait(self) -> None:
        """Wait in a thread."""
        self.threads.wait()

    async def await_(self) -> None:
        """Wait in a task."""
        self.there += 1
        if self.there == len(NAMES):
            self.all_there.set()
        await asyncio.wait_for(self.all_there.wait(), HANG)


@tool
def look(subject: str) -> str:
    """Look something up."""
    return subject


def chain(meeting: Meeting) -> Runnable[Any, Any]:
    """A tool and a model, below one chain; all calls are live at the same time, before and after the model."""

    def first(name: str) -> str:
        meeting.wait()
        return str(look.invoke({"subject": name}))

    async def afirst(name: str) -> str:
        await meeting.await_()
        return str(await look.ainvoke({"subject": name}))

    return RunnableLambda(first, afirst) | ScriptedModel()


def graph(meeting: Meeting) -> Runnable[Any, Any]:
    """The same as a graph, in two steps."""

    def first(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        meeting.wait()
        look.invoke({"subject": state["messages"][0].text}, config)
        return {}

    async def afirst(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        await meeting.await_()
        await look.ainvoke({"subject": state["messages"][0].text}, config)
        return {}

    async def asecond(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [await ScriptedModel().ainvoke(state["messages"], config)]}

    def second(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        return {"messages": [ScriptedModel().invoke(state["messages"], config)]}

    made = StateGraph(MessagesState)
    made.add_node("first", RunnableLambda(first, afirst))
    made.add_node("second", RunnableLambda(second, asecond))
    made.add_edge(START, "first")
    made.add_edge("first", "second")
    return made.compile()


def model(meeting: Meeting) -> Runnable[Any, Any]:
    """A bare model."""

    class Waiting(ScriptedModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            meeting.wait()
            return super()._generate(*args, **kwargs)

        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            meeting.wait()
            yield from super()._stream(*args, **kwargs)

        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await meeting.await_()
            return super()._generate(*args, **kwargs)

        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            await meeting.await_()
            for chunk in super()._stream(*args, **kwargs):
                yield chunk

    return Waiting()


def asked(make: Callable[[Meeting], Any], name: str) -> Any:
    return {"messages": [("user", name)]} if make is graph else name


def config(name: str, *handlers: Any) -> RunnableConfig:
    return {"callbacks": list(handlers), "run_id": SAME, "run_name": name, "metadata": {"conversation_id": name}}


async def at_once(make: Callable[[Meeting], Any], way: str, *handlers: SentryStreamHandler) -> None:
    """Call it three times at once."""
    app = make(Meeting())

    def call(name: str) -> Any:
        if way == "stream":
            return list(app.stream(asked(make, name), config(name, *handlers)))
        return app.invoke(asked(make, name), config(name, *handlers))

    async def acall(name: str) -> Any:
        if way == "astream":
            return [each async for each in app.astream(asked(make, name), config(name, *handlers))]
        return await app.ainvoke(asked(make, name), config(name, *handlers))

    if way in ("ainvoke", "astream"):
        await asyncio.gather(*map(acall, NAMES))
        for handler in handlers:
            await settled(handler)
    else:
        with ThreadPoolExecutor(len(NAMES)) as pool:
            list(pool.map(call, NAMES))


@needs_async_context(lambda way: is_async(way))
@SHAPES
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("make", [chain, graph], ids=["chain", "graph"])
async def test_each_of_three_calls_has_its_own_tree(make: Any, way: str, shape: str) -> None:
    """Each has its pipeline or agent, its tool, and its model call with the model's tokens."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await at_once(make, way, handler)
    assert handler.live_runs == 0
    roots: dict[str | None, CapturedSpan] = {span.span_id: span for span in captured.spans if span.name.endswith(NAMES)}
    assert len(roots) == len({span.trace_id for span in captured.spans}) == 3
    for op in ("gen_ai.execute_tool", "gen_ai.chat"):
        spans = captured.find_all(op=op)
        assert {roots[span.parent_id].name.split()[-1] for span in spans} == set(NAMES)
        for span in spans:
            name = roots[span.parent_id].name.split()[-1]
            assert span.trace_id == roots[span.parent_id].trace_id
            assert span.attributes["langchain_stream.outcome"] == "completed"
            if op == "gen_ai.execute_tool":
                assert name in span.attributes["gen_ai.tool.call.arguments"]
            else:
                assert name in span.attributes["gen_ai.input.messages"]


@SHAPES
@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
async def test_each_of_three_bare_model_calls_is_a_span(way: str, shape: str) -> None:
    """The events of a model reach the call that they are of: no chunk is counted twice, no tokens are lost."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await at_once(model, way, handler)
    assert handler.live_runs == 0
    spans = captured.find_all(op="gen_ai.chat")
    questions = [span.attributes["gen_ai.input.messages"] for span in spans]
    assert [sum(f'"{name}"' in question for question in questions) for name in NAMES] == [1, 1, 1]
    assert len({span.trace_id for span in spans}) == 3
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as alone:
        if way in ("ainvoke", "invoke"):
            ScriptedModel().invoke("one", {"callbacks": [handler]})
        else:
            list(ScriptedModel().stream("one", {"callbacks": [handler]}))
    (expected,) = alone.find_all(op="gen_ai.chat")
    for key in ("gen_ai.usage.output_tokens", "langchain_stream.outcome", "langchain_stream.chunks", "cache.hit"):
        assert {span.attributes.get(key) for span in spans} == {expected.attributes.get(key)}


@SHAPES
async def test_two_handlers_of_each_call_share_its_run(shape: str) -> None:
    """With two handlers, a call is one span still, and the three calls are three."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await at_once(model, "ainvoke", handlers := SentryStreamHandler(), other := SentryStreamHandler("other"))
    assert len(captured.find_all(op="gen_ai.chat")) == 3
    assert handlers.live_runs == other.live_runs == 0


@SHAPES
def test_streams_that_one_thread_reads_in_turn_are_three_calls(shape: str) -> None:
    """Their chunks arrive in turns, in the same context. Each is counted where it belongs."""
    handler = SentryStreamHandler()
    app = RunnableLambda(lambda name: name) | ScriptedModel()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        streams = [app.stream(name, config(name, handler)) for name in NAMES]
        counts = [0 for _ in streams]
        while streams:
            for number, stream in enumerate(list(streams)):
                if next(stream, None) is None:
                    streams.remove(stream)
                else:
                    counts[number] += 1
    assert handler.live_runs == 0
    roots: dict[str | None, CapturedSpan] = {span.span_id: span for span in captured.spans if span.name.endswith(NAMES)}
    models = captured.find_all(op="gen_ai.chat")
    assert {roots[span.parent_id].name for span in models} == {span.name for span in roots.values()}
    assert len(roots) == 3
    assert len({span.attributes["langchain_stream.chunks"] for span in models}) == 1
    assert {span.attributes["langchain_stream.outcome"] for span in captured.spans} == {"completed"}


def test_a_handler_that_is_listed_twice_makes_one_run() -> None:
    """The list of one call names it twice: that is no further call."""
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        ScriptedModel().invoke("one", config("one", handler, handler))
    assert len(captured.find_all(op="gen_ai.chat")) == 1


@SHAPES
def test_a_call_inside_a_run_of_the_same_id_is_its_child(shape: str) -> None:
    """A step that passes the whole config on, the id included, does not end the run around it."""
    handler = SentryStreamHandler()

    def step(name: str) -> str:
        return ScriptedModel().invoke(name, {"run_id": SAME}).text

    app = RunnableLambda(step) | RunnableLambda(lambda text: text)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        app.invoke("one", config("one", handler))
    (span,) = captured.find_all(op="gen_ai.chat")
    (root,) = [each for each in captured.spans if each.span_id == span.parent_id]
    assert root.end >= span.end
    assert root.name == "one"
    assert handler.live_runs == 0


async def test_what_the_application_asks_about_is_the_call_that_it_asks_from() -> None:
    """`run_info` knows each under the id that was given, inside of the call."""
    handler = SentryStreamHandler()
    meeting = Meeting()
    seen: dict[str, Any] = {}

    async def ask(name: str) -> str:
        await meeting.await_()
        info = handler.run_info(SAME)
        assert info is not None
        seen[name] = (info.run_id, info.name)
        return name

    with capture_spans():
        app: Runnable[str, str] = RunnableLambda(ask)
        await asyncio.gather(*(app.ainvoke(name, config(name, handler)) for name in NAMES))
    assert seen == {name: (SAME, name) for name in NAMES}


@SHAPES
def test_calls_that_start_in_the_same_moment_are_two(shape: str) -> None:
    """Both starts are under way, here in `redact`, before either run is live."""
    both = threading.Barrier(2, timeout=HANG)
    met = threading.local()

    def redact(text: str) -> str:
        if not getattr(met, "already", False):
            met.already = True
            both.wait()
        return text

    handler = SentryStreamHandler(redact=redact)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: ScriptedModel().invoke(name, config(name, handler)), NAMES[:2]))
    spans = captured.find_all(op="gen_ai.chat")
    questions = [span.attributes["gen_ai.input.messages"] for span in spans]
    assert [sum(f'"{name}"' in question for question in questions) for name in NAMES[:2]] == [1, 1]
    assert [span.attributes["langchain_stream.outcome"] for span in spans] == ["completed", "completed"]
    assert handler.live_runs == 0


def test_the_ids_of_runs_that_have_ended_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls have shared an id, as few as are allowed are remembered after their end."""
    monkeypatch.setattr(same_ids, "_MOST", 2)
    monkeypatch.setattr(same_ids, "_order", [])
    monkeypatch.setattr(same_ids, "again", {})
    config: Any = {"callbacks": [SentryStreamHandler(chains=True)], "run_id": SAME}

    def named(name: str) -> Any:
        return {**config, "run_name": name}

    def ask(text: str) -> str:
        return str(RunnableLambda(str).invoke(text, named("inner")))

    with capture_spans() as captured:
        for _ in range(5):
            RunnableLambda(ask).invoke("Hi", named("outer"))
    assert [len(captured.find_all(name=name)) for name in ("outer", "inner")] == [5, 5]
    assert [len(each) for each in (same_ids._order, same_ids.again[SAME])] == [2, 2]
