"""The user's functions may wait for a lock of the application's, which another thread of the same tree has."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed

WAIT = HANG / 20
"""Seconds after which a thread stands still."""

MARKED = "marked"
"""What the function waits at."""


def with_(config: Any, **more: Any) -> Any:
    """The same config, and more."""
    return {**config, **more}


def kept_open(config: Any) -> None:
    """A step keeps a stream, which ends with it."""
    kept: list[Any] = []

    def step(_: str, config: Any) -> str:
        kept.append(ScriptedModel(pieces=(MARKED, " two")).stream("Hi", config))
        return str(next(kept[0]).text)

    RunnableLambda(step).invoke("Hi", config)


CALLS: dict[str, Callable[[Any], object]] = {
    "prompt": lambda config: ScriptedModel().invoke(MARKED, config),
    "prompt that is counted": lambda config: [*ScriptedModel().stream(MARKED, config)],
    "tag": lambda config: ScriptedModel().invoke("Hi", with_(config, tags=[MARKED])),
    "metadata": lambda config: ScriptedModel().invoke("Hi", with_(config, metadata={"tenant": MARKED})),
    "user": lambda config: ScriptedModel().invoke("Hi", with_(config, metadata={"user_id": MARKED})),
    "answer": lambda config: ScriptedModel(pieces=(MARKED,)).invoke("Hi", config),
    "partial answer": kept_open,
}


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Do some work in a thread of the same tree."""
    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("what", CALLS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_function_may_wait_for_what_another_thread_does_in_the_same_tree(shape: str, what: str) -> None:
    """A lock around local models and a tokenizer: who has it calls a model while the other one's text is read."""
    lock, asked = threading.Lock(), threading.Event()
    holder = threading.current_thread()

    def redact(text: str) -> str:
        if MARKED in text and threading.current_thread() is not holder and not asked.is_set():
            asked.set()
            with lock:
                pass
        return text

    def token_counter(text: str) -> int:
        if "counted" in what:
            redact(text)
        return len(text) // 4

    handler = SentryStreamHandler(
        redact=None if "counted" in what else redact,
        token_counter=token_counter,
        metadata_keys=("tenant",),
        user_key="user_id",
        pipeline_name="bot",
    )

    def call(_: str, config: Any) -> str:
        with lock:
            waiting = in_thread(lambda: CALLS[what](config))
            assert asked.wait(WAIT)
            calling = in_thread(lambda: ScriptedModel(model_name="beside").invoke("Hi", config))
            calling.join(WAIT)
            stands_still = calling.is_alive()
        waiting.join(WAIT)
        assert not stands_still
        return "done"

    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        RunnableLambda(call).invoke("Hi", {"callbacks": [handler]})
    assert sorted(each.name for each in captured.find_all(op="gen_ai.chat")) == ["chat beside", "chat scripted"]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_arrives_after_the_end_of_the_chain_is_in_the_answer(shape: str) -> None:
    """A thread reads on when the chain that has started it is over: the answer is redacted when its own call ends."""
    begun, over = threading.Event(), threading.Event()
    handler = SentryStreamHandler(redact=lambda text: text.replace("two", "2"))
    streams: list[Any] = []

    def read(config: Any) -> None:
        streams.append(ScriptedModel().stream("Hi", config))
        next(streams[0])
        begun.set()
        assert over.wait(WAIT)
        next(streams[0])

    def call(_: str, config: Any) -> str:
        threads.append(in_thread(lambda: read(config)))
        assert begun.wait(WAIT)
        return "done"

    threads: list[threading.Thread] = []
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        RunnableLambda(call).invoke("Hi", {"callbacks": [handler]})
        assert handler.live_runs == 1
        over.set()
        threads[0].join(WAIT)
        handler._runs.end_all("exit")
    answer = captured.find(op="gen_ai.chat").attributes["gen_ai.output.messages"]
    assert "one 2 " in answer
