"""One handler for a whole application: many threads, and runs that end in somebody else's context."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.helpers import Clock, handler_on
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, content_allowed, fake_model


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_many_threads_lose_no_run(shape: str) -> None:
    """Eight threads with one handler: every call has its span below its own pipeline."""
    handler = SentryStreamHandler()

    def work(_: int) -> None:
        for _ in range(25):
            fake_model().invoke("Hi", config={"callbacks": [handler]})

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(8)))
        roots, models = captured.find_all(op="function"), captured.find_all(op="gen_ai.chat")
    assert len(roots) == len(models) == 200
    assert {span.parent_id for span in models} == {span.span_id for span in roots}
    assert {span.attributes["langchain_stream.outcome"] for span in roots + models} == {"completed"}
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_run_is_not_idle_while_it_starts(shape: str) -> None:
    """Another run that starts in the middle of a run's start does not take it for one that is idle."""
    handler: SentryStreamHandler
    asked: list[str] = []

    starting, ended = Event(), Event()

    def elsewhere() -> None:  # what runs inside `redact` is not followed
        starting.wait(HANG)
        fake_model().invoke([], config={"callbacks": [handler]})
        ended.set()

    def redact(text: str) -> str:
        if not asked:
            asked.append(text)
            starting.set()
            assert ended.wait(HANG)
        return text

    handler = handler_on(Clock(100_000.0), redact=redact)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        other = Thread(target=elsewhere)
        other.start()
        fake_model().invoke([], config={"callbacks": [handler], "tags": ["beta"]})
        other.join()
    assert asked == ["beta"]
    assert [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")] == [
        "completed",
        "completed",
    ]


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_children_that_start_while_their_parent_ends_are_finished(shape: str) -> None:
    """A model that starts in one thread while its chain ends in another has one span, and it is sent."""
    handler = SentryStreamHandler()
    hooks: Any = handler
    with capture_spans(**WIRE_SHAPES[shape]) as captured, ThreadPoolExecutor(2) as threads:
        for _ in range(150):
            chain, model = uuid4(), uuid4()
            hooks.on_chain_start({}, {}, run_id=chain)
            start = threads.submit(hooks.on_llm_start, {}, ["Hi"], run_id=model, parent_run_id=chain)
            end = threads.submit(hooks.on_chain_end, {}, run_id=chain)
            start.result()
            end.result()
            hooks.on_llm_error(asyncio.CancelledError(), run_id=model)
    models = captured.find_all(op="gen_ai.text_completion")
    assert len(models) == len({span.span_id for span in models}) == 150
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_run_that_ends_in_another_request_keeps_its_own_user(shape: str) -> None:
    """Whoever's request sweeps up or closes a stream, its spans carry the user of the request that it is of."""
    handler = SentryStreamHandler(max_live_runs=1)

    async def request(user: str) -> Any:
        with sentry_sdk.isolation_scope() as scope:
            scope.set_user({"id": user})
            stream: Any = ScriptedModel().astream("Hi", config={"callbacks": [handler]})
            await anext(stream)
            return stream

    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        streams = [await asyncio.create_task(request(user)) for user in ("alice", "bob")]
        with sentry_sdk.isolation_scope() as scope:
            scope.set_user({"id": "carol"})
            for stream in streams:
                await stream.aclose()
    users = [span.attributes["user.id"] for span in captured.spans if "user.id" in span.attributes]
    users += [payload["user"]["id"] for kind, payload in captured.items if kind == "transaction"]
    assert set(users) == {"alice", "bob"}


