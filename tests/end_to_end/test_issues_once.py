"""A failure is reported once, by whoever reports it; one that was recovered from is not. Nothing is kept of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import pickle
import sys
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import Any
from uuid import uuid4

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda
from sentry_sdk.envelope import Envelope

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._to_sentry import failures, held_issues, internals
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit import HANG, reporters
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed


def failing(error: type[Exception] = ConnectionError) -> Any:
    """A chain that fails with a new exception each time."""

    def refuse(_: int) -> None:
        raise error("Connection refused")

    return RunnableLambda(str) | ScriptedModel(before=refuse)


def let_time_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """So much that whatever is held is due."""
    (timer,) = held_issues._timer
    timer.cancel()  # type: ignore[attr-defined]
    monkeypatch.setattr(failures, "HOLD", 0.0)
    held_issues._on_time()


def refuse(error: Exception) -> None:
    raise error


def reported(captured: Captured) -> list[tuple[str, list[str]]]:
    """The mechanism and the exceptions of each event."""
    return [
        (event["exception"]["values"][-1]["mechanism"]["type"], [each["type"] for each in event["exception"]["values"]])
        for event in captured.events
        if event.get("logger") != "asyncio"  # a task that an earlier test has left behind
    ]


async def _gather(config: Any) -> Any:
    return await asyncio.gather(*(failing().ainvoke("Hi", config) for _ in range(3)))


async def _gather_late(config: Any) -> Any:
    async def late(config: Any) -> Any:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return await failing().ainvoke("Hi", config)

    started = [asyncio.ensure_future(each) for each in (failing().ainvoke("Hi", config), late(config))]
    return await asyncio.gather(*started)


async def _batch(config: Any) -> Any:
    return await failing().abatch(["one", "two", "three"], config)


async def _group(config: Any) -> Any:
    async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined, unused-ignore]
        for _ in range(3):
            group.create_task(failing().ainvoke("Hi", config))


MANY: list[Any] = [_gather, _gather_late, _batch]
if sys.version_info >= (3, 11):
    MANY.append(_group)


@pytest.mark.parametrize("call", MANY)
async def test_calls_that_run_together_are_one_issue(call: Callable[[Any], Any]) -> None:
    """Of several calls that `gather`, `abatch` or a task group started, there are as many events as without us."""
    found = []
    for callbacks in ([], [SentryStreamHandler()]):
        with capture_spans() as captured:
            if not callbacks:
                reporters.without_others(captured)
            await reporters._fastapi(lambda: call({"callbacks": callbacks}))  # noqa: B023
            while others := asyncio.all_tasks() - {asyncio.current_task()}:  # `gather` lets them run on
                await asyncio.wait(others)
            # A task group cancels the others as soon as it can, so how many are in the group is a matter of turns.
            found.append([(how, sorted(set(types))) for how, types in reported(captured)])
    assert found[0] == found[1]
    assert len(found[0]) == 1


async def test_a_sync_batch_is_one_issue() -> None:
    """A script that ends with a failed `batch` is one event, of the exception that was raised."""
    with capture_spans() as captured:
        await reporters._script(lambda: failing().batch(["one", "two"], {"callbacks": [SentryStreamHandler()]}))
        assert reported(captured) == [("excepthook", ["ConnectionError"])]


@pytest.mark.parametrize("how", ["batch", "abatch"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_batch_that_is_recovered_from_is_one_issue(shape: str, how: str) -> None:
    """LangChain ends all runs of a chain's batch with the exception of one: that is the issue, where it began."""

    def refuse(text: str) -> str:
        if text == "2":
            raise ConnectionError("Connection refused")
        return text

    chain: Any = RunnableLambda(str) | RunnableLambda(refuse).with_config(run_name="refuse") | ScriptedModel()
    config = {"callbacks": [SentryStreamHandler(chains=True)]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with contextlib.suppress(ConnectionError):
            await chain.abatch(list("0123"), config) if how == "abatch" else chain.batch(list("0123"), config)
        assert reported(captured) == [("langchain_stream", ["ConnectionError"])]
    failed = [span for span in captured.find_all(name="refuse") if span.attributes.get("error.type")]
    assert captured.events[0]["contexts"]["trace"]["span_id"] == failed[0].span_id
    assert len(failed) == 1


async def test_failures_that_do_not_overlap_are_an_issue_each() -> None:
    """A failure that was caught is an issue of its own, though the next call fails and is reported by somebody."""
    handler = SentryStreamHandler()

    async def code() -> Any:
        with contextlib.suppress(ConnectionError):
            await failing().ainvoke("Hi", {"callbacks": [handler]})
        return await failing(ValueError).ainvoke("Hi", {"callbacks": [handler]})

    with capture_spans() as captured:
        await reporters._fastapi(code)
        assert sorted(reported(captured)) == [("langchain_stream", ["ConnectionError"]), ("starlette", ["ValueError"])]


async def test_failures_of_runs_that_have_the_same_id_are_an_issue_each() -> None:
    """An application may use the id of a run again, as for each try of a job: no failure takes another one's place."""
    handler, chosen = SentryStreamHandler(), uuid4()
    with capture_spans() as captured:
        for error in (ConnectionError, ValueError, KeyError):
            with contextlib.suppress(error):
                failing(error).invoke("Hi", {"callbacks": [handler], "run_id": chosen})
    assert sorted(names[-1] for _, names in reported(captured)) == ["ConnectionError", "KeyError", "ValueError"]


async def test_a_report_counts_for_the_run_that_failed_and_not_for_a_later_one_of_its_id() -> None:
    """A failure that is caught is an issue, though one of an earlier run with the same id was reported."""
    handler, chosen = SentryStreamHandler(), uuid4()
    with capture_spans() as captured:
        try:
            RunnableLambda(refuse).invoke(ConnectionError(), {"callbacks": [handler], "run_id": chosen})
        except ConnectionError as error:
            sentry_sdk.capture_exception(error)
        held_issues._failures.clear()
        held_issues._reports.clear()  # as they are after a while
        with contextlib.suppress(ValueError):
            RunnableLambda(refuse).invoke(ValueError(), {"callbacks": [handler], "run_id": chosen})
    assert [names[-1] for _, names in reported(captured)] == ["ConnectionError", "ValueError"]


def test_a_failure_that_is_tried_again_under_its_id_is_part_of_the_last_one() -> None:
    """A retry in the `except` block, with the same id: what the application reports has both exceptions, once."""
    config: Any = {"callbacks": [SentryStreamHandler()], "run_id": uuid4()}
    with capture_spans() as captured:
        try:
            try:
                RunnableLambda(refuse).invoke(ConnectionError(), config)
            except ConnectionError:
                RunnableLambda(refuse).invoke(ValueError(), config)
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    assert reported(captured) == [("generic", ["ConnectionError", "ValueError"])]


def test_the_id_of_the_handlers_own_issue_is_the_last_events() -> None:
    """`sentry_sdk.last_event_id()` knows it, as it does of whatever else is sent."""
    with capture_spans() as captured:
        with contextlib.suppress(ConnectionError):
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        sentry_sdk.flush()
        (event,) = captured.events
        assert sentry_sdk.last_event_id() == event["event_id"]


def test_a_failure_in_a_thread_of_the_request_is_linked_for_both_who_report_it() -> None:
    """A thread with a scope of its own reports a failure and raises it on: the request's report is linked, too."""

    def work() -> None:
        with sentry_sdk.isolation_scope():
            try:
                failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
            except ConnectionError as error:
                sentry_sdk.capture_exception(error)
                raise

    with (
        capture_spans() as captured,
        sentry_sdk.start_transaction(name="request"),
        ThreadPoolExecutor(1) as threads,
    ):
        try:
            try:
                threads.submit(copy_context().run, work).result()
            except ConnectionError as error:
                raise LookupError from error
        except LookupError as error:
            sentry_sdk.capture_exception(error)
    failed = captured.find(op="gen_ai.chat")
    assert [event["contexts"]["trace"]["span_id"] for event in captured.events] == [failed.span_id] * 2


async def test_a_kept_exception_is_an_event_in_every_request() -> None:
    """An exception that is raised again in other requests, without LangChain, is reported there as ever."""
    kept: list[ConnectionError] = []
    with capture_spans() as captured:
        try:
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        except ConnectionError as error:
            kept.append(error)
        first = reported(captured)

        async def again() -> None:
            raise kept[0]

        for _ in range(6):  # each in a context of its own, as servers do
            await asyncio.get_running_loop().create_task(reporters._fastapi(again), **_own_context())
        assert first == [("langchain_stream", ["ConnectionError"])]
        assert reported(captured)[1:] == [("starlette", ["ConnectionError"])] * 6
        traces = {event["contexts"]["trace"]["trace_id"] for event in captured.events}
    assert len(traces) == 7


def _own_context() -> dict[str, Any]:
    return {"context": Context()} if sys.version_info >= (3, 11) else {}


@pytest.mark.parametrize("sent", ["in time", "by a flush"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_an_issue_is_about_the_work_that_failed(way: Way, sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that goes on to the next job, for another user, leaves the first one's user, tags and breadcrumbs."""
    with capture_spans() as captured:
        for number, chain in ((1, failing()), (2, ScriptedModel())):
            sentry_sdk.set_user({"id": f"user {number}"})
            sentry_sdk.set_tag("tenant", number)
            sentry_sdk.add_breadcrumb(message=f"job {number}")
            with sentry_sdk.new_scope() as scope:
                scope.set_tag("inner", number)
                with sentry_sdk.start_transaction(name=f"job {number}"), contextlib.suppress(ConnectionError):
                    await way.run(chain, "Hi", {"callbacks": [SentryStreamHandler()]})
        if sent == "in time":
            let_time_pass(monkeypatch)
        else:
            sentry_sdk.flush()
        (event,) = captured.events
        failed = next(span for span in captured.spans if span.attributes.get("error.type") == "ConnectionError")
    assert event["user"]["id"] == "user 1"
    assert [event["tags"][name] for name in ("tenant", "inner")] == [1, 1]
    messages = [each.get("message") for each in event["breadcrumbs"]["values"]]  # others leave some without a text
    assert ("job 1" in messages, "job 2" in messages) == (True, False)
    assert event["transaction"] == "job 1"
    assert event["contexts"]["trace"]["trace_id"] == failed.trace_id


async def test_an_exception_that_two_requests_raise_is_an_event_in_the_trace_of_each() -> None:
    """A failure that the application remembers, and that a web framework reports each time, lies in each request."""
    kept: list[ConnectionError] = []

    async def code() -> Any:
        if not kept:
            try:
                await failing().ainvoke("Hi", {"callbacks": [SentryStreamHandler()]})
            except ConnectionError as error:
                kept.append(error)
        raise kept[0]

    with capture_spans() as captured:
        for _ in range(2):
            await asyncio.get_running_loop().create_task(reporters._fastapi(code), **_own_context())
        assert [mechanism for mechanism, _ in reported(captured)] == ["starlette", "starlette"]
        first, second = (event["contexts"]["trace"]["trace_id"] for event in captured.events)
    assert first != second


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_exception_is_as_it_was(way: Way) -> None:
    """The user's exception gets no attribute and no note, whoever looks at it."""

    class Model(Exception):
        def __eq__(self, other: object) -> bool:
            return vars(self) == vars(other)

        __hash__ = None  # type: ignore[assignment]

    seen: list[Any] = []
    with capture_spans() as captured:
        try:
            await way.run(failing(Model), "Hi", {"callbacks": [SentryStreamHandler()]})
        except Model as error:
            seen.append((vars(error), error == Model(), None))
        try:
            await way.run(failing(ConnectionError), "Hi", {"callbacks": [SentryStreamHandler()]})
        except ConnectionError as error:
            seen.append((vars(error), True, vars(pickle.loads(pickle.dumps(error)))))
        assert len(captured.events) == 2
    assert seen == [({}, True, None), ({}, True, {})]


@pytest.mark.parametrize("how", ["retry", "ignore", "reject"])
def test_celery_decides_what_becomes_of_a_failure_that_a_task_has_caught(how: str) -> None:
    """A task may retry, or have itself ignored, with an exception of its own: the failure behind that is no issue."""
    from celery import Celery  # type: ignore[import-untyped, unused-ignore]
    from celery.exceptions import Ignore, Reject  # type: ignore[import-untyped, unused-ignore]

    app = Celery("tests", broker="memory://")

    @app.task(name=how, shared=False, bind=True, max_retries=1, default_retry_delay=0)  # type: ignore[untyped-decorator, unused-ignore]
    def answer(self: Any) -> str:
        if self.request.retries:
            return "again"
        try:
            return str(failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]}).content)
        except ConnectionError:
            if how == "retry":
                raise self.retry(exc=LookupError("no model")) from None
            raise (Ignore if how == "ignore" else Reject)() from None

    with capture_spans() as captured:
        answer.apply()
        assert reported(captured) == []


@pytest.mark.parametrize("how", ["recovers", "fails", "throws"])
async def test_celery_decides_what_becomes_of_a_task(how: str) -> None:
    """A failure that Celery retries or expects is no issue; what fails in the end is Celery's, once."""
    from celery import Celery  # type: ignore[import-untyped, unused-ignore]

    attempts: list[int] = []

    def flaky(_: int) -> None:
        attempts.append(1)
        if how != "recovers" or len(attempts) < 3:
            raise ConnectionError("Connection refused")

    chain: Any = RunnableLambda(str) | ScriptedModel(before=flaky)
    app = Celery("tests", broker="memory://")
    retries = {"autoretry_for": (ConnectionError,), "default_retry_delay": 0, "max_retries": 3}

    @app.task(name=how, shared=False, **({"throws": (ConnectionError,)} if how == "throws" else retries))  # type: ignore[untyped-decorator, unused-ignore]
    def answer() -> str:
        return str(chain.invoke("Hi", {"callbacks": [SentryStreamHandler()]}).content)

    with capture_spans() as captured:
        answer.apply()
        assert reported(captured) == ([("celery", ["ConnectionError"])] if how == "fails" else [])
    assert len(attempts) == {"recovers": 3, "fails": 4, "throws": 1}[how]


async def test_the_log_is_a_reporter_too() -> None:
    """`logger.exception` in the `except` block is the one event; without content its message is the template."""
    with capture_spans() as captured:
        try:
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        except ConnectionError as error:
            logging.getLogger("application").exception("it failed: %s", error)
        (event,) = captured.events
    assert event["logentry"] == {"message": "it failed: %s", "params": []}
    assert event["contexts"]["trace"]["span_id"] == captured.find(op="gen_ai.chat").span_id


async def test_a_flush_in_a_finally_block_does_not_report_it_early() -> None:
    """A script that flushes on its way out still has one event, that of the end of the script."""

    def script() -> None:
        try:
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        finally:
            sentry_sdk.flush()

    with capture_spans() as captured:
        await reporters._script(script)
        assert reported(captured) == [("excepthook", ["ConnectionError"])]


def test_the_time_of_an_issue_begins_when_it_is_made() -> None:
    """What the handler itself takes to make it, as a slow `repr` does, is not taken from whoever reports it."""
    looked_at = []

    class Rows:
        def __repr__(self) -> str:
            looked_at.append(time.monotonic())
            return "<rows>"

    def view() -> None:
        rows = Rows()
        failing().invoke(str(type(rows)), {"callbacks": [SentryStreamHandler()]})

    with capture_spans(**content_allowed(True)):
        with contextlib.suppress(ConnectionError):
            view()
        (held,) = held_issues._held()
        assert held.due >= max(looked_at) + failures.HOLD


@pytest.mark.usefixtures("lenient")
def test_a_failure_that_cannot_be_looked_at_keeps_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong with one that is held, the next one is sent, and the timer goes on."""

    def fail(_: float) -> bool:
        raise RuntimeError

    with capture_spans() as captured:
        for error in (KeyError, ConnectionError):
            with contextlib.suppress(error):
                failing(error).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        broken = next(iter(held_issues._held()))
        broken.has_company = fail
        let_time_pass(monkeypatch)
        assert held_issues._timer
        held_issues._timer[0].cancel()  # type: ignore[attr-defined]
        held_issues._failures.pop(broken.run_id)
        assert reported(captured) == [("langchain_stream", ["ConnectionError"])]


async def test_what_nobody_reports_is_sent_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure that was caught is sent without a flush, after the time for which it is held."""
    monkeypatch.setattr(failures, "HOLD", 0.01)
    with capture_spans() as captured:
        with contextlib.suppress(ConnectionError):
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        for timer in list(held_issues._timer):
            timer.join()
        assert any(b"ConnectionError" in each for each in captured.envelopes)


@pytest.mark.parametrize(
    ("framework", "make", "events"),
    [
        ("fastapi", lambda web: web.HTTPException(404), 0),
        ("fastapi", lambda web: web.HTTPException(503), 1),
        ("starlette.exceptions", lambda web: web.HTTPException(401), 0),
        ("django.http", lambda web: web.Http404(), 0),
        ("django.core.exceptions", lambda web: web.BadRequest("no"), 0),
        ("django.http.multipartparser", lambda web: web.MultiPartParserError("no"), 0),
        ("fastapi.exceptions", lambda web: web.RequestValidationError([]), 0),
        ("werkzeug.exceptions", lambda web: web.ServiceUnavailable(), 0),
        ("tornado.web", lambda web: web.HTTPError(503), 0),
        ("tornado.web", lambda web: web.Finish(), 0),
        ("aiohttp.web_exceptions", lambda web: web.HTTPNotFound(), 0),
        ("aiohttp.web_exceptions", lambda web: web.HTTPBadGateway(), 1),
        ("bottle", lambda web: web.HTTPError(404), 0),
        ("bottle", lambda web: web.HTTPResponse("no", 503), 1),
        ("falcon", lambda web: web.HTTPNotFound(), 0),
        ("falcon", lambda web: web.HTTPError(429), 0),
        ("falcon", lambda web: web.HTTPServiceUnavailable(), 1),
        ("falcon", lambda web: web.HTTPStatus(503), 0),
        ("starlette.exceptions", lambda web: web.WebSocketException(1008), 0),
        ("celery.exceptions", lambda queue: queue.Ignore(), 0),
        ("celery.exceptions", lambda queue: queue.Reject(), 0),
    ],
)
async def test_an_answer_of_a_web_framework_is_no_issue(framework: str, make: Any, events: int) -> None:
    """A chain that raises "404" to let the framework answer with it has not failed: nobody would report it."""
    web = pytest.importorskip(framework)

    def deny(_: Any) -> None:
        raise make(web)

    with capture_spans() as captured:
        with contextlib.suppress(Exception):
            await RunnableLambda(deny).ainvoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert len(captured.events) == events


def stand_in(module: str, name: str, **attributes: Any) -> type[Exception]:
    """A class of exceptions like that of a framework which is not installed here."""
    return type(name, (Exception,), {"__module__": module, **attributes})


@pytest.mark.parametrize(
    ("answer", "events"),
    [
        (stand_in("sanic.exceptions", "SanicException", quiet=True), 0),
        (stand_in("sanic.exceptions", "SanicException", quiet=False), 1),
        (stand_in("grpc._cython.cygrpc", "AbortError"), 0),
        (stand_in("grpc._cython.cygrpc", "InternalError"), 1),
        (stand_in("pyramid.httpexceptions", "HTTPException"), 0),
        (stand_in("ninja.errors", "HttpError"), 0),
        (stand_in("ninja.errors", "ConfigError"), 1),
        (stand_in("chalice.app", "ChaliceViewError"), 0),
        (stand_in("trytond.exceptions", "TrytonException"), 0),
    ],
    ids=lambda each: getattr(each, "__name__", None),
)
def test_an_answer_of_a_framework_that_is_not_installed_is_no_issue(answer: type[Exception], events: int) -> None:
    """The same for what the integration of such a framework never reports, or, of Sanic, if the class is not quiet."""

    class Answer(answer):  # type: ignore[misc,valid-type]
        pass

    def deny(_: Any) -> None:
        raise Answer

    with capture_spans() as captured:
        with contextlib.suppress(Exception):
            RunnableLambda(deny).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert len(captured.events) == events


@pytest.mark.parametrize(("module", "events"), [("grpc._server", 0), ("shop.orders", 1)])
def test_an_abort_of_grpc_without_asyncio_is_no_issue(module: str, events: int) -> None:
    """There `context.abort` raises a bare `Exception()`, of which only the function that raises it says what it is."""
    place: dict[str, Any] = {"__name__": module}
    exec("def abort(_):\n    raise Exception()", place)

    with capture_spans() as captured:
        with contextlib.suppress(Exception):
            RunnableLambda(lambda _: place["abort"](_)).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert len(captured.events) == events


async def test_a_status_that_the_integrations_do_not_report_is_no_issue() -> None:
    """Which answers are failures is the application's choice: `failed_request_status_codes` of the integrations."""
    web = pytest.importorskip("fastapi")
    from sentry_sdk.integrations.fastapi import FastApiIntegration
    from sentry_sdk.integrations.starlette import StarletteIntegration

    def deny(_: Any) -> None:
        raise web.HTTPException(503)

    chosen = [each(failed_request_status_codes=set()) for each in (StarletteIntegration, FastApiIntegration)]
    with capture_spans(integrations=chosen) as captured:
        with contextlib.suppress(web.HTTPException):
            await RunnableLambda(deny).ainvoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert captured.events == []


def test_no_failure_waits_for_another_one() -> None:
    """When the timer has sent the oldest failure, it waits only as long as the next one still has to be held."""
    with capture_spans():
        with contextlib.suppress(ConnectionError):
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        (held,) = [each for each in held_issues._failures.values() if each.event is not None]
        held.failed = held.held = held.held - failures.HOLD + 1.0
        for timer in held_issues._timer:
            timer.cancel()  # type: ignore[attr-defined]
        held_issues._timer.clear()
        assert held_issues._start_timer()
        assert held_issues._timer[0].interval <= 1.0  # type: ignore[attr-defined]


def test_a_flush_sends_as_much_as_its_timeout_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `before_send` takes its time, what is not sent in time is held on, and sent by the next flush."""
    monkeypatch.setattr(held_issues, "_LEAST", 0.0)
    with capture_spans() as captured:
        for error in (ConnectionError, KeyError, TimeoutError):
            with contextlib.suppress(error):
                failing(error).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        sentry_sdk.flush(timeout=0)
        assert len(held_issues._held()) == 2
        sentry_sdk.flush(timeout=HANG)
        assert held_issues._held() == []
        assert len(reported(captured)) == 3


@pytest.mark.skipif(not hasattr(sentry_sdk.Client, "flush_async"), reason="needs an SDK with flush_async")
async def test_an_async_flush_lets_others_go_on() -> None:
    """Between two issues the event loop comes round."""
    done = []

    def before_send(event: Any, hint: Any) -> Any:
        done.append("issue")
        return event

    async def other() -> None:
        done.append("other")

    with capture_spans(before_send=before_send) as captured:
        for error in (ConnectionError, KeyError):
            with contextlib.suppress(error):
                failing(error).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        await asyncio.gather(captured.client.flush_async(timeout=HANG), other())
    assert done == ["issue", "other", "issue"]


class Outer:
    """Where a class of exceptions is."""

    class Inner(ConnectionError):
        """One that is known by its qualified name."""


@pytest.mark.parametrize(
    ("ignored", "is_sent"), [("Outer.Inner", False), (f"{__name__}.Outer.Inner", False), ("Inner", True)]
)
def test_names_of_classes_are_those_that_the_sdk_compares(ignored: str, is_sent: bool) -> None:
    """Of a class in a class the qualified name, with its module or without."""
    with capture_spans(ignore_errors=[ignored]) as captured:
        with contextlib.suppress(ConnectionError):
            failing(Outer.Inner).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert bool(captured.events) is is_sent


@pytest.mark.parametrize("ignored", [ConnectionError, "ConnectionError", OSError])
async def test_what_the_client_ignores_is_no_issue(ignored: Any) -> None:
    """`ignore_errors` holds for the issue of a failure that nobody reports."""
    with capture_spans(ignore_errors=[ignored]) as captured:
        with contextlib.suppress(ConnectionError):
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        assert captured.events == []


@pytest.mark.parametrize("report", [sentry_sdk.capture_exception, str], ids=["reported", "swallowed"])
async def test_the_variables_of_the_application_stay(report: Callable[[Any], Any]) -> None:
    """What `locals()` has returned stays whole when a call fails, and so does what `exec` runs in it."""

    def code() -> Any:
        chain, kept = failing(), "kept"
        variables = locals()
        try:
            chain.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        except ConnectionError as error:
            report(error)
        return variables.get("kept") == kept

    def cell(source: str, chain: Any, config: Any, report: Any, found: list[int]) -> None:
        exec(source, globals(), locals())

    found: list[int] = []
    with capture_spans():
        assert code()
        source = (
            "one = 1\ntry:\n    chain.invoke('Hi', config)\nexcept Exception as e:\n    report(e)\nfound.append(one)"
        )
        cell(source, failing(), {"callbacks": [SentryStreamHandler()]}, report, found)
    assert found == [1]


class Local:
    """A local variable of the function that fails."""


@pytest.mark.parametrize("is_allowed", [False, True])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_failures_keep_nothing_alive(way: Way, is_allowed: bool) -> None:
    """A loop of failures that are caught keeps no exception and no local variable, before and after it is flushed."""
    seen: list[weakref.ref[Local]] = []

    def refuse(_: int) -> None:
        local = Local()
        seen.append(weakref.ref(local))
        raise ConnectionError("Connection refused")

    handler = SentryStreamHandler()
    chain: Any = RunnableLambda(str) | ScriptedModel(before=refuse)
    with capture_spans(**content_allowed(is_allowed)) as captured:
        for _ in range(20):
            with contextlib.suppress(ConnectionError):
                await way.run(chain, "Hi", {"callbacks": [handler]})
        await asyncio.sleep(0)
        gc.collect()
        assert [each for each in seen if each() is not None] == []
        assert len(captured.events) == 20
    assert not any(each.event for each in held_issues._failures.values())


async def test_what_is_held_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many failures in a short time the oldest are sent at once."""
    handler, most = SentryStreamHandler(), 30
    monkeypatch.setattr(held_issues, "_MOST_FAILURES", most)
    with capture_spans() as captured:
        for number in range(most + 20):
            with contextlib.suppress(ConnectionError):
                failing(type(f"Error{number}", (ConnectionError,), {})).invoke("Hi", {"callbacks": [handler]})
        assert len(held_issues._failures) <= most
        assert len(captured.events) == most + 20


@pytest.mark.parametrize("fate", ["reported", "ignored"])
def test_what_is_held_of_a_failure_goes_in_time(fate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure without an issue to send is forgotten too, with its scopes, and no later failure is needed for that."""
    with capture_spans(ignore_errors=[ConnectionError] if fate == "ignored" else []):
        try:
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        except ConnectionError as error:
            sentry_sdk.capture_exception(error)
        let_time_pass(monkeypatch)
        assert (held_issues._timer, held_issues._failures, held_issues._reports.of_runs) == ([], {}, [])


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_run_that_ends_while_an_issue_is_made_has_its_span(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Garbage collection may end a stream at any time; what runs then asks the client for its integrations, too."""
    handler = SentryStreamHandler()
    made = internals.event_from_exception

    def make(*args: Any, **kwargs: Any) -> Any:
        assert sentry_sdk.get_client().get_integration("nothing") is None
        ScriptedModel().invoke("Hi", {"callbacks": [handler]})
        return made(*args, **kwargs) if made is not None else None

    monkeypatch.setattr(internals, "event_from_exception", make)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        model = ScriptedModel(before=_refuse).with_fallbacks([ScriptedModel(before=_refuse)])
        with contextlib.suppress(ValueError):
            model.invoke("Hi", {"callbacks": [handler]})
        sentry_sdk.flush()
    outcomes = [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")]
    assert outcomes.count("completed") >= 1


def _refuse(_: int) -> None:
    raise ValueError("no")


def test_a_flush_sends_what_is_held_for_its_own_client() -> None:
    """A client that is flushed, or closed, leaves to every other client the failures that were caught there."""
    with capture_spans() as outer:
        with contextlib.suppress(ConnectionError):
            failing().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
        with capture_spans() as inner:
            with contextlib.suppress(TimeoutError):
                failing(TimeoutError).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
            inner.client.flush()
            sent = [str(item.type) for raw in outer.envelopes for item in Envelope.deserialize(raw).items]
            assert "event" not in sent
        assert [types for _, types in reported(inner)] == [["TimeoutError"]]
        assert [types for _, types in reported(outer)] == [["ConnectionError"]]
