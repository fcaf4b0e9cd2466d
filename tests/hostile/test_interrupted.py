"""Ctrl-C, a time limit or a kill may arrive while the handler works: it reaches the application, and no run stays."""

from __future__ import annotations

import ast
import asyncio
import functools
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from langchain_core.tools import tool

import sentry_langchain_stream
from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream._content.reading import str_of
from sentry_langchain_stream._from_langchain import answers, steps
from sentry_langchain_stream._runs import attributes
from sentry_langchain_stream._runtime.containment import contained
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG, REPOSITORY
from tests.kit.absent import long, needs
from tests.kit.fresh import Fresh
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

pytestmark = [
    pytest.mark.usefixtures("lenient"),
    pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs SIGUSR1"),
]


class TimeLimitError(Exception):
    """A soft time limit, which like Celery's is an `Exception`."""


def on_signal(signum: int, frame: FrameType | None) -> None:
    raise TimeLimitError


class Limit:
    """A signal handler that is a method and calls others, as RQ's is."""

    def on_signal(self, *given: Any) -> None:
        self.raise_limit()

    def raise_limit(self) -> None:
        raise TimeLimitError


HANDLERS: dict[str, Callable[..., None]] = {
    "function": on_signal,
    "method": Limit().on_signal,
    "partial": functools.partial(on_signal),
}


@contextmanager
def limited(kind: str = "function") -> Iterator[None]:
    """A time limit is over when SIGUSR1 arrives."""
    before = signal.signal(signal.SIGUSR1, HANDLERS[kind])
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def limit_at(word: str) -> Callable[[str], str]:
    """A `redact` in which the time limit is over when it is called with this word."""

    def redact(text: str) -> str:
        if word in text:
            signal.raise_signal(signal.SIGUSR1)
        return text

    return redact


@pytest.mark.parametrize("word", ["Hi", pytest.param("one", marks=long)])
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_time_limit_that_is_over_in_redact_reaches_the_application(shape: str, way: Way, word: str) -> None:
    """The exception of a signal handler is not contained, and the spans of what had started are closed."""
    handler = SentryStreamHandler(redact=limit_at(word))
    with limited(), capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        with pytest.raises(TimeLimitError):
            await way.run(ScriptedModel(), "Hi", {"callbacks": [handler]})
        assert handler.live_runs == 0
    assert len(captured.find_all(op="gen_ai.chat")) == (word == "one")
    assert len(captured.spans) >= 1


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_time_limit_that_is_over_while_a_tag_is_redacted_leaves_no_run(shape: str, way: Way) -> None:
    """LangChain signals no end of a run whose start is broken off: it has no span, as if its prompt was redacted."""
    handler = SentryStreamHandler(redact=limit_at("tagged"))
    with limited(), capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        with pytest.raises(TimeLimitError):
            await way.run(ScriptedModel(), "Hi", {"callbacks": [handler], "tags": ["tagged"]})
        assert handler.live_runs == 0
    assert [span.attributes["langchain_stream.outcome"] for span in captured.spans] == ["cancelled"]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_time_limit_that_is_over_while_a_tracked_answer_is_redacted_ends_its_run(shape: str) -> None:
    """The run of a stream that is not LangChain's is closed though its answer could not be read."""
    chunk = {"index": 0, "delta": {"content": "one"}, "finish_reason": "stop"}
    chunks = [{"object": "chat.completion.chunk", "id": "r", "model": "m", "choices": [chunk]}]
    with limited(), capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        stream = track_stream(iter(chunks), model="m", redact=limit_at("one"))
        with pytest.raises(TimeLimitError):
            list(stream)
        assert len(stream._runs) == 0
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"


def test_what_redact_raises_is_contained() -> None:
    """An exception of the same class that `redact` raises itself is its failure, and costs the text only."""

    def redact(text: str) -> str:
        raise TimeLimitError

    with capture_spans(**content_allowed(True)) as captured:
        ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler(redact=redact)]})
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "completed"


@pytest.mark.parametrize("kind", HANDLERS)
def test_contained_lets_a_signal_through(kind: str) -> None:
    """Also where the signal arrives in our own code, and where the user's object is being read."""

    class Slow:
        def __str__(self) -> str:
            signal.raise_signal(signal.SIGUSR1)
            return "slow"

    with limited(kind), pytest.raises(TimeLimitError), contained("ours"):
        str_of(Slow())


ON_THE_WAY_OUT: dict[str, tuple[Any, str]] = {
    "reading the answer": (answers, "response"),
    "describing": (attributes, "describe"),
    "reading a tool's result": (steps, "add_result"),
}
"""Where Ctrl-C arrives while a run ends."""


