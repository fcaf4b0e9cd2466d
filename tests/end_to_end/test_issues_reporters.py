"""Whoever reports an exception that leaves the application reports it as it would without us."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import HAS_ASYNC_CONTEXT
from tests.kit.reporters import REPORTERS, Reporter, sessions, without_others
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, ScriptedModel

QUESTION = {"question": "Hi"}


class ModelError(Exception):
    """What fails. A builtin exception, unlike this one, cannot be referenced weakly."""


def _model(error: type[Exception]) -> Any:
    def refuse(_: int) -> None:
        raise error("Connection refused")

    return ChatPromptTemplate.from_template("{question}") | ScriptedModel(before=refuse) | StrOutputParser()


def _node(error: type[Exception]) -> Any:
    from langgraph.graph import START, StateGraph

    def ask(state: dict[str, Any]) -> dict[str, Any]:
        raise error("Connection refused")

    graph: Any = StateGraph(cast(Any, dict))
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    return graph.compile()


def _tool(error: type[Exception]) -> Any:
    from langchain_core.tools import tool

    @tool
    def ask(question: str) -> str:
        """Ask."""
        raise error("Connection refused")

    return RunnableLambda(lambda given: given) | ask


APPS: dict[str, Callable[[type[Exception]], Any]] = {"model": _model, "node": _node, "tool": _tool}


def code(app: Any, way: str, config: Any) -> Any:
    """The application's code, which has no idea of failures."""
    if way == "invoke":
        return lambda: app.invoke(QUESTION, config)
    if way == "stream":
        return lambda: list(app.stream(QUESTION, config))

    async def ainvoke() -> Any:
        return await app.ainvoke(QUESTION, config)

    async def astream() -> Any:
        return [each async for each in app.astream(QUESTION, config)]

    return ainvoke if way == "ainvoke" else astream


def facts(captured: Captured) -> list[Any]:
    """What an engineer sees of each event, and the sessions."""
    found: list[Any] = [sessions(captured)]
    for event in captured.events:
        values = [
            (
                value["type"],
                re.sub(r"id '[-0-9a-f]+'", "", value["value"]),  # LangGraph's note names the task
                {key: value["mechanism"].get(key) for key in ("type", "handled")},
                [(frame["function"], frame["lineno"], frame.get("in_app")) for frame in value["stacktrace"]["frames"]],
            )
            for value in event["exception"]["values"]
        ]
        request = (event.get("request") or {}).get("url")
        found.append((values, event["level"], event.get("transaction"), request, event.get("logger")))
    return found


CASES = [
    (reporter, way, app, error)
    for reporter in REPORTERS
    for way in (("ainvoke", "astream") if reporter.is_async else ("invoke", "stream"))
    for app in APPS
    for error in ((ModelError, ConnectionError) if app == "model" else (ConnectionError,))
]


@pytest.mark.parametrize(("reporter", "way", "app", "error"), CASES, ids=str)
async def test_it_is_reported_as_without_us(reporter: Reporter, way: str, app: str, error: type[Exception]) -> None:
    """The events have the same frames, mechanism, level, transaction and request, and the session ends the same."""
    if reporter.is_async and not HAS_ASYNC_CONTEXT and app != "model":
        pytest.skip("needs an async context")
    found: list[list[Any]] = []
    for callbacks in ([], [SentryStreamHandler()]):
        integrations = list(reporter.integrations())
        with capture_spans(release="1", integrations=integrations) as captured:
            if not callbacks:
                without_others(captured)
            await reporter.run(code(APPS[app](error), way, {"callbacks": callbacks}))
            found.append(facts(captured))
    assert len(found[0]) > 1, "nobody reports it"
    assert found[1] == found[0]
    assert any(frame[2] for frame in found[1][-1][0][-1][3])


