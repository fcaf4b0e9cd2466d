"""What is reported inside of a run, a tracked stream or a raw client's call is as private as what leaves a run."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from sentry_langchain_stream import SentryStreamHandler, track_stream
from sentry_langchain_stream.testing import capture_spans
from tests.kit import HANG
from tests.kit.absent import needs
from tests.kit.async_context import needs_async_context
from tests.kit.fresh import Fresh
from tests.kit.wire import WIRE_SHAPES, content_allowed

SECRET = f"a very private question {uuid4().hex}"
"""Made at run time: what stands in source code may be sent."""


def captured_(error: Exception) -> None:
    sentry_sdk.capture_exception(error)


def logged(error: Exception) -> None:
    logging.getLogger("application").exception(f"it failed with {error!r}")


Report = Callable[[Exception], Any]
REPORTS: tuple[Report, ...] = (captured_, logged)


def quotes(text: str, report: Report) -> str:
    """As applications write it: the failure is reported, and the model is told."""
    try:
        raise ValueError(f"no such order: {text}")
    except ValueError as error:
        report(error)
        return "sorry"


def in_a_tool(report: Report) -> Any:
    @tool
    def look(order: str) -> str:
        """Look for an order."""
        return quotes(order, report)

    return lambda config: look.invoke({"order": SECRET}, config)


def in_an_async_tool(report: Report) -> Any:
    @tool
    async def look(order: str) -> str:
        """Look for an order."""
        await asyncio.sleep(0)
        return quotes(order, report)

    return lambda config: asyncio.run(look.ainvoke({"order": SECRET}, config))


def in_a_function(report: Report) -> Any:
    step: Any = RunnableLambda(lambda order: quotes(str(order), report))
    return lambda config: step.invoke(SECRET, config)


def in_a_node(report: Report) -> Any:
    from langgraph.graph import START, MessagesState, StateGraph

    def node(state: MessagesState) -> Any:
        return {"messages": [quotes(str(state["messages"][-1].content), report)]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    app: Any = graph.compile()
    return lambda config: app.invoke({"messages": [SECRET]}, config)


PLACES = (in_a_tool, in_an_async_tool, in_a_function, pytest.param(in_a_node, marks=needs("langgraph")))


def event_of(run: Any, handler: SentryStreamHandler, **client: Any) -> dict[str, Any]:
    """The one event, without breadcrumbs, which are the application's."""
    with capture_spans(**client) as captured:
        run({"callbacks": [handler]})
    (event,) = captured.events
    event.pop("breadcrumbs", None)
    return event


