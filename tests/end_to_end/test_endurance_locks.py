"""Garbage that is collected by a thread that has a lock, and that waits for other threads: nobody waits for ever."""

from __future__ import annotations

import gc
import textwrap
import threading
from collections.abc import Iterator

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runtime import aside
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.absent import needs
from tests.kit.fresh import Fresh
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span

APPLICATION = """
import gc, os, threading
from contextlib import suppress
import sentry_sdk
from langgraph.graph import START, MessagesState, StateGraph
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import ScriptedModel

collects, has_collected = threading.Event(), threading.Event()

def hold(number):
    if number == 1 and not collects.is_set():
        assert collects.wait(HANG)

def graph(node, name):
    built = StateGraph(MessagesState)
    built.add_node("node", node)
    built.add_edge(START, "node")
    return built.compile(name=name)

model = ScriptedModel(before=hold)
inner = graph(lambda state: {"messages": ["".join(piece.text for piece in model.stream(state["messages"]))]}, "inner")

def leave(config):
    "Read a piece of a graph, whose thread goes on, and lose the rest in a cycle."
    stream = inner.stream({"messages": ["Hi"]}, config, stream_mode="messages")
    next(stream)
    stream = [stream]
    stream.append(stream)

def collect():
    "Collect the garbage, and let the thread of the graph go on during that."
    gc.callbacks.append(lambda phase, info: collects.set())
    gc.collect()
    has_collected.set()

def collect_in(module, name):
    "Collect when this is called next, as an allocation may at any point."
    real = getattr(module, name)
    def collecting(*args, **kwargs):
        setattr(module, name, real)
        collect()
        return real(*args, **kwargs)
    setattr(module, name, collecting)

def finishes(work):
    done = threading.Thread(target=work, daemon=True)
    done.start()
    done.join(HANG / 3)
    return not done.is_alive()

def wait():
    "Wait for what the collection has ended in another thread."
    assert has_collected.wait(HANG)
    own = threading.current_thread()
    while others := [each for each in threading.enumerate() if each is not own and not each.daemon]:
        for each in others:
            with suppress(RuntimeError):
                each.join(HANG)
    captured.client.flush(timeout=HANG)

gc.disable()
"""

IN_A_TREE = """
from sentry_langchain_stream._runs import starts

def node(state):
    leave(None)
    collect_in(starts, "Run")
    return {"messages": [ScriptedModel().invoke("next")]}

handler = SentryStreamHandler()
with capture_spans() as captured:
    work = lambda: graph(node, "outer").invoke({"messages": ["Hi"]}, {"callbacks": [handler]})
    print(finishes(work), flush=True)
    wait()
    print(len(captured.find_all(op="gen_ai.chat")), handler.live_runs, flush=True)
os._exit(0)
"""

IN_A_QUEUE = """
import importlib

queue = importlib.import_module("sentry_sdk._{queue}_batcher")
handler = SentryStreamHandler(metrics={metrics})
with capture_spans(**{options}) as captured:
    if {metrics}:
        sentry_sdk.metrics.count("mine", 1, attributes={{"a": "b"}})
    else:
        with sentry_sdk.traces.start_span("root", parent_span=None), sentry_sdk.traces.start_span("mine"):
            pass
    leave({{"callbacks": [handler]}})
    collect_in(queue, "serialize_attribute")
    print(finishes(sentry_sdk.flush), flush=True)
    print(finishes(lambda: ScriptedModel().invoke("next", {{"callbacks": [handler]}})), flush=True)
    wait()
    print(len(captured.find_all(op="gen_ai.chat")), handler.live_runs, flush=True)
os._exit(0)
"""


@needs("langgraph")
def test_a_thread_that_is_waited_for_while_a_run_starts_is_not_kept_waiting(fresh: Fresh) -> None:
    """A run starts, garbage is collected in that, and what is collected waits for another run of the same tree."""
    ran = fresh.run(APPLICATION + IN_A_TREE)
    assert ran.stdout.split() == ["True", "2", "0"], ran.stderr


@needs("langgraph")
@pytest.mark.parametrize("queue", ["metrics", "span"])
def test_a_thread_that_is_waited_for_while_the_sdk_sends_is_not_kept_waiting(fresh: Fresh, queue: str) -> None:
    """The SDK sends what its queue has, garbage is collected in that, and waits for a run that wants to add to it."""
    module = pytest.importorskip(f"sentry_sdk._{queue}_batcher")
    if not hasattr(module, "serialize_attribute"):
        pytest.skip("this version of the SDK does so in another way")
    options = {} if queue == "metrics" else {"trace_lifecycle": "stream"}
    script = IN_A_QUEUE.format(queue=queue, metrics=queue == "metrics", options=options)
    ran = fresh.run(APPLICATION + textwrap.dedent(script))
    assert ran.stdout.split() == ["True", "True", "2", "0"], ran.stderr


@pytest.fixture
def collecting() -> Iterator[None]:
    """Another thread collects garbage as long as the test lasts."""
    begun, over = threading.Event(), threading.Event()

    class Slow:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            begun.set()
            over.wait(HANG)

    SentryStreamHandler()
    with capture_spans():
        ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    gc.collect()
    gc.disable()
    Slow()
    thread = threading.Thread(target=gc.collect)
    thread.start()
    assert begun.wait(HANG)
    yield
    over.set()
    thread.join()
    gc.enable()


@pytest.mark.usefixtures("collecting")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_while_another_thread_collects_runs_end_as_ever(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end at once, in their thread and in their request, though a finalizer takes its time."""
    handler = SentryStreamHandler("bot")
    given = list[object]()
    monkeypatch.setattr(aside, "do", given.append)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape) as active:
        for _ in range(5):
            ScriptedModel().invoke("Hi", {"callbacks": [handler]})
            assert handler.live_runs == 0
    assert given == []
    calls = captured.find_all(op="gen_ai.chat")
    told = [(call.parent_id, call.attributes["langchain_stream.outcome"]) for call in calls]
    assert told == [(active, "completed")] * 5
