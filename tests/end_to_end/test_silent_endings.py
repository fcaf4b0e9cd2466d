"""Runs that LangChain never ends, or ends strangely, end all the same: the rest of the ways to stop early."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import textwrap
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManager
from langchain_core.output_parsers import StrOutputParser
from langchain_core.rate_limiters import InMemoryRateLimiter
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.endings import LEAVES, cancel_when, read, turns
from tests.kit.fresh import Fresh
from tests.kit.helpers import Clock, collect
from tests.kit.pairwise import in_pairs
from tests.kit.subjects import SUBJECTS
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, fake_model, needs_v3

CLOCK = Clock()


class ClockedHandler(SentryStreamHandler):
    """A handler whose time the test moves."""

    clock = staticmethod(CLOCK)


def told(captured: Captured, op: str = "gen_ai.chat") -> list[Any]:
    return [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op=op)]


async def settle(handler: SentryStreamHandler) -> None:
    """Let the loop turn until no run is live, within bounds."""
    for _ in range(100):
        if not handler.live_runs:
            return
        await asyncio.sleep(0)


async def collected(handler: SentryStreamHandler) -> None:
    """Settle where exceptions hold frames, and the loop holds the exceptions for a turn."""
    for _ in range(3):
        await asyncio.sleep(0)
        collect()
        await settle(handler)


def forever(_: int) -> Any:
    return asyncio.Event().wait()


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_stream_cancelled_in_the_queue_of_a_rate_limiter(shape: str) -> None:
    """Cancelled while it waits for its turn, the model's run ends as cancelled, with no tokens."""
    limiter = InMemoryRateLimiter(requests_per_second=0.001, check_every_n_seconds=60)
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream = ScriptedModel(rate_limiter=limiter).astream("Hi", config={"callbacks": [handler]})
        await cancel_when(read(stream), turns(10))
        await settle(handler)
    assert told(captured) == ["cancelled"]
    assert "ai.total_tokens" not in captured.find(op="gen_ai.chat").attributes
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_fallbacks_left_at_their_first_chunk(shape: str) -> None:
    """LangChain forgets the run of the fallbacks when its consumer leaves at the first chunk; we do not."""
    handler = SentryStreamHandler()
    app = ScriptedModel().with_fallbacks([fake_model()])
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        async for _ in app.astream("Hi", config={"callbacks": [handler]}):
            break
        await settle(handler)
    assert told(captured) == told(captured, "function") == ["abandoned"]
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_fallback_that_is_left_ends_in_its_request(shape: str) -> None:
    """Of a fallback's stream that is left, LangChain ends the model and the chain, in any order, and nothing else."""
    app = RunnableLambda(_fail).with_fallbacks([RunnableLambda(str) | ScriptedModel()])
    for _ in range(4):  # the order changes from one to the next
        handler = SentryStreamHandler()
        with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
            stream: Any = app.stream("Hi", {"callbacks": [handler]})
            next(stream)
            stream.close()
            collect()
        assert told(captured) == told(captured, "function") == ["abandoned"]
        assert handler.live_runs == 0


@pytest.mark.parametrize("in_request", [False, True])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_batch_with_fallbacks_that_is_cancelled_ends(shape: str, in_request: bool) -> None:
    """`abatch` starts its runs in tasks of their own, and signals no end of them when it is cancelled."""
    app = ScriptedModel(before=forever).with_fallbacks([ScriptedModel()])
    handler: Any = SentryStreamHandler(pipeline_name="bot")
    request = active_span(shape) if in_request else contextlib.nullcontext()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, request:
        await cancel_when(app.abatch(["one", "two"], {"callbacks": [handler]}), turns(60))
        await collected(handler)
    roots = captured.find_all(name="bot")
    assert told(captured) == [root.attributes["langchain_stream.outcome"] for root in roots] == ["cancelled"] * 2
    assert {span.parent_id for span in captured.find_all(op="gen_ai.chat")} == {root.span_id for root in roots}
    assert handler.live_runs == 0


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("kind", ["sequence", "retry", "fallbacks"])
async def test_a_batch_that_is_cancelled_at_its_start_leaves_nothing(kind: str, number: int) -> None:
    """In whichever turn of the loop `abatch` is cancelled, its runs end."""
    app: Any = ScriptedModel(before=forever) | StrOutputParser()
    app = {"sequence": app, "retry": app.with_retry(), "fallbacks": app.with_fallbacks([ScriptedModel()])}[kind]
    handler: Any = SentryStreamHandler()
    with capture_spans() as captured:
        await cancel_when(app.abatch(["one", "two"], {"callbacks": [handler]}), turns(number))
        await collected(handler)
    assert captured.open_runs == []


