"""After a run everything is as before, however it ended, and wherever LangChain signals the end, if it does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import sentry_sdk
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun, manager
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import StructuredTool
from sentry_sdk.scope import Scope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry.active_span import RunScope
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.inside import World, around, assert_worked_below, name_above, world
from tests.kit.pairwise import in_pairs
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, active_span, child_span, current_span_id, fake_model


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    """A server and a database."""
    with world() as found:
        yield found


class Waiting(BaseRetriever):
    """A retriever that waits."""

    wait: Callable[[], Any]

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return []

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        await self.wait()
        return []


def held(kind: str, wait: Callable[[], Any]) -> Runnable[Any, Any]:
    """Something to run that waits inside of the run."""

    async def hold(given: str) -> str:
        """Hold."""
        await wait()
        return given

    made: dict[str, Callable[[], Runnable[Any, Any]]] = {
        "model": lambda: ScriptedModel(before=lambda _: wait()),
        "tool": lambda: StructuredTool.from_function(coroutine=hold, name="hold"),
        "retriever": lambda: Waiting(wait=wait),
        "chain": lambda: RunnableLambda(hold) | RunnableLambda(str),
    }
    return made[kind]()


KINDS = ("model", "tool", "retriever", "chain")


async def _calling(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    await call(*args, **kwargs)


@pytest.mark.parametrize(("kind", "wrapped"), [*((kind, False) for kind in KINDS), ("model", True)])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda kind: kind == "model")
async def test_a_run_that_timed_out_is_left(
    shape: str, kind: str, wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeout in the same task, of which LangChain tells nothing for a bare call: the rest hangs where it would.

    Also where somebody has wrapped the function with which LangChain calls handlers.
    """
    if wrapped:
        monkeypatch.setattr(manager, "ahandle_event", partial(_calling, manager.ahandle_event))
    handler: Any = SentryStreamHandler()
    config: Any = {"callbacks": [handler]}
    task: Any = asyncio.current_task()

    async def wait() -> None:
        inside.append(current_span_id())
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.Event().wait()

    async def elsewhere() -> None:
        current.append(current_span_id())

    inside: list[str | None] = []
    current: list[str | None] = []
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        for _ in range(2):
            with suppress(asyncio.CancelledError):
                await held(kind, wait).ainvoke("Hi" if kind != "tool" else {"given": "Hi"}, config)
            if hasattr(task, "uncancel"):
                task.uncancel()
            await asyncio.create_task(elsewhere())
            current.append(current_span_id())
            with child_span(shape, "after"):
                await fake_model("a").ainvoke("Hi", {"callbacks": [handler], "run_name": "next"})
        handler._runs.end_all("exit")  # what LangChain does not end
    assert above not in inside
    assert set(current) == {above}, captured.tree()
    assert {span.parent_id for span in captured.find_all(name="after")} == {above}
    roots = {span.span_id for span in captured.find_all(name="after")}
    assert {span.parent_id for span in captured.find_all(op="gen_ai.chat") if span.parent_id in roots} == roots


@in_pairs(shape=WIRE_SHAPES, kind=("model", "chain"), how=("aclose", "break", "cancel", "raise"))
async def test_a_stream_that_was_left_is_left(shape: str, kind: str, how: str) -> None:
    """Closed, dropped, cancelled or failed in the middle: what comes after hangs where it would."""
    handler: Any = SentryStreamHandler()
    config: Any = {"callbacks": [handler]}

    def before(number: int) -> Any:
        if number == 1 and how == "raise":
            raise RuntimeError("broken")
        return asyncio.Event().wait() if number == 1 and how == "cancel" else asyncio.sleep(0)

    model = ScriptedModel(before=before)
    runnable = RunnableLambda(str) | model if kind == "chain" else model
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        stream: Any = runnable.astream("Hi", config=config)
        await anext(stream)
        assert current_span_id() == above
        if how == "cancel":
            waiting = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            waiting.cancel()
            with suppress(asyncio.CancelledError):
                await waiting
        elif how == "raise":
            with pytest.raises(RuntimeError):
                await anext(stream)
        elif how == "aclose":
            await stream.aclose()
        del stream
        assert current_span_id() == above
        while handler.live_runs:
            await asyncio.sleep(0)
        with child_span(shape, "after"):
            pass
    assert name_above(captured, "after") == "application"


@in_pairs(shape=WIRE_SHAPES, kind=("model", "tool", "step"), way=WAYS)
@needs_async_context(lambda kind, way: kind == "step" and is_async(way))
async def test_a_run_that_failed_is_left(outside: World, shape: str, kind: str, way: Way) -> None:
    """An exception, also out of a span that the user has opened inside."""
    handler: Any = SentryStreamHandler(capture_errors=False)

    def fail(given: Any) -> Any:
        """Fail."""
        with child_span(shape, "inside"):
            raise RuntimeError("broken")

    made: dict[str, Runnable[Any, Any]] = {
        "model": ScriptedModel(before=fail),
        "tool": StructuredTool.from_function(fail, name="fail"),
        "step": RunnableLambda(str) | RunnableLambda(fail),
    }
    above = {"model": "chat scripted", "tool": "execute_tool fail", "step": "RunnableSequence"}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        with pytest.raises(RuntimeError):
            await way.run(made[kind], {"given": "Hi"} if kind == "tool" else "Hi", {"callbacks": [handler]})
        outside.work(shape, "after")
    assert name_above(captured, "inside") == above[kind]
    assert_worked_below(captured, "after", "application")


