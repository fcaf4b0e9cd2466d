"""Failures that belong together, or that somebody has dealt with, make no more events than without the handler."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda, RunnableParallel
from sentry_sdk import scope as sentry_scope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import failures, held_issues, issues
from sentry_langchain_stream.testing import capture_spans
from tests.kit import reporters
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, active_span, child_span

Config = Any  # a `RunnableConfig`


def fail(_: Any) -> Any:
    raise ValueError("no answer")


async def afail(_: Any) -> Any:
    await asyncio.sleep(0)
    raise ValueError("no answer")


CHAIN: Any = RunnableLambda(fail, afunc=afail) | RunnableLambda(str)


def with_handler() -> Config:
    return {"callbacks": [SentryStreamHandler()]}


async def numbers_of_events(
    call: Callable[[Config], Any], report: Callable[[Any], Awaitable[None]], **options: Any
) -> tuple[int, int]:
    """How many events there are without the handler and with it."""
    found = []
    none: Config = {}
    for config in (none, with_handler()):
        with capture_spans(**options) as captured:
            if not config:
                reporters.without_others(captured)
            await report(lambda: call(config))  # noqa: B023
            while others := asyncio.all_tasks() - {asyncio.current_task()}:  # `gather` lets them run on
                await asyncio.wait(others)
            found.append(len(events := [each for each in captured.events if each.get("logger") != "asyncio"]))
            print([each["exception"]["values"][-1].get("mechanism") for each in events])  # shown if the test fails
    return found[0], found[1]


# -- One of many --------------------------------------------------------------------------------------------------


async def _few_at_a_time(config: Config) -> Any:
    places = asyncio.Semaphore(2)

    async def one() -> Any:
        async with places:
            return await CHAIN.ainvoke(1, config)

    return await asyncio.gather(*(one() for _ in range(12)))


async def _graph(config: Config) -> Any:
    langgraph = pytest.importorskip("langgraph.graph")
    graph = langgraph.StateGraph(dict).add_node("ask", afail).add_edge(langgraph.START, "ask").compile()
    return await graph.abatch([{"a": 1}] * 20, {**config, "max_concurrency": 4})


async def _very_many(config: Config) -> Any:
    return await CHAIN.abatch([1] * (held_issues._MOST + 50), config)


async def _each_by_the_application(config: Config) -> Any:
    calls = (CHAIN.ainvoke(1, config) for _ in range(held_issues._MOST + 50))
    for error in await asyncio.gather(*calls, return_exceptions=True):
        sentry_sdk.capture_exception(error)


@pytest.mark.parametrize(
    ("call", "events"),
    [(_few_at_a_time, 1), (_graph, 1), (_very_many, 1), (_each_by_the_application, held_issues._MOST + 50)],
)
async def test_as_many_events_as_without_the_handler(call: Callable[[Config], Any], events: int) -> None:
    """Calls that fail alike in a request are one issue if one is reported, also one after the other, or very many."""
    assert await numbers_of_events(call, reporters._fastapi) == (events, events)


def _quick(config: Config) -> Any:
    return RunnableLambda(fail).batch([1] * 20, config)


def _branches(config: Config) -> Any:
    few: Config = {**config, "max_concurrency": 2}
    return RunnableParallel(a=CHAIN, b=CHAIN).batch([1] * 6, few)


def _pool(config: Config) -> Any:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda each: CHAIN.invoke(each, config), range(12)))


def _loop(config: Config) -> Any:
    for last in (False, False, True):
        try:
            return CHAIN.invoke(1, config)
        except ValueError:
            if last:
                raise
    return None


@pytest.mark.parametrize("call", [_quick, _branches, _pool, _loop])
@pytest.mark.parametrize("report", [reporters._script, reporters._fastapi_sync])
async def test_threads_and_attempts_too(call: Callable[[Config], Any], report: Any) -> None:
    """Threads whose failures do not overlap are one issue, and so are the attempts of the application's own loop."""
    assert await numbers_of_events(call, report) == (1, 1)