@pytest.mark.parametrize("report", REPORTS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_code_inside_a_run_reports_is_private(place: Any, report: Report, shape: str) -> None:
    """A failure that a tool, a node or a function catches and reports has no variables, and its message no content."""
    event = event_of(place(report), SentryStreamHandler(), **WIRE_SHAPES[shape])
    assert SECRET[-32:] not in json.dumps(event, default=str)
    assert event["exception"]["values"][-1]["value"] == "no such order: [Filtered]"


@pytest.mark.parametrize("place", PLACES)
def test_with_content_allowed_nothing_is_removed_inside(place: Any) -> None:
    """With all content allowed the message and the variables are sent, as without the handler."""
    event = event_of(place(captured_), SentryStreamHandler(), **content_allowed(True))
    assert event["exception"]["values"][-1]["value"] == f"no such order: {SECRET}"
    assert any("vars" in frame for frame in event["exception"]["values"][-1]["stacktrace"]["frames"])


def test_redact_sees_what_is_reported_inside() -> None:
    """With `redact` the message is redacted."""
    handler = SentryStreamHandler(redact=lambda text: text.replace(SECRET, "***"))
    event = event_of(in_a_tool(captured_), handler, **content_allowed(True))
    assert event["exception"]["values"][-1]["value"] == "no such order: ***"
    assert SECRET not in json.dumps(event, default=str)


def test_with_capture_errors_off_the_event_is_as_without_the_handler() -> None:
    """Whoever has the handler keep away from issues gets them as Sentry makes them."""
    event = event_of(in_a_tool(captured_), SentryStreamHandler(capture_errors=False))
    assert event["exception"]["values"][-1]["value"] == f"no such order: {SECRET}"


def test_what_is_reported_after_a_run_is_left_alone() -> None:
    """An exception that is reported outside of every run, and has come through none, is as Sentry makes it."""
    with capture_spans() as captured:
        in_a_tool(lambda error: None)({"callbacks": [SentryStreamHandler()]})
        quotes(SECRET, captured_)
    (event,) = captured.events
    assert event["exception"]["values"][-1]["value"] == f"no such order: {SECRET}"


def in_a_pool(report: Report) -> Any:
    @tool
    def look(order: str) -> str:
        """Look for an order in a thread."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(quotes, order, report).result()

    return lambda config: look.invoke({"order": SECRET}, config)


def in_a_thread(report: Report) -> Any:
    @tool
    def look(order: str) -> str:
        """Look for an order in a thread."""
        thread = threading.Thread(target=quotes, args=(order, report))
        thread.start()
        thread.join()
        return "sorry"

    return lambda config: look.invoke({"order": SECRET}, config)


@pytest.mark.parametrize("place", [in_a_pool, in_a_thread])
def test_what_a_thread_of_a_tool_reports_is_private(place: Any) -> None:
    """LangChain's context does not reach the thread, and Sentry's scope does."""
    event = event_of(place(captured_), SentryStreamHandler())
    assert SECRET[-32:] not in json.dumps(event, default=str)


@needs_async_context()
async def test_what_a_node_reports_after_its_run_was_cancelled_is_private() -> None:
    """A plain function goes on in its thread when the time of its call is over, and fails with content."""
    started, allowed, over = threading.Event(), threading.Event(), threading.Event()

    def look(order: Any) -> str:
        started.set()
        assert allowed.wait(HANG)
        try:
            return quotes(str(order), captured_)
        finally:
            over.set()

    step: Any = RunnableLambda(look)
    with capture_spans() as captured:
        call = asyncio.ensure_future(step.ainvoke(SECRET, {"callbacks": [SentryStreamHandler()]}))
        assert await asyncio.to_thread(started.wait, HANG)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        allowed.set()
        assert await asyncio.to_thread(over.wait, HANG)
    (event,) = captured.events
    event.pop("breadcrumbs", None)
    assert SECRET[-32:] not in json.dumps(event, default=str)


def test_what_garbage_collection_reports_inside_a_run_is_left_alone() -> None:
    """The exception of a task that nobody awaited belongs to whoever started it, wherever garbage is collected."""

    @tool
    def collects() -> str:
        """Do something that collects garbage."""
        gc.collect()
        return "done"

    async def forget() -> None:
        async def work(order: str) -> None:
            kept.append((asyncio.current_task(), kept))
            raise ValueError(f"order failed: {order}")

        kept: list[Any] = []
        task = asyncio.ensure_future(work(SECRET))
        await asyncio.wait([task])

    async def serve() -> None:
        gc.disable()
        try:
            await forget()
            collects.invoke({}, {"callbacks": [SentryStreamHandler()]})
        finally:
            gc.enable()

    with capture_spans() as captured:
        asyncio.run(serve())
    (event,) = captured.events
    assert event["exception"]["values"][-1]["value"] == f"order failed: {SECRET}"
    assert any("vars" in frame for frame in event["exception"]["values"][-1]["stacktrace"]["frames"])


def _source(reports: bool) -> Iterator[str]:
    yield "a"
    quotes(SECRET, captured_ if reports else lambda error: None)
    if not reports:
        raise ValueError(f"broke on {SECRET}")


async def _async_source(reports: bool) -> AsyncIterator[str]:
    for each in _source(reports):
        yield each


def _consumed(reports: bool) -> None:
    list(track_stream(_source(reports), model="m", prompt=SECRET))


def _consumed_async(reports: bool) -> None:
    async def consume() -> None:
        async for _ in track_stream(_async_source(reports), model="m", prompt=SECRET):
            pass

    asyncio.run(consume())


def _decorated(reports: bool) -> None:
    made = track_stream(model="m", prompt=lambda reports: SECRET)(_source)
    list(made(reports))


@pytest.mark.parametrize("consume", [_consumed, _consumed_async, _decorated])
@pytest.mark.parametrize("reports", [True, False], ids=["the source reports it", "the consumer reports it"])
def test_the_failure_of_a_tracked_stream_is_private(consume: Callable[[bool], None], reports: bool) -> None:
    """What the source raises, or reports itself, has no variables, and no content in its message."""
    with capture_spans() as captured:
        try:
            consume(reports)
        except ValueError as error:
            sentry_sdk.capture_exception(error)
    (event,) = captured.events
    event.pop("breadcrumbs", None)
    assert SECRET[-32:] not in json.dumps(event, default=str)
    assert event["exception"]["values"][-1]["value"] in ("broke on [Filtered]", "no such order: [Filtered]")


RAW = """
    import json
    from uuid import uuid4
    from sentry_langchain_stream import SentryStreamIntegration
    from sentry_langchain_stream.testing import capture_spans
    from tests.kit.loopback import json_body
    from tests.kit.replay import replaying
    import anthropic, openai
    from langchain_core.tools import tool

    def ask(text):
        body = {"error": {"message": f"you said {text}", "type": "invalid_request_error"}}
        with replaying(json_body(body, 400)) as server:
            for client in (
                openai.OpenAI(api_key="x", base_url=server.url, max_retries=0).chat.completions,
                anthropic.Anthropic(api_key="x", base_url=server.url, max_retries=0).messages,
            ):
                try:
                    client.create(model="m", max_tokens=5, messages=[{"role": "user", "content": text}])
                except Exception:
                    pass

    @tool
    def look(text: str) -> str:
        "Ask another model."
        ask(text)
        return "sorry"

    allowed = {"send_default_pii": True}
    for options, ours in (
        ({}, {}),
        (allowed, {"include_prompts": False}),
        (allowed, {"redact": lambda text: text.replace("SECRET", "***")}),
    ):
        for call in (ask, lambda text: look.invoke({"text": text})):
            with capture_spans(integrations=[SentryStreamIntegration(**ours)], **options) as captured:
                call(f"SECRET {uuid4().hex}")
            for event in captured.events:
                event.pop("breadcrumbs", None)
                value = event["exception"]["values"][-1]
                frames = value["stacktrace"]["frames"]
                shown = json.dumps([value["value"], [frame.get("vars") for frame in frames]])
                print(value["mechanism"]["type"], "SECRET" in shown, value["value"])
"""


@needs("anthropic", "openai")
def test_a_raw_call_that_an_enabled_integration_reports_is_private(fresh_with_clients: Fresh) -> None:
    """What Sentry's integrations report that `SentryStreamIntegration` enables is as private as its own runs."""
    done = fresh_with_clients.run(RAW)
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert [who for who, _, _ in told] == ["openai", "anthropic"] * 6
    assert {leaked for _, leaked, _ in told} == {"False"}
