"""What ends while garbage is collected ends in another thread: nobody waits for that thread where it would do harm."""

from __future__ import annotations

import _thread
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runtime import aside, interpreter
from sentry_langchain_stream.testing import capture_spans
from tests.end_to_end.test_endurance_garbage import WAYS, lose, outcomes
from tests.kit import HANG, garbage
from tests.kit.absent import needs
from tests.kit.fresh import Fresh
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

pytestmark = pytest.mark.skipif(
    not interpreter.MATTERS, reason="Python 3.12 and newer collect garbage between two instructions"
)


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """Garbage is collected when a test says so."""
    garbage.leave_out()
    gc.disable()
    yield
    gc.enable()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list of the threads of ours that start from now on."""
    started, start = list[object](), _thread.start_new_thread

    def starts(*args: Any) -> Any:
        started.append(args)
        return start(*args)

    monkeypatch.setattr(_thread, "start_new_thread", starts)
    return started


@WAYS
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_flush_waits_for_them(shape: str, make: Callable[..., Any]) -> None:
    """Who flushes after a collection, as a function in a cloud does before it freezes, has sent the spans."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        for _ in range(20):
            lose(make(handler))
        gc.collect()
        captured.client.flush()
        assert outcomes(captured) == ["abandoned"] * 20


def test_one_thread_ends_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection that finds very many streams starts one thread."""
    started = counted(monkeypatch)
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        for _ in range(50):
            lose(ScriptedModel().stream("Hi", {"callbacks": [handler]}))
        monkeypatch.setattr(aside, "_LONG", HANG)
        gc.collect()
        captured.client.flush()
        assert outcomes(captured) == ["abandoned"] * 50
    assert len(started) <= 2  # the first one may have found that there was nothing left


def test_what_hangs_keeps_no_other_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """One end calls a function of the application's that hangs: another thread does the others."""
    over, hangs = threading.Event(), threading.Event()

    def first_hangs(event: Any, hint: Any) -> Any:
        if not hangs.is_set():
            hangs.set()
            over.wait(HANG)
        return event

    monkeypatch.setattr(aside, "_LONG", 0.0)
    handler = SentryStreamHandler()
    with capture_spans(before_send_transaction=first_hangs, stream_gen_ai_spans=False) as captured:
        for _ in range(2):
            lose(ScriptedModel().stream("Hi", {"callbacks": [handler]}))
            gc.collect()
            assert hangs.wait(HANG)
        until = time.monotonic() + HANG
        while outcomes(captured) != ["abandoned"] and time.monotonic() < until:
            captured.client.flush(timeout=0.01)
        assert outcomes(captured) == ["abandoned"]
        over.set()
        aside.finish(HANG)
        assert outcomes(captured) == ["abandoned"] * 2


SCRIPT = """
import gc, sys, threading
import sentry_sdk
from sentry_sdk.consts import DEFAULT_OPTIONS
from sentry_sdk.transport import Transport
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel

handler = SentryStreamHandler()

def lose():
    stream = ScriptedModel().stream("Hi", {"callbacks": [handler]})
    next(stream)
    stream = [stream]
    stream.append(stream)

gc.disable()
in_the_transaction = {name: False for name in {"stream_gen_ai_spans"} & DEFAULT_OPTIONS.keys()}
"""


def test_a_collection_while_a_thread_starts_does_not_stop_the_process(fresh: Fresh) -> None:
    """Garbage may be collected where this thread has the lock that the start of any thread needs."""
    ran = fresh.run(
        SCRIPT
        + """
with capture_spans() as captured:
    lose()
    with threading._active_limbo_lock:
        gc.collect()
    captured.client.flush()
    print(len(captured.find_all(op="gen_ai.chat")), handler.live_runs)
"""
    )
    assert ran.stdout.split() == ["1", "0"], ran.stderr


def test_a_process_exits_though_an_end_hangs(fresh: Fresh) -> None:
    """A function of the application's never returns: the exit waits for it as long as for Sentry's own work."""
    ran = fresh.run(
        SCRIPT
        + """
sentry_sdk.init(dsn="http://public@127.0.0.1:9/42", traces_sample_rate=1.0, **in_the_transaction,
    before_send_transaction=lambda event, hint: threading.Event().wait())
lose()
gc.collect()
print("over", flush=True)
"""
    )
    assert (ran.stdout.split(), ran.returncode) == (["over"], 0), ran.stderr


def test_a_process_that_exits_sends_what_is_not_done_yet(fresh: Fresh) -> None:
    """What ends in the last collection has its span, though nobody flushes."""
    ran = fresh.run(
        SCRIPT
        + """
class Printing(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            print(item.type, flush=True)

sentry_sdk.init(dsn="http://public@127.0.0.1:9/42", traces_sample_rate=1.0, **in_the_transaction,
    transport=Printing, auto_session_tracking=False)
for _ in range(20):
    lose()
gc.collect()
"""
    )
    assert ran.stdout.split() == ["transaction"] * 20, ran.stderr


@needs("gevent")
def test_a_greenlet_goes_on_while_garbage_is_collected(fresh: Fresh) -> None:
    """A greenlet gives up control where it says so, and not because a collection finds a stream."""
    ran = fresh.run(
        "from gevent import monkey\nmonkey.patch_all()\nimport greenlet\n"
        + SCRIPT
        + """
with capture_spans() as captured:
    lose()
    switches = []
    greenlet.settrace(lambda event, args: switches.append(event))
    gc.collect()
    greenlet.settrace(None)
    captured.client.flush()
    print(len(switches), len(captured.find_all(op="gen_ai.chat")), handler.live_runs)
"""
    )
    assert ran.stdout.split() == ["0", "1", "0"], ran.stderr
