"""Functions of the application's that Sentry's SDK calls while a run starts or ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import pytest
import sentry_sdk
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableLambda
from sentry_sdk.consts import DEFAULT_OPTIONS

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import conversations, own_transactions, streamed_spans, transaction_spans
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.absent import needs
from tests.kit.fresh import Fresh
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


def test_a_hook_may_wait_though_the_request_is_over() -> None:
    """The request's transaction has been sent, and its chain goes on: its spans are sent one by one."""
    lock, has_lock, wants_lock = threading.RLock(), threading.Event(), threading.Event()
    got: list[bool] = []
    threads: list[threading.Thread] = []

    def hook(sent: Any, _: Any) -> Any:
        if has_lock.is_set():
            wants_lock.set()
            got.append(lock.acquire(timeout=WAIT))
            if got[-1]:
                lock.release()
        return sent

    def ask() -> None:
        with lock:
            has_lock.set()
            assert wants_lock.wait(WAIT)
            ScriptedModel().invoke("there")

    def call(_: str) -> str:
        request.finish()
        threads.append(threading.Thread(target=copy_context().run, args=(ask,)))
        threads[0].start()
        assert has_lock.wait(WAIT)
        ScriptedModel().invoke("Hi")
        return "done"

    with capture_spans(before_send_transaction=hook) as captured:
        with sentry_sdk.start_transaction(name="request") as request:
            RunnableLambda(call).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        threads[0].join(WAIT)
    assert got
    assert all(got)
    assert len(captured.find_all(op="gen_ai.chat")) == 2


def test_a_model_that_ends_while_its_root_is_being_sent_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that nobody waits for: the transaction has collected its spans before that of the model has ended."""
    begun, is_ending, is_checked, is_sent = (threading.Event() for _ in range(4))
    threads: list[threading.Thread] = []
    finish, ending_scope = own_transactions.finish, conversations.ending_scope

    def finish_between(*args: Any, **kwargs: Any) -> None:
        is_ending.set()
        assert is_checked.wait(WAIT)
        finish(*args, **kwargs)
        is_sent.set()

    def end_between(*args: Any, is_root: bool) -> Any:
        if not is_root:
            is_checked.set()
            assert is_sent.wait(WAIT)
        return ending_scope(*args, is_root=is_root)

    def slowly(piece: int) -> None:
        begun.set()
        assert is_ending.wait(WAIT)

    def call(_: str) -> str:
        model = ScriptedModel(before=slowly)
        threads.append(threading.Thread(target=copy_context().run, args=(model.invoke, "Hi")))
        threads[0].start()
        assert begun.wait(WAIT)
        return "done"

    monkeypatch.setattr(own_transactions, "finish", finish_between)
    monkeypatch.setattr(transaction_spans, "ending_scope", end_between)
    with capture_spans() as captured:
        RunnableLambda(call).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        threads[0].join(WAIT)
    assert len(captured.find_all(op="gen_ai.chat")) == 1


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_what_a_hook_has_left_behind_is_followed(shape: str) -> None:
    """A worker that a hook has started keeps its context, and calls models while the hook is called again."""
    kept: list[Context] = []

    def hook(sent: Any, _: Any) -> Any:
        if not kept:
            kept.append(copy_context())
        elif threading.current_thread() is main:
            ask = partial(ScriptedModel(model_name="worker").invoke, "Hi", {"callbacks": [handler]})
            thread = threading.Thread(target=kept[0].run, args=(ask,))
            thread.start()
            thread.join(WAIT)
        return sent

    main, handler = threading.current_thread(), SentryStreamHandler()
    name = "before_send_span" if shape == "stream" else "before_send_transaction"
    with capture_spans(**WIRE_SHAPES[shape], **{name: hook}) as captured:
        for _ in range(100):
            ScriptedModel().invoke("Hi", {"callbacks": [handler]})
    asked = len(captured.find_all(name="chat scripted"))
    assert len(captured.find_all(name="chat worker")) >= asked - 1


@needs("gevent")
def test_a_hook_calls_a_chain_among_greenlets(fresh: Fresh) -> None:
    """The hook is not called for the spans of that chain, each part of which is called in a greenlet of its own."""
    ran = fresh.run(
        """
from gevent import monkey; monkey.patch_all()
from langchain_core.prompts import ChatPromptTemplate
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel

asked = []
handler = SentryStreamHandler()

def hook(sent, hint):
    asked.append(sent)
    if len(asked) < 20:
        chain = ChatPromptTemplate.from_template("Sum up.") | ScriptedModel()
        chain.batch([{}] * 2, {"callbacks": [handler]})
    return sent

with capture_spans(before_send_transaction=hook):
    ScriptedModel().invoke("Hi", {"callbacks": [handler]})
print(len(asked))
"""
    )
    assert ran.stdout.split() == ["1"], ran.stderr


@pytest.mark.skipif("trace_lifecycle" not in DEFAULT_OPTIONS, reason="this SDK has no streamed spans")
def test_a_process_that_exits_waits_for_what_a_thread_hands_on(fresh: Fresh) -> None:
    """A daemon's thread ends a chain, in a hook that takes its time: all of its spans are sent."""
    ran = fresh.run(
        """
import threading, time
import sentry_sdk
from langchain_core.runnables import RunnableLambda
from sentry_sdk.transport import Transport
from sentry_langchain_stream import SentryStreamHandler
from tests.kit.wire import ScriptedModel

class Printing(Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            print(*[span["name"] for span in (item.payload.json or {}).get("items", ())], sep="\\n", flush=True)

begun = threading.Event()

def hook(span, _):
    begun.set()
    time.sleep(0.1)
    return span

sentry_sdk.init(dsn="http://public@127.0.0.1:9/42", traces_sample_rate=1.0, trace_lifecycle="stream",
    before_send_span=hook, transport=Printing, auto_session_tracking=False)
handler, streams = SentryStreamHandler(chains=True), []

def call(text):
    for _ in range(3):
        streams.append(ScriptedModel().stream(text))
        next(streams[-1])
    return "done"

step = RunnableLambda(call, name="step")
threading.Thread(target=step.invoke, args=("Hi", {"callbacks": [handler]}), daemon=True).start()
begun.wait()
"""
    )
    assert sorted(ran.stdout.split("\n")) == ["", *["chat scripted"] * 3, "step"], ran.stderr


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
    module, name = (streamed_spans, "keep_conversation") if shape == "stream" else (transaction_spans, "ending_scope")
    original = getattr(module, name)
    handler = SentryStreamHandler(chains=True)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        monkeypatch.setattr(module, name, interrupted)
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