async def test_an_issue_waits_for_calls_that_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`batch` raises what failed first once its slowest call is over: until then nobody can have reported it."""
    begun, held = threading.Event(), threading.Event()
    hold = held_issues.hold

    def noted(*args: Any) -> None:
        hold(*args)
        for each in held_issues._failures.values():
            each.failed -= failures.HOLD  # which is over by now
        held.set()

    monkeypatch.setattr(held_issues, "hold", noted)

    def slow(number: int) -> int:
        if number:
            begun.set()
            held.wait(60)
            held_issues._on_time()
            return number
        begun.wait(60)
        raise ValueError("quick")

    with capture_spans() as captured:
        await reporters._script(lambda: RunnableLambda(slow).batch([0, 1], with_handler()))
        (event,) = captured.events
    assert event["exception"]["values"][-1]["mechanism"]["type"] == "excepthook"


async def test_alike_in_another_request_is_an_issue_of_its_own() -> None:
    """A failure that is caught is reported, though one like it was reported in another request."""
    with capture_spans() as captured:
        await reporters._fastapi(lambda: CHAIN.ainvoke(1, with_handler()))

        async def caught() -> None:
            with contextlib.suppress(ValueError):
                await CHAIN.ainvoke(1, with_handler())

        await reporters._fastapi(caught)
        mechanisms = [each["exception"]["values"][-1]["mechanism"]["type"] for each in captured.events]
    assert sorted(mechanisms) == ["langchain_stream", "starlette"]


async def test_what_was_only_beside_a_report_is_an_issue_later() -> None:
    """A call goes on while another one is reported, and fails in its own way: one like it, later, is seen by nobody."""
    begun, resume = asyncio.Event(), asyncio.Event()

    async def other(_: Any) -> Any:
        begun.set()
        await resume.wait()
        raise KeyError("another one")

    another: Any = RunnableLambda(fail, afunc=other)
    with capture_spans() as captured:
        beside = asyncio.create_task(another.ainvoke(1, with_handler()))
        await begun.wait()
        try:
            await CHAIN.ainvoke(1, with_handler())
        except ValueError as error:
            sentry_sdk.capture_exception(error)
        resume.set()
        for call in (beside, another.ainvoke(1, with_handler())):
            with contextlib.suppress(KeyError):
                await call
        types = [each["exception"]["values"][-1]["type"] for each in captured.events]
    assert sorted(types) == ["KeyError", "ValueError"]


async def test_of_very_many_that_nobody_reports_some_are_sent() -> None:
    """Of failures that are alike, so many issues are held, and the others are not made."""
    with capture_spans() as captured:
        for _ in range(held_issues._MOST + 20):
            with contextlib.suppress(ValueError):
                CHAIN.invoke(1, with_handler())
        assert len(captured.events) == held_issues._MOST


# -- Reported inside ----------------------------------------------------------------------------------------------


def _log(error: Exception) -> None:
    logging.getLogger("shop").exception("failed")


def _wrap(error: Exception) -> None:
    sentry_sdk.capture_exception(error)
    raise RuntimeError("wrapped") from error


@pytest.mark.parametrize("report", [_log, sentry_sdk.capture_exception, _wrap])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_a_node_reports_and_raises_is_one_issue(shape: str, report: Callable[[Any], Any]) -> None:
    """A node logs what it raises, the application catches it: the log's event is the only one."""

    def node(value: Any) -> Any:
        try:
            return fail(value)
        except ValueError as error:
            report(error)
            raise

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with contextlib.suppress(ValueError, RuntimeError):
            (RunnableLambda(node) | RunnableLambda(str)).invoke(1, with_handler())
        assert len(captured.events) == 1


def test_what_asyncio_logs_is_not_of_this_request() -> None:
    """A task that nobody awaited is reported wherever it is collected: what failed alike there is an issue still."""
    left = _raised()
    with capture_spans() as captured:
        with contextlib.suppress(ValueError):
            CHAIN.invoke(1, with_handler())
        logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=left)
        assert sorted(each.get("logger", "ours") for each in captured.events) == ["asyncio", "ours"]


def _raised() -> ValueError:
    try:
        fail(1)
    except ValueError as error:
        return error
    raise AssertionError


# -- Dropped on purpose -------------------------------------------------------------------------------------------


@pytest.fixture
def dropping() -> Iterator[None]:
    """An application that wants no events of `ValueError`, and has said so before there was a handler."""

    def drop(event: Any, hint: Any) -> Any:
        return None if isinstance(hint.get("exc_info", (None, None))[1], ValueError) else event

    kept = [*sentry_scope.global_event_processors]
    sentry_scope.global_event_processors[:] = [drop, *(each for each in kept if each is not issues._notice)]
    yield
    sentry_scope.global_event_processors[:] = kept


def report_it(config: Config) -> None:
    try:
        CHAIN.invoke(1, config)
    except ValueError as error:
        sentry_sdk.capture_exception(error)


async def test_what_the_application_drops_is_not_reported_by_the_handler(dropping: None) -> None:
    """An event processor that drops the event of a failure drops the failure: no second event takes its place."""
    assert await numbers_of_events(report_it, reporters._script) == (0, 0)


async def test_what_the_sdk_drops_as_a_repetition_is_not_reported_by_the_handler() -> None:
    """A cached exception that several calls raise is one event, as the SDK wants it."""
    broken = ValueError("the circuit is open")

    def refuse(_: Any) -> Any:
        raise broken

    def call(config: Config) -> None:
        for _ in range(3):
            try:
                RunnableLambda(refuse).invoke(1, config)
            except ValueError as error:
                sentry_sdk.capture_exception(error)

    assert await numbers_of_events(call, reporters._script) == (1, 1)


# -- Without its traceback ----------------------------------------------------------------------------------------


def _stripped(error: Exception) -> None:
    raise error.with_traceback(None)


def _cleared(error: Exception) -> None:
    traceback.clear_frames(error.__traceback__)
    raise error


