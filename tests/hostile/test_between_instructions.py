"""The exception of a signal handler may arrive between two instructions: a lock or a mark of ours is left behind."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from types import FrameType, FunctionType
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import inner_chains
from sentry_langchain_stream._runtime import locks
from sentry_langchain_stream._runtime.locks import PatientLock
from sentry_langchain_stream._to_sentry import sentrys_hooks
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel, content_allowed

pytestmark = pytest.mark.usefixtures("lenient")

MOMENTS: dict[str, Callable[[FrameType, str, Any], bool]] = {
    "taken": lambda frame, event, _: event == "return" and frame.f_code is PatientLock.__enter__.__code__,
    "given back": lambda frame, event, _: event == "call" and frame.f_code is PatientLock.__exit__.__code__,
    "taken on the short way": lambda frame, event, called: (
        event == "c_return" and called.__name__ == "acquire" and frame.f_globals is vars(inner_chains)
    ),
}
"""Between two instructions, where a signal is handled."""


WAIT = HANG / 20
"""Seconds after which a thread stands still."""


class TimeLimitError(Exception):
    """A soft time limit."""


def interrupted(work: Callable[[], object], at: Callable[[FrameType, str, Any], bool]) -> None:
    """Do some work, in which the time limit is over at a moment. The handler contains what a profiler raises."""
    reached: list[str] = []

    def look(frame: FrameType, event: str, called: Any) -> None:
        if at(frame, event, called):
            sys.setprofile(before)
            reached.append(event)
            raise TimeLimitError

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        work()
    except TimeLimitError:
        pass
    finally:
        sys.setprofile(before)
    assert reached


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_lock_that_was_left_behind_keeps_no_thread_waiting(shape: str, moment: str) -> None:
    """Another thread calls models in the same chain: they return, and their spans arrive."""
    handler = SentryStreamHandler()

    def ask() -> None:
        for _ in range(3):
            ScriptedModel(model_name="later").invoke("Hi")

    def call(_: str) -> str:
        chain = RunnableLambda(str) | RunnableLambda(str) | ScriptedModel()
        interrupted(partial(chain.invoke, "Hi"), MOMENTS[moment])
        thread = threading.Thread(target=copy_context().run, args=(ask,), daemon=True)
        thread.start()
        thread.join(WAIT)
        assert not thread.is_alive()
        return "done"

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        RunnableLambda(call).invoke("Hi", {"callbacks": [handler]})
    later = [each for each in captured.find_all(op="gen_ai.chat") if each.name == "chat later"]
    assert len(later) == 3
    assert handler.live_runs == 0


def test_a_lock_is_waited_for_while_the_thread_that_has_it_works_on() -> None:
    """`redact` takes its time for what has arrived of an answer: no other run starts before that is over."""
    started = threading.Event()
    threads: list[threading.Thread] = []

    def redact(text: str) -> str:
        if text == "one ":
            threads[0].start()
            assert not started.wait(6 * locks._PATIENCE)
        return text

    def call(_: str) -> str:
        other = ScriptedModel(before=lambda _: started.set())
        threads.append(threading.Thread(target=copy_context().run, args=(other.invoke, "Hi")))
        stream = ScriptedModel().stream("Hi")
        next(stream)
        del stream
        threads[0].join(WAIT)
        return "done"

    with capture_spans(**content_allowed(True)) as captured:
        RunnableLambda(call).invoke("Hi", {"callbacks": [SentryStreamHandler(redact=redact)]})
    assert started.is_set()
    assert len(captured.find_all(op="gen_ai.chat")) == 2


def test_a_lock_that_threads_hand_on_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread gives it back and goes on at once, while the others find out who has it: one at a time has it."""
    monkeypatch.setattr(locks, "_PATIENCE", 1e-6)
    lock, inside, most = PatientLock(), [0], [0]

    def take() -> None:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1

    of_ours = FunctionType(take.__code__, {**globals(), "__name__": locks.__name__}, closure=take.__closure__)

    def work() -> None:
        for _ in range(2_000):
            of_ours()

    interval = sys.getswitchinterval()
    threads = [threading.Thread(target=work) for _ in range(8)]
    sys.setswitchinterval(1e-6)
    try:
        for each in threads:
            each.start()
        for each in threads:
            each.join(WAIT)
    finally:
        sys.setswitchinterval(interval)
    assert most == [1]
    assert lock not in locks._instead


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_a_mark_that_was_left_behind_costs_no_later_run(shape: str) -> None:
    """While the SDK is called, what starts is not followed. When a time limit has struck in that, the next call is."""

    def is_marked(frame: FrameType, event: str, called: Any) -> bool:
        return event == "c_return" and called.__name__ == "set" and frame.f_globals is vars(sentrys_hooks)

    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        interrupted(partial(ScriptedModel().invoke, "Hi", {"callbacks": [handler]}), is_marked)
        ScriptedModel(model_name="later").invoke("Hi", {"callbacks": [handler]})
    assert captured.find(name="chat later").attributes["langchain_stream.outcome"] == "completed"
    assert handler.live_runs == 0
    assert not sentrys_hooks.under_way