def test_a_run_tree_may_be_deep() -> None:
    """A tree thousands of runs deep ends like any other, and the starts of others go on meanwhile."""
    handler = SentryStreamHandler()
    hooks: Any = handler
    with capture_spans() as captured:
        top = above = uuid4()
        hooks.on_chain_start({}, {}, run_id=top)
        for _ in range(3_000):
            below = uuid4()
            hooks.on_chain_start({}, {}, run_id=below, parent_run_id=above)
            above = below
        hooks.on_llm_start({}, ["Hi"], run_id=uuid4(), parent_run_id=above)
        fake_model().invoke("Hi", config={"callbacks": [handler]})
        hooks.on_chain_end({}, run_id=top)
    assert handler.live_runs == 0
    assert captured.find(op="gen_ai.text_completion").attributes["langchain_stream.outcome"] == "abandoned"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_capture_inside_of_a_span_captures(shape: str) -> None:
    """`capture_spans` inside an application's own span sees the runs in it; the application's client does not."""
    with capture_spans(**WIRE_SHAPES[shape]) as outer, active_span(shape), capture_spans(**WIRE_SHAPES[shape]) as inner:
        fake_model().invoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert len(inner.find_all(op="gen_ai.chat")) == 1
    assert outer.find_all(op="gen_ai.chat") == []


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_sampler_has_the_last_word_over_the_rate(shape: str) -> None:
    """With a `traces_sampler` each run of a loop is sampled separately, though a rate of 1.0 is set besides."""
    with capture_spans(**WIRE_SHAPES[shape], traces_sampler=lambda _: 0.5) as captured:
        for _ in range(100):
            fake_model().invoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert 10 < len(captured.find_all(op="function")) < 90


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_chain_that_is_read_in_a_thread_and_closed_in_a_task_was_left(shape: str) -> None:
    """As Starlette does with a sync stream whose client disconnects: neither the chain nor its model has completed."""
    chain: Any = RunnableLambda(str) | fake_model("one two three")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = chain.stream("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
        await asyncio.to_thread(next, stream)
        stream.close()
    assert {span.attributes["langchain_stream.outcome"] for span in captured.spans} == {"abandoned"}
    assert [span.op for span in captured.spans if span.name == "bot"] == ["function"]


def test_a_chain_that_ends_in_the_midst_of_sending_waits_for_nobody() -> None:
    """Garbage collection may end it while this thread has what another thread, which has the tree, is waiting for."""
    handler: Any = SentryStreamHandler()
    chain: Any = RunnableLambda(str) | fake_model("one two") | RunnableLambda(lambda message: message.text)
    with capture_spans(**WIRE_SHAPES["stream"]), active_span("stream"):
        stream = chain.stream("Hi", {"callbacks": [handler]})
        next(stream)
        tree = next(iter(handler._runs._runs.values())).tree
        taken, done = Event(), Event()

        def hold() -> None:
            with tree.lock:
                taken.set()
                done.wait(HANG)

        holder = Thread(target=hold)
        holder.start()
        taken.wait(HANG)

        def close() -> None:
            client: Any = sentry_sdk.get_client()
            client.span_batcher._active.flag = True  # as while it adds a span
            stream.close()
            done.set()

        closer = Thread(target=close)
        closer.start()
        closer.join(10)
        is_closed = done.is_set()
        done.set()
        closer.join(HANG)
        holder.join(HANG)
    assert is_closed


@pytest.mark.parametrize("closed_in", ["task", "thread"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_chain_that_is_read_in_a_task_and_closed_elsewhere_was_left(shape: str, closed_in: str) -> None:
    """As asyncio does with an async generator around a sync stream, which is dropped: a task of its own closes it."""
    chain: Any = RunnableLambda(str) | fake_model("one two three")

    async def do(work: Any, *args: Any) -> None:
        work(*args)

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = chain.stream("Hi", {"callbacks": [SentryStreamHandler(pipeline_name="bot")]})
        await asyncio.create_task(do(next, stream))
        await (asyncio.create_task(do(stream.close)) if closed_in == "task" else asyncio.to_thread(stream.close))
    assert {span.attributes["langchain_stream.outcome"] for span in captured.spans} == {"abandoned"}
    assert [span.op for span in captured.spans if span.name == "bot"] == ["function"]
