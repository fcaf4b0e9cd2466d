"""Functions of the application's that Sentry's SDK calls while a run starts or ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

import pytest
import sentry_sdk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from sentry_sdk.consts import DEFAULT_OPTIONS

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import span_models
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel, content_allowed

WAIT = HANG / 20
"""Seconds after which a thread stands still."""

MOST = 20
"""So many calls of a hook are far too many: it calls itself."""

HOOKS: dict[str, dict[str, Any]] = {
    "before_send_transaction": {},
    "before_send_span": {"trace_lifecycle": "stream"},
    "before_send_metric": {},
}
"""What is called with what is sent, and the options with which it is."""


@pytest.mark.parametrize("name", [each for each in HOOKS if each in DEFAULT_OPTIONS])
def test_a_hook_may_wait_for_a_thread_that_calls_a_model(name: str) -> None:
    """It wants a lock of the application's, which another thread has that calls a model in the same chain."""
    lock, has_lock, wants_lock = threading.RLock(), threading.Event(), threading.Event()
    got, threads = [], []

    def redact(text: str) -> str:
        if text == "there":
            has_lock.set()
            assert wants_lock.wait(WAIT)
        return text

    def hook(sent: Any, _: Any) -> Any:
        if has_lock.is_set():
            wants_lock.set()
            got.append(lock.acquire(timeout=WAIT))
            if got[-1]:
                lock.release()
        return sent

    def ask() -> None:
        with lock:
            ScriptedModel().invoke("there")

    def call(_: str) -> str:
        threads.append(threading.Thread(target=copy_context().run, args=(ask,)))
        threads[0].start()
        assert has_lock.wait(WAIT)
        ScriptedModel().invoke("Hi")
        return "done"

    handler = SentryStreamHandler(redact=redact, metrics=name == "before_send_metric")
    with capture_spans(**HOOKS[name], **{name: hook}, **content_allowed(True)) as captured:
        RunnableLambda(call).invoke("Hi", {"callbacks": [handler]})
        threads[0].join(WAIT)
    assert got
    assert all(got)
    assert len(captured.find_all(op="gen_ai.chat")) == 2
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_ctrl_c_while_a_span_is_sent_costs_no_other_span(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain fails and ends with what is open in it. Ctrl-C arrives in the first end: each span arrives, once."""
    armed: list[bool] = []

    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if armed and armed.pop():
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    def leave(text: str) -> str:
        for _ in range(2):
            streams.append(ScriptedModel().stream(text))
            next(streams[-1])
        armed.append(True)
        raise ValueError(text)

    streams: list[Any] = []
    name = "keep_conversation" if shape == "stream" else "ending_scope"
    original = getattr(span_models, name)
    handler = SentryStreamHandler(chains=True)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        monkeypatch.setattr(span_models, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            (RunnableLambda(str) | RunnableLambda(leave)).invoke("Hi", {"callbacks": [handler]})
        assert handler.live_runs == 0
        streams.clear()
    names = ["RunnableSequence", "chat scripted", "chat scripted", "leave", "str"]
    assert sorted(span.name for span in captured.spans) == names


CALLS: dict[str, Callable[[Runnable[Any, Any], Any], object]] = {
    "invoke": lambda chain, config: chain.invoke({}, config),
    "batch": lambda chain, config: chain.batch([{}] * 2, config),
    "asyncio.run": lambda chain, config: asyncio.run(chain.ainvoke({}, config)),
}
"""How a hook calls a chain."""

CALLING = {**HOOKS, "traces_sampler": {}, "before_send": {}}


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("way", CALLS)
@pytest.mark.parametrize("name", [each for each in CALLING if each in DEFAULT_OPTIONS])
def test_a_hook_that_calls_a_model_is_not_called_for_that(name: str, way: str) -> None:
    """The hook is called for what the application's runs send, and what it calls itself is not followed."""
    asked = []

    def hook(sent: Any, _: Any = None) -> Any:
        asked.append(sent)
        if len(asked) < MOST:
            CALLS[way](ChatPromptTemplate.from_template("Sum up.") | ScriptedModel(model_name="hook"), config)
        return sent if name != "traces_sampler" else 1.0

    def call(text: str) -> str:
        ScriptedModel().invoke(text)
        raise ValueError(text)

    config: Any = {"callbacks": [SentryStreamHandler(metrics=name == "before_send_metric")]}
    with capture_spans(**CALLING[name], **{name: hook}) as captured:
        with pytest.raises(ValueError, match="Hi"):
            RunnableLambda(call).invoke("Hi", config)
        captured.client.flush()
    assert 1 <= len(asked) < MOST
    assert [span.name for span in captured.find_all(op="gen_ai.chat")] == ["chat scripted"]


def test_a_hook_that_is_called_for_something_else_calls_a_model_that_is_followed() -> None:
    """`before_send` gets an error that the application reports, and asks a model what it means."""
    config: Any = {"callbacks": [SentryStreamHandler()]}

    def before_send(event: Any, _: Any) -> Any:
        ScriptedModel().invoke("What is this?", config)
        return event

    with capture_spans(before_send=before_send) as captured:
        sentry_sdk.capture_message("broken")
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"
