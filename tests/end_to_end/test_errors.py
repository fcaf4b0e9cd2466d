"""An exception is reported once, when the root run fails with it, linked to the span that failed first."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import sentry_sdk
from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import Runnable, RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.pairwise import in_pairs
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed, fake_model

with contextlib.suppress(ModuleNotFoundError):
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse


class ModelError(Exception):
    """What the model fails with."""


def failing(at: int = 0, error: BaseException | None = None, **model: Any) -> ScriptedModel:
    """A model that fails before a piece."""

    def before(number: int) -> None:
        if number == at:
            raise error or ModelError("the model failed")

    return ScriptedModel(before=before, **model)


async def run(way: Way, app: Runnable[Any, Any], question: Any, handler: SentryStreamHandler) -> None:
    with contextlib.suppress(ModelError):
        await way.run(app, question, {"callbacks": [handler]})


def issues(captured: Captured) -> list[dict[str, Any]]:
    return [event for event in captured.events if event.get("logger") != "asyncio"]


@in_pairs(shape=WIRE_SHAPES, subject=SUBJECTS, way=WAYS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@needs_async_context(lambda subject, way: subject.name in ("agent", "tool") and is_async(way))
async def test_a_failure_is_one_issue_linked_to_the_span_that_failed_first(
    shape: str, subject: Subject, way: Way
) -> None:
    """The issue belongs to the model's span, though it is the root's failure that makes it one."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await run(way, subject.make(failing()), subject.question, SentryStreamHandler())
    (issue,) = issues(captured)
    failed = captured.find_all(op="gen_ai.chat")
    assert issue["contexts"]["trace"]["span_id"] in [span.span_id for span in failed]
    assert issue["contexts"]["trace"]["trace_id"] == failed[0].trace_id
    assert issue["exception"]["values"][-1]["type"] == "ModelError"
    assert issue["exception"]["values"][-1]["mechanism"]["type"] == "langchain_stream"
    assert failed[0].attributes["error.type"] == "ModelError"
    assert "the model failed" not in str([span.attributes for span in captured.spans])


def service(handler: SentryStreamHandler, model: ScriptedModel) -> FastAPI:
    pytest.importorskip("fastapi")
    app = FastAPI()
    chain = next(subject for subject in SUBJECTS if subject.name == "chain").make(model)
    config: Any = {"callbacks": [handler]}

    @app.get("/whole")
    async def whole() -> str:
        return str(await chain.ainvoke({"question": "Hi"}, config))

    @app.get("/sync")
    def sync() -> str:
        return str(chain.invoke({"question": "Hi"}, config))

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def relay() -> AsyncIterator[str]:
            async for text in chain.astream({"question": "Hi"}, config):
                yield text

        return StreamingResponse(relay())

    return app


