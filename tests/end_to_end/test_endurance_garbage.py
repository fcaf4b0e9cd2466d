"""Streams that nobody closed are ended by garbage collection, at any moment, in anybody's thread and request."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import sentry_sdk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream._runtime import interpreter
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import garbage
from tests.kit.fresh import Fresh
from tests.kit.helpers import Clock, collect, handler_on
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, current_span_id, fake_model

NOWHERE = "http://public@127.0.0.1:9/42"


def lose(stream: Any) -> None:
    """Take one piece of a stream, and lose it in a cycle, so that only garbage collection finds it."""
    next(stream)
    cycle: list[Any] = [stream]
    cycle.append(cycle)


def by_handler(handler: Any) -> Iterator[Any]:
    return ScriptedModel().stream("Hi", config={"callbacks": [handler]})


def by_track_stream(_: Any) -> Iterator[Any]:
    return track_stream((piece for piece in ("one", "two")), model="scripted")


WAYS = pytest.mark.parametrize("make", [by_handler, by_track_stream])


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """Garbage is collected when a test says so."""
    garbage.leave_out()
    gc.disable()
    yield
    gc.enable()


def outcomes(captured: Captured) -> list[Any]:
    return [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")]


@WAYS
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_stream_collected_in_another_request_changes_nothing_there(shape: str, make: Callable[..., Any]) -> None:
    """What is active in the request in whose midst garbage is collected is active afterwards; the scope is the same."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with sentry_sdk.isolation_scope(), active_span(shape, "first"):
            lose(make(handler))
        with sentry_sdk.isolation_scope(), active_span(shape, "second") as second:
            scope = sentry_sdk.get_current_scope()
            collect()
            assert outcomes(captured) == ["abandoned"]
            assert sentry_sdk.get_current_scope() is scope
            assert current_span_id() == second
    assert handler.live_runs == 0


@WAYS
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_stream_collected_while_the_sdk_sends_is_not_lost(shape: str, make: Callable[..., Any]) -> None:
    """Garbage is collected in the SDK's own work, too, where it takes no spans; the stream's span arrives after it."""
    handler: Any = SentryStreamHandler()
    sent: list[bytes] = []

    class Collector:
        """Collects garbage when the SDK makes JSON of it."""

        def __repr__(self) -> str:
            gc.collect()
            return "collector"

    class Collecting(Transport):
        """Collects garbage when the SDK sends."""

        def capture_envelope(self, envelope: Envelope) -> None:
            gc.collect()
            sent.append(envelope.serialize())

    with capture_spans(**WIRE_SHAPES[shape]):
        client = sentry_sdk.Client(dsn=NOWHERE, transport=Collecting, traces_sample_rate=1.0, **WIRE_SHAPES[shape])
        with sentry_sdk.isolation_scope() as scope:
            scope.set_client(client)
            lose(make(handler))
            scope.set_context("garbage", {"collector": Collector()})
            fake_model().invoke("Hi", config={"callbacks": [handler]})
            client.flush()
        collect()
        found = outcomes(Captured(client, sent))
        client.close()
    assert sorted(found) == ["abandoned", "completed"]
    assert handler.live_runs == 0


@pytest.mark.skipif(not interpreter.MATTERS, reason="Python 3.12 and newer collect garbage between two instructions")
@WAYS
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_no_context_variable_is_set_while_garbage_is_collected(
    shape: str, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that may crash the interpreter, the end of a stream waits for a thread of its own."""
    handler, touched, collector = SentryStreamHandler(), [], threading.get_ident()

    class Watched:
        """One of the SDK's context variables, and who sets it."""

        def __init__(self, name: str) -> None:
            self.name, self.real = name, getattr(sentry_sdk.scope, name)

        def __getattr__(self, what: str) -> Any:
            if what != "get" and threading.get_ident() == collector:
                touched.append((self.name, what))
            return getattr(self.real, what)

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
        with sentry_sdk.isolation_scope():
            lose(make(handler))
        lose(make(handler))
        for name in ("_current_scope", "_isolation_scope"):
            monkeypatch.setattr(sentry_sdk.scope, name, Watched(name))
        gc.collect()
        monkeypatch.undo()
        collect()
    assert outcomes(captured) == ["abandoned"] * 2
    assert touched == []
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_async_stream_that_is_collected_is_told(shape: str) -> None:
    """The loop closes an async generator that garbage collection has found, and its span tells what had arrived."""
    handler: Any = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        streams = [
            ScriptedModel().astream("Hi", config={"callbacks": [handler]}),
            track_stream(ScriptedModel()._astream("Hi"), model="scripted", text=lambda _: ""),
        ]
        for stream in streams:
            await anext(stream)
        cycle: list[Any] = [*streams]
        cycle.append(cycle)
        del streams, stream, cycle
        gc.collect()
        for _ in range(100):  # turns of the loop, in which it closes them, and what they hold
            await asyncio.sleep(0)
        collect()  # what `track_stream` follows ends in a thread before Python 3.12
        told = captured.find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in told] == ["abandoned"] * 2
    assert [span.attributes["langchain_stream.chunks"] for span in told] == [1, 1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python's, of the generator
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_of_a_stream_whose_loop_is_gone_only_idleness_tells(shape: str) -> None:
    """Python never resumes an async generator whose loop is closed, so nobody hears of it: idleness ends its run."""
    clock = Clock()
    handler: Any = handler_on(clock, max_idle_seconds=60)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        loop = asyncio.new_event_loop()
        stream: Any = ScriptedModel().astream("Hi", config={"callbacks": [handler]})
        loop.run_until_complete(anext(stream))
        loop.close()
        del stream
        gc.collect()
        assert handler.live_runs == 1
        clock.advance(61)
        fake_model().invoke("Hi", config={"callbacks": [handler]})
        assert outcomes(captured) == ["abandoned", "completed"]
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("inside", [False, True], ids=["", "in a request"])
def test_a_chain_that_is_lost_in_a_cycle_was_left(shape: str, inside: bool) -> None:
    """Garbage collection closes its steps in any order, and mostly another thread ends the runs. A parser reads on."""
    handler = SentryStreamHandler("bot")
    usage = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) if inside else nullcontext():
        for _ in range(4):
            chain = RunnableLambda(str) | ScriptedModel(usage=usage) | StrOutputParser()
            lose(chain.stream("Hi", {"callbacks": [handler]}))
            collect()
    assert handler.live_runs == 0
    calls = captured.find_all(op="gen_ai.chat")
    for spans in (captured.find_all(name="bot"), calls):
        assert [span.attributes["langchain_stream.outcome"] for span in spans] == ["abandoned"] * 4
    assert [call.attributes["langchain_stream.usage_source"] for call in calls] == ["provider"] * 4


TIME_LIMITS = """
import gc, signal, time
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel

class TimeLimit(Exception):
    pass

def limit(number, frame):
    raise TimeLimit

reached = 0
with capture_spans():
    list(ScriptedModel().stream("Hi", {"callbacks": [SentryStreamHandler()]}))
    signal.signal(signal.SIGALRM, limit)
    much = [[number] for number in range(600_000)]
    for _ in range(10):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            gc.collect()
            while True:
                time.sleep(0.001)
                if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
                    break
        except TimeLimit:
            reached += 1
print(reached)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs SIGALRM")
def test_a_time_limit_reaches_the_application_though_garbage_is_collected(fresh: Fresh) -> None:
    """A signal that arrives during a collection is handled before the next instruction, and none is a callback's."""
    done = fresh.run(TIME_LIMITS)
    assert (done.stdout.strip(), done.stderr) == ("10", "")