@pytest.mark.parametrize("where", ON_THE_WAY_OUT)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_ctrl_c_while_a_span_is_closed_costs_no_span(shape: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches the application, and the span that was being closed is sent."""
    module, name = ON_THE_WAY_OUT[where]
    armed = [True]
    original = getattr(module, name)

    def interrupted(*args: Any) -> Any:
        if armed.pop() if armed else False:
            raise KeyboardInterrupt
        return original(*args)

    @tool
    def look() -> str:
        """Look."""
        return "seen"

    monkeypatch.setattr(module, name, interrupted)
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        called: Any = look if module is steps else ScriptedModel()
        with pytest.raises(KeyboardInterrupt):
            called.invoke({} if module is steps else "Hi", {"callbacks": [handler]})
        assert handler.live_runs == 0
    assert captured.find_all(op="gen_ai.execute_tool" if module is steps else "gen_ai.chat")


class Killed(BaseException):
    """Tells code to stop, as what kills a greenlet, and dramatiq's time limit and shutdown do."""


PanicException = type("PanicException", (BaseException,), {})

ActivityCancelled = type("CancelledError", (Exception,), {"__module__": "temporalio.exceptions"})
OwnCancelled = type("CancelledError", (Exception,), {"__module__": "shop.orders"})
OfFuture = type("JobCancelled", (futures.CancelledError,), {"__module__": "shop.jobs"})

STOPS: dict[str, tuple[BaseException, str]] = {
    "Temporal cancels an activity": (ActivityCancelled(), "cancelled"),
    "a future was cancelled": (futures.CancelledError(), "cancelled"),
    "a job of the application's was cancelled": (OfFuture(), "cancelled"),
    "an order was cancelled": (OwnCancelled(), "failed"),
    "killed": (Killed(), "cancelled"),
    "cancelled": (asyncio.CancelledError(), "cancelled"),
    "a Rust library's panic": (PanicException(), "failed"),
    "a failure": (ValueError(), "failed"),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_is_no_exception_cancels(shape: str, stop: str) -> None:
    """What is no `Exception`, or means that somebody has cancelled it, tells a call to stop, and no issue follows."""
    error, outcome = STOPS[stop]

    def before(_: int) -> None:
        raise error

    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with pytest.raises(type(error)):
            ScriptedModel(before=before).invoke("Hi", {"callbacks": [handler]})
        captured.client.flush()
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == outcome
    assert len(captured.events) == (outcome == "failed")
    assert handler.live_runs == 0


@needs("gevent")
@pytest.mark.parametrize("way", ["kill", "timeout"])
def test_a_greenlet_that_is_killed_or_times_out_is_cancelled(way: str, fresh: Fresh) -> None:
    """With gevent, a killed greenlet and a `gevent.Timeout` cancel the call: no issue, no live run."""
    ran = fresh.run(
        f"""
        from gevent import monkey; monkey.patch_all()
        import gevent
        from sentry_langchain_stream import SentryStreamHandler
        from sentry_langchain_stream.testing import capture_spans
        from tests.kit.wire import ScriptedModel

        handler, reached = SentryStreamHandler(), gevent.event.Event()

        def before(number):
            if number == 1:
                reached.set()
                gevent.event.Event().wait()

        def call():
            for _ in ScriptedModel(before=before).stream("Hi", {{"callbacks": [handler]}}):
                pass

        with capture_spans() as captured:
            if {way!r} == "kill":
                job = gevent.spawn(call)
                reached.wait()
                job.kill()
            else:
                try:
                    with gevent.Timeout(0.01):
                        call()
                except gevent.Timeout:
                    pass
            captured.client.flush()
            span = captured.find(op="gen_ai.chat")
            print(span.attributes["langchain_stream.outcome"], len(captured.events), handler.live_runs)
        """
    )
    assert ran.stdout.split() == ["cancelled", "0", "0"], ran.stderr


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_group_cancels_if_all_in_it_do(shape: str) -> None:
    """A group of tasks raises what its tasks have raised, together."""
    outcomes = []
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        for errors in ([futures.CancelledError()], [futures.CancelledError(), ValueError()]):
            group = ExceptionGroup("tasks", errors)  # noqa: F821 -- it is there from Python 3.11 on

            def before(_: int, group: Exception = group) -> None:
                raise group

            with suppress(ExceptionGroup):  # noqa: F821
                ScriptedModel(before=before).invoke("Hi", {"callbacks": [handler]})
        captured.client.flush()
    outcomes = [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")]
    assert (outcomes, len(captured.events)) == (["cancelled", "failed"], 1)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_fallback_after_a_cancelled_future_is_one(shape: str) -> None:
    """LangChain takes its exception for a failure, and asks the next model."""

    def before(_: int) -> None:
        raise futures.CancelledError

    asked = ScriptedModel(before=before).with_fallbacks([ScriptedModel()])
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        asked.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    told = [span.attributes for span in captured.find_all(op="gen_ai.chat")]
    assert [each["langchain_stream.outcome"] for each in told] == ["cancelled", "completed"]
    assert [each.get("langchain_stream.fallback") for each in told] == [None, 1]


@needs("gevent")
def test_a_process_with_greenlets_exits_in_silence() -> None:
    """With gevent, Python's thread-local class is another one, which fails while it is taken apart."""
    script = """
from gevent import monkey; monkey.patch_all()
import gevent
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel

with capture_spans() as captured:
    gevent.spawn(lambda: ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler()]})).join()
    captured.client.flush()
    print(len(captured.find_all(op="gen_ai.chat")))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=HANG)
    assert (ran.stdout.strip(), ran.stderr) == ("1", "")


def test_wherever_an_exception_is_caught_that_of_a_signal_handler_is_let_through() -> None:
    """Each `except Exception` of the handler's code has `contain` or `pass_on`, or raises again."""
    root = Path(sentry_langchain_stream.__file__).parent
    found = 0
    for path in root.glob("_*/*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ExceptHandler) or ast.unparse(node.type or ast.Name("")) not in _EVERYTHING:
                continue
            found += 1
            called = {ast.unparse(each.func).split(".")[-1] for each in ast.walk(node) if isinstance(each, ast.Call)}
            raises = any(isinstance(each, ast.Raise) for each in node.body)
            assert raises or called & _LETTING_THROUGH, f"{path.relative_to(root)}:{node.lineno}"
    assert found > 20


_EVERYTHING = {"", "Exception", "BaseException"}
_LETTING_THROUGH = {"contain", "pass_on", "is_from_signal", "_not_started", "not_started", "_end_anyway", "end_anyway"}
"""What raises the exception of a signal handler again; the last ones call `contain`."""