@pytest.mark.parametrize("way", ["batch", "abatch"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_batch_with_fallbacks_that_raises_has_failed(shape: str, way: str) -> None:
    """LangChain ends none of its calls where no fallback is for the exception."""
    app: Any = ScriptedModel(before=_fail).with_fallbacks([ScriptedModel()], exceptions_to_handle=(KeyError,))
    handler: Any = SentryStreamHandler(pipeline_name="bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with contextlib.suppress(ValueError):
            found = getattr(app, way)(["one", "two"], {"callbacks": [handler]})
            await found if way == "abatch" else None
        await collected(handler)
    roots = captured.find_all(name="bot")
    assert [root.attributes["langchain_stream.outcome"] for root in roots] == ["failed"] * 2
    assert handler.live_runs == 0


async def test_a_chain_that_is_started_by_hand_in_a_task_goes_on() -> None:
    """Whoever drives LangChain's callbacks may drop their manager, and go on with that of the run."""
    handler: Any = SentryStreamHandler(pipeline_name="bot")

    async def begin() -> Any:
        manager = AsyncCallbackManager.configure(inheritable_callbacks=[handler])
        return await asyncio.create_task(manager.on_chain_start({"name": "mine"}, {"question": "Hi"}))

    with capture_spans() as captured:
        started = await begin()
        await asyncio.sleep(0)
        await fake_model().ainvoke("Hi", {"callbacks": started.get_child()})
        await started.on_chain_end({})
    root, call = captured.find(name="bot"), captured.find(op="gen_ai.chat")
    assert (root.attributes["langchain_stream.outcome"], call.parent_id) == ("completed", root.span_id)


def _fail(_: Any) -> Any:
    raise ValueError("failed")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_several_prompts_of_one_call_share_a_pipeline(shape: str) -> None:
    """`agenerate` of three prompts is three model spans below one pipeline span, done or cancelled."""
    for model, outcome in ((ScriptedModel(), "completed"), (ScriptedModel(before=forever), "cancelled")):
        handler = SentryStreamHandler()
        prompts: Any = [["one"], ["two"], ["three"]]
        messages = [model._convert_input(prompt[0]).to_messages() for prompt in prompts]
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            await cancel_when(model.agenerate(messages, callbacks=[handler]), turns(60))
            await settle(handler)
        assert told(captured) == [outcome] * 3
        root = captured.find(op="function")
        assert {span.parent_id for span in captured.find_all(op="gen_ai.chat")} == {root.span_id}
        assert root.attributes["langchain_stream.outcome"] == outcome
        assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_sync_call_of_several_prompts_stops_at_the_one_that_fails(shape: str) -> None:
    """The sync `generate` forgets its other prompts; their runs end as cancelled, with one issue in all."""
    calls: list[int] = []

    def before(_: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("the second prompt failed")

    model = ScriptedModel(before=before)
    handler = SentryStreamHandler()
    messages = [model._convert_input(text).to_messages() for text in ("one", "two", "three")]
    with capture_spans(**WIRE_SHAPES[shape]) as captured, contextlib.suppress(ValueError):
        model.generate(messages, callbacks=[handler])
    assert sorted(told(captured)) == ["cancelled", "cancelled", "failed"]
    assert told(captured, "function") == ["failed"]
    assert len(captured.events) == 1
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_async_call_of_several_prompts_ends_each_as_it_ended(shape: str) -> None:
    """The async `agenerate` goes on with its other prompts when one fails, and each is told as it was."""
    calls: list[int] = []

    def before(_: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("the second prompt failed")

    model = ScriptedModel(before=before)
    handler = SentryStreamHandler()
    messages = [model._convert_input(text).to_messages() for text in ("one", "two", "three")]
    with capture_spans(**WIRE_SHAPES[shape]) as captured, contextlib.suppress(ValueError):
        await model.agenerate(messages, callbacks=[handler])
    assert sorted(told(captured)) == ["completed", "completed", "failed"]
    root = captured.find(op="function")
    assert (root.attributes["langchain_stream.outcome"], root.attributes["error.type"]) == ("failed", "ValueError")
    (issue,) = captured.events
    (failed,) = [span for span in captured.find_all(op="gen_ai.chat") if "error.type" in span.attributes]
    assert issue["contexts"]["trace"]["span_id"] == failed.span_id
    assert handler.live_runs == 0


class SlowRetriever(BaseRetriever):
    """A retriever that never answers, or is interrupted at once when it is sync."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        raise KeyboardInterrupt

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any) -> list[Any]:
        await asyncio.Event().wait()
        return []


async def _wait(question: str) -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return question


@pytest.mark.parametrize(
    ("app", "name"),
    [
        (SlowRetriever(), "retrieve SlowRetriever"),
        (StructuredTool.from_function(coroutine=_wait, name="wait"), "execute_tool wait"),
    ],
)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_cancelled_tool_or_retriever(shape: str, app: Any, name: str) -> None:
    """LangChain signals no end of a cancelled retriever or, up to core 1.7.4, of a cancelled async tool; both end."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        question: Any = "Hi" if isinstance(app, BaseRetriever) else {"question": "Hi"}
        await cancel_when(app.ainvoke(question, config={"callbacks": [handler]}), turns(10))
        await settle(handler)
    pipeline, own = captured.spans
    assert (own.name, own.parent_id) == (name, pipeline.span_id)
    assert [span.attributes["langchain_stream.outcome"] for span in (pipeline, own)] == ["cancelled"] * 2
    assert handler.live_runs == 0


@pytest.mark.parametrize("name", ["model", "chain", "graph", "agent"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_async_context(lambda name: name == "agent")
async def test_astream_events_left_early(shape: str, name: str) -> None:
    """A consumer that leaves `astream_events` cancels what runs below; every run ends and none is an issue."""
    subject = next(subject for subject in SUBJECTS if subject.name == name)
    handler = SentryStreamHandler()
    app: Any = subject.make(ScriptedModel(before=lambda number: forever(number) if number == 1 else None))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        events = app.astream_events(subject.question, config={"callbacks": [handler]}, version="v2")
        async for event in events:
            if event["event"] == "on_chat_model_stream":
                break
        await events.aclose()
        await settle(handler)
    (outcome,) = told(captured)
    assert outcome in ("cancelled", "abandoned")
    assert [event for event in captured.events if event.get("logger") != "asyncio"] == []
    assert handler.live_runs == 0


@in_pairs(shape=WIRE_SHAPES, name=("graph", "agent"), leave=LEAVES)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_async_context(lambda name: name == "agent")
async def test_a_graph_whose_tokens_are_streamed_is_left_early(shape: str, name: str, leave: str) -> None:
    """A consumer that leaves a graph in the middle of a model's answer: what had arrived is told, and no issue made."""
    subject = next(subject for subject in SUBJECTS if subject.name == name)
    handler = SentryStreamHandler()
    app: Any = subject.make(ScriptedModel(before=lambda number: forever(number) if number == 1 else None))
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        play, _ = LEAVES[leave]
        await play(app.astream(subject.question, config={"callbacks": [handler]}, stream_mode="messages"))
        await settle(handler)
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["langchain_stream.outcome"] in ("cancelled", "abandoned")
    assert span.attributes["langchain_stream.chunks"] == 1
    (outcome,) = told(captured, "gen_ai.invoke_agent")
    assert outcome in ("cancelled", "abandoned")
    assert [event for event in captured.events if event.get("logger") != "asyncio"] == []
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_idle_run_is_ended_and_says_so(shape: str) -> None:
    """A run that nothing ends is ended once it has been idle too long, like that of an interruption that is kept."""
    handler = ClockedHandler(max_idle_seconds=60)
    kept: list[BaseException] = []
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        try:
            SlowRetriever().invoke("Hi", config={"callbacks": [handler]})
        except KeyboardInterrupt as error:
            kept.append(error)  # its traceback keeps LangChain's call alive
        assert handler.live_runs == 1
        CLOCK.advance(59)
        fake_model().invoke("Hi", config={"callbacks": [handler]})
        assert handler.live_runs == 1
        CLOCK.advance(2)
        fake_model().invoke("Hi", config={"callbacks": [handler]})
        assert handler.live_runs == 0
    idle = [span for span in captured.spans if "langchain_stream.evicted" in span.attributes]
    assert [span.name for span in idle] == ["SlowRetriever", "retrieve SlowRetriever"]
    for span in idle:
        assert span.attributes["langchain_stream.evicted"] == "idle"
        assert span.attributes["langchain_stream.outcome"] == "abandoned"


async def test_a_busy_stream_is_not_idle() -> None:
    """A stream that lasts longer than the idle time, but whose chunks keep coming, is left alone."""
    handler = ClockedHandler(max_idle_seconds=60)
    with capture_spans() as captured:
        async for _ in ScriptedModel(pieces=("a",) * 20).astream("Hi", config={"callbacks": [handler]}):
            CLOCK.advance(20)
            fake_model().invoke("Hi", config={"callbacks": [handler]})
    assert set(told(captured)) == {"completed"}
    assert not [span for span in captured.spans if "langchain_stream.evicted" in span.attributes]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_beyond_the_bound_the_oldest_runs_are_ended(shape: str) -> None:
    """Streams that are held and never read on cannot pile up: the oldest end, in the order of age, and say why."""
    handler = SentryStreamHandler(max_live_runs=10)
    held: list[Any] = []
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        for _ in range(30):
            named: Any = {"callbacks": [handler], "run_name": str(len(held))}
            stream: Any = ScriptedModel().astream("Hi", config=named)
            await anext(stream)
            held.append(stream)
            assert handler.live_runs <= 10
        evicted = captured.find_all(op="gen_ai.chat")
        assert [span.attributes["langchain_stream.run_name"] for span in evicted] == [str(age) for age in range(20)]
        for span in evicted:
            assert span.attributes["langchain_stream.evicted"] == "limit"
            assert span.attributes["langchain_stream.chunks"] == 1
        for stream in held:
            await stream.aclose()
    assert len(captured.find_all(op="gen_ai.chat")) == 30
    assert handler.live_runs == 0


async def test_a_task_of_many_calls_gathers_no_watches() -> None:
    """A task that makes one call after another keeps nothing of those that ended."""
    handler = SentryStreamHandler()
    task: Any = asyncio.current_task()
    with capture_spans():
        before = len(task._callbacks or ()) if hasattr(task, "_callbacks") else None
        for _ in range(20):
            await fake_model().ainvoke("Hi", config={"callbacks": [handler]})
        after = len(task._callbacks or ()) if hasattr(task, "_callbacks") else None
    assert after == before
    assert len(handler._runs._eviction._roots) <= 2


PROCESS = """
    import asyncio, atexit, json, os, signal, sys
    import sentry_sdk

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    from sentry_sdk.transport import Transport
    from sentry_langchain_stream import SentryStreamHandler
    from sentry_langchain_stream.testing import Captured
    from tests.kit.wire import ScriptedModel, WIRE_SHAPES

    captured = Captured(client=None)

    class Keep(Transport):
        def capture_envelope(self, envelope):
            captured.envelopes.append(envelope.serialize())

        def kill(self):
            # The client is closed: what has not been sent by now is lost.
            captured.client = type("Closed", (), {{"flush": lambda self, timeout: None}})()
            for span in captured.spans:
                print(span.op, span.attributes.get("langchain_stream.outcome"), len(captured.events))
            sys.stdout.flush()

    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        transport=Keep,
        traces_sample_rate=1.0,
        auto_enabling_integrations=False,  # they take seconds to import
        **WIRE_SHAPES[{shape!r}],
    )
    handler = SentryStreamHandler()

    def held(number):
        if number == 1:
            print("held", flush=True)
            return asyncio.Event().wait()

    def tick():
        # asyncio sees a signal that arrives just before it begins to wait only with the next event: without one, never.
        asyncio.get_running_loop().call_later(0.05, tick)

    async def main():
        tick()
        stream = ScriptedModel(before=held).astream("Hi", config={{"callbacks": [handler]}})
        {work}

    {run}
"""


def script(shape: str, work: str, run: str = "asyncio.run(main())") -> str:
    """The script of a process that does some work with a stream."""
    return textwrap.dedent(PROCESS).format(shape=shape, work=work, run=run)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_interrupted_process_tells_of_its_stream(shape: str, fresh: Fresh) -> None:
    """Ctrl-C in the middle of a stream: the span is sent as cancelled, and no issue is made of our making."""
    with fresh.process(script(shape, "async for _ in stream: pass")) as running:
        assert running.stdout.readline() == "held\n"
        os.kill(running.pid, signal.SIGINT)
        lines = running.stdout.read().splitlines()
    assert [line.split()[:2] for line in lines] == [["function", "cancelled"], ["gen_ai.chat", "cancelled"]], (
        running.stderr
    )


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_forked_process_leaves_the_streams_to_its_parent(shape: str, fresh: Fresh) -> None:
    """A fork does not end, and tell a second time, what goes on in the process that it was forked from."""
    work = """await anext(stream)
    child = os.fork()
    if child == 0:
        assert handler.live_runs == 0
        atexit._run_exitfuncs()  # `sys.exit` in a fork of a running loop never ends on Python 3.14
        os._exit(0)
    os.waitpid(child, 0)
    await stream.aclose()"""
    done = fresh.run(script(shape, work))
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["function", "gen_ai.chat"], done


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_process_that_exits_with_an_open_stream_tells_of_it(shape: str, fresh: Fresh) -> None:
    """A stream that is still held when the process exits is sent, as abandoned, before the client closes."""
    work = "await anext(stream); globals()['kept'] = stream"
    run = "loop = asyncio.new_event_loop(); loop.run_until_complete(main())"
    done = fresh.run(script(shape, work, run))
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["function", "abandoned", "0"],
        ["gen_ai.chat", "abandoned", "0"],
    ], done


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_stream_that_is_left_last_under_asyncio_run_is_abandoned(shape: str) -> None:
    """`asyncio.run` cancels the task in which the loop closes the stream; nobody has cancelled the stream."""

    async def main() -> None:
        async for _ in ScriptedModel().astream("Hi", {"callbacks": [SentryStreamHandler()]}):
            break

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        asyncio.run(main())
    assert told(captured) == ["abandoned"]


@needs_v3
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_a_v3_stream_that_is_closed_is_cancelled(shape: str) -> None:
    """`aclose()` on a v3 stream cancels the model, and the span tells it."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        model: Any = ScriptedModel(before=lambda number: forever(number) if number == 1 else None)
        stream = await model.astream_events("Hi", config={"callbacks": [handler]}, version="v3")
        async for _ in stream.text:
            break
        await stream.aclose()
        await settle(handler)
    assert told(captured) == ["cancelled"]
    assert captured.events == []
    assert handler.live_runs == 0


@needs_v3
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_a_v3_stream_that_is_left_goes_on(shape: str) -> None:
    """Left without `aclose()`, a v3 model goes on in the background, and its span tells its own end."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        model: Any = ScriptedModel()
        stream = await model.astream_events("Hi", config={"callbacks": [handler]}, version="v3")
        async for _ in stream.text:
            break
        await settle(handler)
    assert told(captured) == ["completed"]
    assert handler.live_runs == 0


@needs_v3
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_a_sync_v3_stream_that_is_left_is_ended_when_idle() -> None:
    """Of a sync v3 stream that is left early LangChain never says a word; idleness ends it."""
    handler = ClockedHandler(max_idle_seconds=60)
    with capture_spans() as captured:
        model: Any = ScriptedModel()
        for _ in model.stream_events("Hi", config={"callbacks": [handler]}, version="v3").text:
            break
        assert handler.live_runs == 1
        CLOCK.advance(61)
        fake_model().invoke("Hi", config={"callbacks": [handler]})
    assert told(captured) == ["abandoned", "completed"]
    assert handler.live_runs == 0


@needs_v3
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_v3_stream_in_a_loop_that_stops_ends_once(shape: str, fresh: Fresh) -> None:
    """When the loop stops right after a v3 stream, LangChain signals an end and an error; the first one counts."""
    work = """import warnings
    warnings.simplefilter("ignore")
    stream = await ScriptedModel().astream_events("Hi", config={"callbacks": [handler]}, version="v3")
    async for _ in stream.text:
        pass"""
    done = fresh.run(script(shape, work))
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["function", "completed", "0"],
        ["gen_ai.chat", "completed", "0"],
    ], done