@pytest.mark.parametrize("kind", ["model", "retriever", "tool"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_spans_that_were_open_before_a_run_close_after_it(shape: str, kind: str) -> None:
    """LangChain signals an async end elsewhere. As the user's own spans close, each uncovers the one above it."""
    handler: Any = SentryStreamHandler()

    async def at_once() -> None:
        await asyncio.sleep(0)

    question = {"given": "Hi"} if kind == "tool" else "Hi"
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
        with child_span(shape, "outer"):
            with child_span(shape, "inner"):
                await held(kind, at_once).ainvoke(question, {"callbacks": [handler]})
                with child_span(shape, "in inner"):
                    pass
            with child_span(shape, "in outer"):
                await held(kind, at_once).ainvoke(question, {"callbacks": [handler]})
        with child_span(shape, "in application"):
            pass
    after = current_span_id()
    for name in ("inner", "outer", "application"):
        assert name_above(captured, f"in {name}") == name
    assert after is None


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_a_span_opened_while_a_chain_streams_outlives_it(shape: str) -> None:
    """Inside a function a chain is streamed; the function's span, opened after the first chunk, is still active after
    the last.
    """
    handler: Any = SentryStreamHandler()

    def function(given: Any) -> Any:
        stream = (RunnableLambda(str) | ScriptedModel()).stream("Hi")
        next(stream)
        with child_span(shape, "rest"):
            for _ in stream:
                with child_span(shape, "between"):
                    pass
            with child_span(shape, "after"):
                pass
        return given

    async def afunction(given: Any) -> Any:
        stream = (RunnableLambda(str) | ScriptedModel()).astream("Hi")
        await anext(stream)
        with child_span(shape, "rest"):
            async for _ in stream:
                with child_span(shape, "between"):
                    pass
            with child_span(shape, "after"):
                pass
        return given

    chain = RunnableLambda(str) | RunnableLambda(function, afunction)
    for call in ("sync", "async"):
        with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application"):
            if call == "sync":
                chain.invoke("Hi", {"callbacks": [handler]})
            else:
                await chain.ainvoke("Hi", {"callbacks": [handler]})
        rest = captured.find(name="rest")
        assert {span.parent_id for span in captured.find_all(name="between")} == {rest.span_id}, captured.tree()
        assert name_above(captured, "after") == "rest"
        assert name_above(captured, "rest") == "RunnableSequence"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context()
async def test_a_task_that_outlives_its_tool_leaves_nothing_behind(shape: str) -> None:
    """It has a span open as the tool ends, and closes it later: that does not change what is active for others."""
    handler: Any = SentryStreamHandler()
    go, ended = asyncio.Event(), asyncio.Event()
    tasks = []

    async def background() -> None:
        with child_span(shape, "long"), child_span(shape, "longer"):
            await go.wait()
        with child_span(shape, "late"):
            ended.set()

    async def start() -> str:
        """Start."""
        tasks.append(asyncio.create_task(background()))
        await asyncio.sleep(0)
        return "started"

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        await StructuredTool.from_function(coroutine=start).ainvoke({}, {"callbacks": [handler]})
        assert current_span_id() == above
        go.set()
        await asyncio.wait_for(ended.wait(), HANG)
        assert current_span_id() == above
        await tasks[0]
        with child_span(shape, "after"):
            pass
    assert name_above(captured, "long") == "execute_tool start"
    assert name_above(captured, "longer") == "long"
    assert name_above(captured, "late") == "application"
    assert name_above(captured, "after") == "application"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_thread_that_outlives_its_tool_leaves_nothing_behind(shape: str) -> None:
    """Its work hangs below the tool until the tool ends, then where it would without us."""
    handler: Any = SentryStreamHandler()
    begun, go = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def background() -> None:
        with child_span(shape, "early"):
            begun.set()
        go.wait(HANG)
        with child_span(shape, "late"):
            pass

    def start() -> str:
        """Start."""
        threads.append(threading.Thread(target=background))
        threads[0].start()
        begun.wait(HANG)
        return "started"

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        StructuredTool.from_function(start).invoke({}, {"callbacks": [handler]})
        go.set()
        threads[0].join()
        assert current_span_id() == above
    assert name_above(captured, "early") == "execute_tool start"
    assert name_above(captured, "late") == "application"


async def test_scopes_do_not_pile_up() -> None:
    """A task that makes a thousand calls: LangChain signals no end where it can be taken back."""
    handler: Any = SentryStreamHandler()
    with capture_spans(), active_span("transaction") as above:
        for _ in range(1_000):
            await fake_model("a").ainvoke("Hi", {"callbacks": [handler]})
        assert current_span_id() == above
        scope = sentry_sdk.get_current_scope()
        assert type(scope.covered if isinstance(scope, RunScope) else scope) is Scope