@pytest.mark.parametrize("again", [_stripped, _cleared])
async def test_an_exception_whose_traceback_is_gone_is_one_private_event(again: Callable[[Any], None]) -> None:
    """The framework's event of it is the only one, and has no content where none may be recorded."""

    def refuse(question: str) -> str:
        raise ValueError(f"no answer to {question}")

    async def code() -> None:
        try:
            await RunnableLambda(refuse).ainvoke("Is Vienna nice?", with_handler())
        except ValueError as error:
            again(error)

    with capture_spans(include_local_variables=True) as captured:
        await reporters._fastapi(code)
        (event,) = captured.events
    assert event["exception"]["values"][-1]["mechanism"]["type"] == "starlette"
    values = event["exception"]["values"]
    assert not [value for value in values if "Vienna" in str(value.get("value"))]
    assert not [frame for value in values for frame in value["stacktrace"]["frames"] if "vars" in frame]


# -- What is known of the application -----------------------------------------------------------------------------


async def test_the_event_of_a_request_stays_in_its_trace() -> None:
    """A worker's run fails, and the exception is handed to the request that waits for it: that is where it happened."""
    queue: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue()

    async def work() -> None:
        answer = await queue.get()
        try:
            answer.set_result(await CHAIN.ainvoke(1, with_handler()))
        except ValueError as error:
            answer.set_exception(error)

    with capture_spans() as captured:
        worker = asyncio.create_task(work())
        with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(name="request") as request:
            answer = asyncio.get_running_loop().create_future()
            await queue.put(answer)
            try:
                await answer
            except ValueError as error:
                sentry_sdk.capture_exception(error)
        await worker
        (event,) = captured.events
    assert event["contexts"]["trace"]["trace_id"] == request.trace_id


REQUEST: ContextVar[str] = ContextVar("request", default="none")


def test_the_application_sees_the_context_of_the_failure() -> None:
    """`before_send` reads what the code that failed has said of its request, though the issue is sent later."""
    seen: list[str] = []

    def before_send(event: Any, hint: Any) -> Any:
        seen.append(REQUEST.get())
        return event

    with capture_spans(before_send=before_send) as captured:
        for name in ("one", "two"):
            REQUEST.set(name)
            with contextlib.suppress(ValueError):
                CHAIN.invoke(1, with_handler())
        REQUEST.set("none")
        assert len(captured.events) == 2
    assert seen == ["one", "two"]


def test_the_last_event_stays_that_of_later_work() -> None:
    """`last_event_id` is the handler's issue, unless the application has sent another event since."""
    with capture_spans() as captured:
        with contextlib.suppress(ValueError):
            CHAIN.invoke(1, with_handler())
        mine = sentry_sdk.capture_message("later work")
        assert len(captured.events) == 2
        assert sentry_sdk.last_event_id() == mine
        with contextlib.suppress(ValueError):
            CHAIN.invoke(1, with_handler())
        ours = [each["event_id"] for each in captured.events if "exception" in each]
        assert sentry_sdk.last_event_id() == ours[-1]


@pytest.mark.parametrize("callbacks", [{}, with_handler()], ids=["without", "with"])
@pytest.mark.parametrize("sampled", [1.0, 0.0])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_root_in_a_node_names_no_later_event(shape: str, sampled: float, callbacks: Any) -> None:
    """After a transaction or segment that a node has opened, events have the name of the one around the chain again."""

    def node(value: Any) -> Any:
        if shape == "stream":
            with sentry_sdk.traces.start_span(name="inner", parent_span=None):
                return value
        with sentry_sdk.start_transaction(op="job", name="inner"):
            return value

    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=sampled) as captured, active_span(shape, "outer"):
        (RunnableLambda(node) | RunnableLambda(str)).invoke(1, callbacks)
        sentry_sdk.capture_message("after")
        (event,) = captured.events
    assert event["transaction"] == "outer"


class Detached:
    """An object that does not like to be asked, such as a database row without its session."""

    @property
    def run_id(self) -> Any:
        raise RuntimeError("detached")


@pytest.mark.parametrize("name", ["recording", "run_manager", "run_managers"])
def test_variables_of_the_application_are_not_asked(name: str) -> None:
    """An exception that has nothing to do with LangChain keeps its message, whatever the variables are called."""
    with capture_spans() as captured:
        CHAIN.with_fallbacks([RunnableLambda(str)]).invoke(1, with_handler())
        variables = {name: Detached()}
        scope: dict[str, Any] = {}
        exec(f"def handle(given):\n    {name} = given\n    raise LookupError('no chain here')", scope)
        try:
            scope["handle"](variables[name])
        except LookupError as error:
            sentry_sdk.capture_exception(error)
        (event,) = captured.events
    assert event["exception"]["values"][-1]["value"] == "no chain here"


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_report_is_linked_to_a_model_with_spans_inside(shape: str, way: Way) -> None:
    """The event of a failure is linked to its model's span, though a client has made a span inside the call."""

    def refuse(_: int) -> None:
        with child_span(shape, "POST"):
            pass
        raise ValueError("no")

    model = ScriptedModel(before=refuse)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape, "request"):
        try:
            await way.run(model, "Hi", with_handler())
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    (event,) = captured.events
    failed = captured.find(op="gen_ai.chat")
    assert event["contexts"]["trace"]["span_id"] == failed.span_id
    assert len(captured.find_all(name="POST")) == 1