@pytest.mark.parametrize("route", ["whole", "sync", "stream"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_fastapi_does_not_report_it_again(shape: str, route: str) -> None:
    """With Sentry's own integrations on, an exception that goes through a route is one issue, linked to the model."""
    gc.collect()  # a failed task that another test has left is not to be reported in this one
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        app = service(SentryStreamHandler(), failing(at=1 if route == "stream" else 0))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            with contextlib.suppress(Exception):
                await client.get(f"/{route}")
    (issue,) = issues(captured)
    assert issue["contexts"]["trace"]["span_id"] == captured.find(op="gen_ai.chat").span_id


async def test_who_switches_it_off_leaves_it_to_the_framework() -> None:
    """With `capture_errors=False` the span fails, and the issue is FastAPI's, as without us."""
    with capture_spans() as captured:
        app = service(SentryStreamHandler(capture_errors=False), failing())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            await client.get("/whole")
    (issue,) = issues(captured)
    assert issue["exception"]["values"][-1]["mechanism"]["type"] != "langchain_stream"
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "failed"


def recovered(how: str) -> Runnable[Any, Any]:
    """An application whose first attempt fails and whose second works."""
    attempts: list[int] = []

    def before(number: int) -> None:
        if number == 0:
            attempts.append(number)
            if len(attempts) == 1:
                raise ModelError("the first attempt failed")

    model = ScriptedModel(before=before)
    if how == "with_retry":
        return model.with_retry(retry_if_exception_type=(ModelError,), wait_exponential_jitter=False)
    if how == "with_fallbacks":
        return model.with_fallbacks([fake_model()])
    return RunnableLambda(lambda text: text) | model.with_fallbacks([fake_model()])


RECOVERIES = [
    (how, way)
    for how in ("with_retry", "with_fallbacks", "with_fallbacks in a chain")
    for way in WAYS
    if how != "with_retry" or not way.streams  # LangChain does not retry streams
]


@pytest.mark.parametrize(("how", "way"), RECOVERIES, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda how, way: how == "with_fallbacks" and is_async(way))
async def test_a_recovered_failure_is_no_issue(shape: str, how: str, way: Way) -> None:
    """A failure that a retry or a fallback recovered from marks its span and is no issue."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(recovered(how), "Hi", {"callbacks": [handler]})
    outcomes = [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")]
    assert outcomes == ["failed", "completed"]
    assert issues(captured) == []
    assert captured.find(op="function").attributes["langchain_stream.outcome"] == "completed"
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
@needs_async_context(lambda way: str(way) == "ainvoke")
async def test_a_handler_on_the_model_alone_reports_nothing(way: Way) -> None:
    """A handler on the model alone cannot see whether its caller recovers, so it reports no issue."""
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        await way.run(failing(callbacks=[handler]).with_fallbacks([fake_model()]), "Hi", {})
    assert issues(captured) == []
    assert handler.live_runs == 0


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@needs_async_context(lambda way: is_async(way))
async def test_an_interrupted_graph_is_no_error(shape: str, way: Way) -> None:
    """LangGraph's `interrupt` hands control upwards: no issue, and no span is marked as failed."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.graph import END, START, MessagesState, StateGraph
    from langgraph.types import interrupt

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [interrupt("May I?")]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        app = graph.compile(checkpointer=InMemorySaver())
        await way.run(app, {"messages": []}, {"callbacks": [handler], "configurable": {"thread_id": "1"}})
    assert issues(captured) == []
    ours = [span for span in captured.spans if "langchain_stream.outcome" in span.attributes]
    assert [(span.op, span.attributes["langchain_stream.outcome"]) for span in ours] == [
        ("gen_ai.invoke_agent", "completed")
    ]
    assert {span.status for span in captured.spans} <= {"ok", None}
    assert handler.live_runs == 0


async def test_the_exception_is_not_kept() -> None:
    """Once the application has let go of an exception it is gone: it would pin the whole stream."""
    handler = SentryStreamHandler()
    seen: list[weakref.ref[BaseException]] = []
    with capture_spans() as captured:
        try:
            await failing(error=ModelError()).ainvoke("Hi", config={"callbacks": [handler]})
        except ModelError as error:
            seen.append(weakref.ref(error))
        sentry_sdk.get_isolation_scope().clear()
        captured.client.integrations["dedupe"]._last_seen.set(None)
        gc.collect()
        assert seen[0]() is None
    assert len(issues(captured)) == 1


@pytest.mark.parametrize("off", [{"traces_sample_rate": 0.0}, {"traces_sample_rate": None}])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_failure_is_reported_though_nothing_is_traced(shape: str, off: dict[str, Any]) -> None:
    """Errors have a sampling of their own: a failure is an issue also where its trace is not recorded."""
    with capture_spans(**WIRE_SHAPES[shape], **off) as captured:
        await run(WAYS[0], failing(), "Hi", SentryStreamHandler())
    assert len(issues(captured)) == 1


async def test_the_issue_carries_no_variables_unless_content_is_allowed() -> None:
    """Stack frames hold prompts in their variables, so those stay at home while content may not be recorded."""
    question = " ".join(["a very", "private question"])  # lines of source code are shown
    with capture_spans() as captured:
        await run(WAYS[2], failing(), question, SentryStreamHandler())
    (issue,) = issues(captured)
    assert question not in str(issue)
    frames = issue["exception"]["values"][-1]["stacktrace"]["frames"]
    assert frames
    assert all("vars" not in frame for frame in frames)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_last_attempts_failure_belongs_to_the_last_attempt(shape: str) -> None:
    """When every retry fails, the issue is linked to the attempt whose exception it is."""

    def fresh(_: int) -> None:
        raise ModelError("this attempt failed")

    app = ScriptedModel(before=fresh).with_retry(
        retry_if_exception_type=(ModelError,), wait_exponential_jitter=False, stop_after_attempt=2
    )
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await run(WAYS[2], app, "Hi", SentryStreamHandler())
    (issue,) = issues(captured)
    attempts = captured.find_all(op="gen_ai.chat")
    assert len(attempts) == 2
    assert issue["contexts"]["trace"]["span_id"] == attempts[-1].span_id


@needs_async_context()
async def test_a_failure_of_the_chains_own_is_not_blamed_on_a_model() -> None:
    """An exception that a chain raises after a failure that it handled is linked to the chain."""

    async def handle(question: str) -> str:
        with contextlib.suppress(ModelError):
            await failing().ainvoke(question)
        raise ModelError("the chain's own")

    with capture_spans() as captured:
        await run(WAYS[2], RunnableLambda(handle), "Hi", SentryStreamHandler())
    (issue,) = issues(captured)
    assert issue["contexts"]["trace"]["span_id"] == captured.find(op="function").span_id


class ProxyError(Exception):
    """An exception that has an answer to every attribute."""

    def __getattr__(self, name: str) -> str:
        if name.startswith("__sentry") or name.startswith("__reported"):
            return "proxied"
        raise AttributeError(name)


async def test_an_exception_of_the_users_own_is_never_swallowed() -> None:
    """Once we have reported something, exceptions with permissive attributes are reported as ever, by anybody."""
    with capture_spans() as captured:
        await run(WAYS[2], failing(), "Hi", SentryStreamHandler())
        sentry_sdk.capture_exception(ProxyError())
        with contextlib.suppress(ProxyError):
            await failing(error=ProxyError()).ainvoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    types = sorted(event["exception"]["values"][-1]["type"] for event in issues(captured))
    assert types == ["ModelError", "ProxyError", "ProxyError"]


async def test_redact_sees_the_message_of_an_issue() -> None:
    """With `redact`, an issue carries its message redacted and no stack-frame variables, whatever is allowed."""
    handler = SentryStreamHandler(redact=lambda text: text.replace("ada@example.org", "***"))
    with capture_spans(**content_allowed(True)) as captured:
        await run(WAYS[2], failing(error=ModelError("no such user: ada@example.org")), "ada@example.org", handler)
    (issue,) = issues(captured)
    assert issue["exception"]["values"][-1]["value"] == "no such user: ***"
    assert not any("vars" in frame for frame in issue["exception"]["values"][-1]["stacktrace"]["frames"])


async def test_a_parsers_complaint_does_not_quote_the_answer() -> None:
    """LangChain's output parsers put the whole answer into their message; it is not sent unless answers are."""
    app = ScriptedModel(pieces=("a very private answer",)) | JsonOutputParser()
    with capture_spans() as captured, contextlib.suppress(OutputParserException):
        await app.ainvoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    (issue,) = issues(captured)
    assert issue["exception"]["values"][-1]["type"] == "OutputParserException"
    values = [each.get("value") for each in issue["exception"]["values"] if each["type"] == "OutputParserException"]
    assert values == [None] or values == [""]