@pytest.mark.parametrize("shape", BOTH_MODELS)
@pytest.mark.parametrize("reporter", [each for each in REPORTERS if each.name != "asyncio task"], ids=str)
async def test_the_event_is_linked_to_the_span_that_failed(reporter: Reporter, shape: str) -> None:
    """The framework's event belongs to the model's span, and has no variables."""
    with capture_spans(**WIRE_SHAPES[shape], integrations=list(reporter.integrations())) as captured:
        way = "astream" if reporter.is_async else "invoke"
        await reporter.run(code(_model(ConnectionError), way, {"callbacks": [SentryStreamHandler()]}))
        (event,) = captured.events
    span = captured.find(op="gen_ai.chat")
    assert event["contexts"]["trace"]["span_id"] == span.span_id
    assert event["contexts"]["trace"]["trace_id"] == span.trace_id
    frames = [frame for value in event["exception"]["values"] for frame in value["stacktrace"]["frames"]]
    assert not any("vars" in frame for frame in frames)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize("app", APPS)
async def test_a_failure_that_the_application_catches_is_ours(app: str, way: str) -> None:
    """It is one event, handled, with the application's frames down to the call in front of LangChain's, in order."""
    if way.startswith("a") and not HAS_ASYNC_CONTEXT and app != "model":
        pytest.skip("needs an async context")
    with capture_spans() as captured:
        call = code(APPS[app](ConnectionError), way, {"callbacks": [SentryStreamHandler()]})

        async def answer() -> str:
            try:
                await call() if way.startswith("a") else call()
            except ConnectionError:
                return "Sorry."
            return "No failure?"

        assert await answer() == "Sorry."
        (event,) = captured.events
    (value,) = event["exception"]["values"]
    assert value["mechanism"] == {"type": "langchain_stream", "handled": True}
    frames = value["stacktrace"]["frames"]
    names = [frame["function"] for frame in frames]
    inner = {"model": "refuse", "node": "ask", "tool": "ask"}[app]
    outer = {"invoke": "<lambda>", "stream": "<lambda>"}.get(way, way)
    langchain = [at for at, frame in enumerate(frames) if frame["module"].startswith(("langchain_core", "langgraph"))]
    assert names[-1] == inner
    assert names.index("answer") < names.index(outer) < min(langchain)
    marked = [frame["function"] for frame in frames if frame.get("in_app")]
    assert {"answer", outer, inner} <= set(marked)
    assert not any(frames[at].get("in_app") for at in langchain)


@pytest.mark.parametrize("way", ["ainvoke", "abatch", "gathered"])
async def test_an_async_model_fails_in_a_task_of_its_own_and_the_frames_go_on(way: str) -> None:
    """LangChain calls a model in another task, and signals the failure when that has ended: who awaits it is told."""

    def refuse(_: int) -> None:
        raise ConnectionError

    model, config = ScriptedModel(before=refuse), {"callbacks": [SentryStreamHandler()]}

    async def answer() -> None:
        with suppress(ConnectionError):
            if way == "abatch":
                await model.abatch(["Hi"], cast(Any, config))
            elif way == "gathered":
                await asyncio.gather(asked())
            else:
                await asked()

    async def asked() -> Any:
        return await model.ainvoke("Hi", cast(Any, config))

    with capture_spans() as captured:
        await answer()
        # A task that is written in Python goes on in an `except` block where what it awaited has failed. pytest-asyncio
        # has such tasks on Python 3.10, and a flush in there takes the failure for one that is still being handled.
        await asyncio.sleep(0)
        captured.client.flush()
    (event,) = captured.events
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    names = [frame["function"] for frame in frames]
    # A task has no frames above its own: of `gather` those of what it runs, which for `abatch` is LangChain's.
    above = {"ainvoke": ["answer", "asked"], "gathered": ["asked"], "abatch": []}[way]
    assert [name for name in names if name in ("answer", "asked")] == above
    ends = [name for name in names if name in ("ainvoke", "agenerate", "_agenerate", "refuse")]
    assert ends[-4:] == ["ainvoke", "agenerate", "_agenerate", "refuse"]
