"""Sentry's scopes are inside of a run what they are without us, but for the active span."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import copy_context
from threading import Thread, get_ident
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool
from sentry_sdk.scope import Scope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.inside import World, around, name_above, parent_of, world
from tests.kit.wire import WIRE_SHAPES, active_span, child_span, current_span_id, fake_model


@pytest.fixture(scope="module")
def outside() -> Iterator[World]:
    """A server and a database."""
    with world() as found:
        yield found


def tool(do: Any) -> BaseTool:
    """A tool that does this, sync or async."""

    def act() -> str:
        """Act."""
        do()
        return "done"

    async def aact() -> str:
        """Act."""
        await fake_model("a").ainvoke("Hi")
        do()
        return "done"

    return StructuredTool.from_function(act, coroutine=aact, name="act")


async def call(how: str, do: Any, **options: Any) -> None:
    """Call a tool that does this."""
    config: Any = {"callbacks": [SentryStreamHandler(**options)]}
    if how == "invoke":
        tool(do).invoke({}, config)
    else:
        await tool(do).ainvoke({}, config)


HOWS = ("invoke", "ainvoke")

CONVERSES = hasattr(Scope, "set_conversation_id")
"""Whether scopes have conversations: since sentry-sdk 2.51."""


def event(captured: Captured, message: str) -> dict[str, Any]:
    """The event of this message."""
    return next(each for each in captured.events if each.get("message") == message)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_what_a_tool_sets_on_the_current_scope_stays(shape: str, how: str) -> None:
    """Tags, contexts, user, level and conversation reach what is captured after the run, as without the handler."""

    def told(captured: Captured) -> list[Any]:
        keys = ("tags", "user", "level", "extra", "fingerprint", "transaction")
        known = [{key: each.get(key) for key in keys} for each in captured.events]
        return [*known, *(each["contexts"].get("inside") for each in captured.events)]

    def do() -> None:
        scope = sentry_sdk.get_current_scope()
        scope.set_tag("from", "inside")
        scope.set_context("inside", {"value": 1})
        scope.set_user({"id": "alice"})
        scope.set_extra("more", 2)
        scope.fingerprint = ["one"]
        scope.set_level("warning")
        if CONVERSES:
            scope.set_conversation_id("conv-1")
        sentry_sdk.capture_message("inside")

    seen = []
    for nesting in (True, False):
        with capture_spans(**WIRE_SHAPES[shape]) as captured, sentry_sdk.new_scope(), active_span(shape):
            await call(how, do, nesting=nesting)
            sentry_sdk.capture_message("after")
            if CONVERSES:
                assert sentry_sdk.get_current_scope().get_conversation_id() == "conv-1"
            sentry_sdk.get_current_scope().clear()
            sentry_sdk.capture_message("cleared")
        seen.append(told(captured))
    assert seen[0] == seen[1]
    assert seen[0][1]["user"] == {"id": "alice"}
    assert seen[0][2]["user"] is None


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_scopes_opened_in_a_tool_keep_to_themselves(outside: World, shape: str, how: str) -> None:
    """`new_scope` and `isolation_scope`: what is set there is seen there alone, and spans hang below the tool."""

    def do() -> None:
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("forked", "yes")
            with child_span(shape, "in new_scope"):
                outside.get("forked")
            sentry_sdk.capture_message("in new_scope")
        with sentry_sdk.isolation_scope() as scope:
            scope.set_tag("isolated", "yes")
            with child_span(shape, "in isolation_scope"):
                pass
            sentry_sdk.capture_message("in isolation_scope")
        sentry_sdk.capture_message("in the tool")
        with child_span(shape, "in the tool"):
            pass

    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        await call(how, do)
        sentry_sdk.capture_message("after")
        assert current_span_id() == above
    assert event(captured, "in new_scope")["tags"]["forked"] == "yes"
    assert event(captured, "in isolation_scope")["tags"]["isolated"] == "yes"
    for message in ("in the tool", "after"):
        assert not {"forked", "isolated"} & set(event(captured, message).get("tags", {}))
    for name in ("in new_scope", "in isolation_scope", "in the tool"):
        assert name_above(captured, name) == "execute_tool act"
    assert name_above(captured, "/forked", "http.client") == "in new_scope"


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_requests_from_a_tool_carry_the_trace_on(outside: World, shape: str, how: str) -> None:
    """The header names the trace of the run, and the span of the request, which hangs below the tool's."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        await call(how, lambda: outside.get("traced"))
    request = captured.find(op="http.client")
    ran = captured.find(op="gen_ai.execute_tool")
    assert outside.tracing["traced"] == f"{ran.trace_id}-{request.span_id}-1"
    assert parent_of(captured, request) == ran


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_issue_that_a_tool_captures_belongs_to_its_span(shape: str, how: str) -> None:
    """And one captured after it to the application's."""

    def do() -> None:
        try:
            raise RuntimeError("handled")
        except RuntimeError as error:
            sentry_sdk.capture_exception(error)

    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        await call(how, do)
        sentry_sdk.capture_message("after")
    handled = next(each for each in captured.events if "exception" in each)
    assert handled["contexts"]["trace"]["span_id"] == captured.find(op="gen_ai.execute_tool").span_id
    assert event(captured, "after")["contexts"]["trace"]["span_id"] == captured.find(name="application").span_id


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_run_inside_of_new_scope_leaves_that_scope(shape: str) -> None:
    """What the user opened around a run closes after it, though LangChain has signalled the end elsewhere."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "application") as above:
        outer = sentry_sdk.get_current_scope()
        with sentry_sdk.new_scope() as scope:
            scope.set_tag("around", "yes")
            await fake_model("a").ainvoke("Hi", {"callbacks": [SentryStreamHandler()]})
            sentry_sdk.get_current_scope().set_tag("set", "after")
            sentry_sdk.capture_message("around")
        assert sentry_sdk.get_current_scope() is outer
        assert current_span_id() == above
        sentry_sdk.capture_message("after")
    assert event(captured, "around")["tags"].items() >= {"around": "yes", "set": "after"}.items()
    assert not {"around", "set"} & set(event(captured, "after").get("tags", {}))


class Reused:
    """Threads that start each other: the first, the second, and the last, which has the ident of the first.

    The first one runs in the context of the code that starts it, and has ended when the last one is started.
    """

    def __init__(self, shape: str) -> None:
        self._shape = shape
        self._ended = 0
        self._first = Thread(target=copy_context().run, args=(self._run_first,))
        self._second = Thread(target=self._run_second)
        self.is_reused = False

    def run(self) -> None:
        """Start the first one, and wait until all have ended."""
        self._first.start()
        self._first.join()
        self._second.join()

    def _run_first(self) -> None:
        self._ended = get_ident()
        self._second.start()

    def _run_second(self) -> None:
        self._first.join()
        for _ in range(100):  # it is the system that chooses idents
            if not self.is_reused:
                last = Thread(target=self._run_last)
                last.start()
                last.join()

    def _run_last(self) -> None:
        if get_ident() == self._ended:
            self.is_reused = True
            with child_span(self._shape, "in the last thread"):
                pass


@needs_async_context(lambda how: is_async(how))
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_thread_that_has_the_ident_of_an_ended_one_is_inside(shape: str, how: str) -> None:
    """A thread in a run belongs to it, also if it has the ident of a thread whose scope reached it through others."""
    reused: list[bool] = []

    def work(given: str) -> str:
        threads = Reused(shape)
        threads.run()
        reused.append(threads.is_reused)
        return given

    async def awork(given: str) -> str:
        return work(given)

    chain: Runnable[str, str] = RunnableLambda(work, awork) | RunnableLambda(lambda given: given)
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
        if how == "invoke":
            chain.invoke("Hi", config)
        else:
            await chain.ainvoke("Hi", config)
    if reused != [True]:
        pytest.skip("this system does not use idents again")
    assert name_above(captured, "in the last thread") == "RunnableSequence"


async def test_requests_side_by_side_keep_their_users() -> None:
    """Each request's tool sets a user on the current scope of its own."""
    handler: Any = SentryStreamHandler()

    async def request(user: str) -> None:
        def do() -> None:
            sentry_sdk.get_current_scope().set_user({"id": user})

        with sentry_sdk.isolation_scope(), active_span("transaction", user):
            await tool(do).ainvoke({}, {"callbacks": [handler]})
            await asyncio.sleep(0)
            sentry_sdk.capture_message(user)

    with capture_spans() as captured:
        await asyncio.gather(*(asyncio.create_task(request(f"user {number}")) for number in range(20)))
    assert {each["message"]: each["user"]["id"] for each in captured.events} == {
        f"user {number}": f"user {number}" for number in range(20)
    }
