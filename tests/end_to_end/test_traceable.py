"""Below a function with LangSmith's `@traceable`: the run that LangChain names as the parent is none of LangChain's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from langsmith import traceable

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import needs_async_context
from tests.kit.langsmith import langsmith
from tests.kit.subjects import SUBJECTS
from tests.kit.wire import WIRE_SHAPES, ScriptedModel

CHAIN = next(subject for subject in SUBJECTS if subject.name == "chain")
QUESTION = {"question": "Hi"}

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class ModelError(Exception):
    """What the model fails with."""


def failing(**model: Any) -> ScriptedModel:
    """A model that fails before its first piece."""

    def before(number: int) -> None:
        raise ModelError("the model failed")

    return ScriptedModel(before=before, **model)


def issues(captured: Captured) -> list[dict[str, Any]]:
    return [event for event in captured.events if event.get("logger") != "asyncio"]


App = Runnable[Any, Any]


async def in_function(app: App, config: Any) -> None:
    """In a function."""

    @traceable
    def traced() -> None:
        app.invoke(QUESTION, config)

    traced()


async def in_async_function(app: App, config: Any) -> None:
    """In an async function."""

    @traceable
    async def traced() -> None:
        await app.ainvoke(QUESTION, config)

    await traced()


async def in_generator(app: App, config: Any) -> None:
    """In a generator."""

    @traceable
    def traced() -> Iterator[Any]:
        yield from app.stream(QUESTION, config)

    list(traced())


async def in_async_generator(app: App, config: Any) -> None:
    """In an async generator."""

    @traceable
    async def traced() -> AsyncIterator[Any]:
        async for chunk in app.astream(QUESTION, config):
            yield chunk

    async for _ in traced():
        pass


async def in_another(app: App, config: Any) -> None:
    """In a function that another one calls."""

    @traceable
    async def outer() -> None:
        await in_async_function(app, config)

    await outer()


async def in_none(app: App, config: Any) -> None:
    """In no such function."""
    await app.ainvoke(QUESTION, config)


PLACES: list[Callable[[App, Any], Any]] = [
    in_function,
    in_async_function,
    in_generator,
    in_async_generator,
    in_another,
    in_none,
]

ASYNC_CALLS = (in_async_function, in_another, in_none)
"""Where the chain is called with `ainvoke`."""

places = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
switched = pytest.mark.parametrize("tracing", [True, False], ids=["tracing", "not tracing"])
shapes = pytest.mark.parametrize("shape", WIRE_SHAPES)


@places
@switched
@shapes
async def test_a_chain_that_fails_is_one_issue(shape: str, tracing: bool, place: Callable[[App, Any], Any]) -> None:
    """The failure of a chain there is one issue, linked to the model's span, and the chain's spans are one tree."""
    handler = SentryStreamHandler()
    quiet = langsmith(tracing=tracing)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, quiet as client, pytest.raises(ModelError):
        await place(CHAIN.make(failing()), {"callbacks": [handler]})
    assert client.names.count("traced") == (tracing and place is not in_none)
    span, root = captured.find(op="gen_ai.chat"), captured.find(op="function")
    assert (root.is_root, span.parent_id, span.trace_id) == (True, root.span_id, root.trace_id)
    (issue,) = issues(captured)
    assert issue["contexts"]["trace"]["span_id"] == span.span_id
    assert issue["contexts"]["trace"]["trace_id"] == span.trace_id
    assert handler.live_runs == 0


@places
@switched
@shapes
@needs_async_context(lambda place: place in ASYNC_CALLS)
async def test_a_failure_that_a_fallback_recovers_from_is_no_issue(
    shape: str, tracing: bool, place: Callable[[App, Any], Any]
) -> None:
    """A chain there whose model fails and whose fallback answers files no issue."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, langsmith(tracing=tracing):
        await place(CHAIN.make(failing()).with_fallbacks([CHAIN.make(ScriptedModel())]), {"callbacks": [handler]})
    assert len(captured.find_all(op="gen_ai.chat")) == 2
    assert issues(captured) == []
    assert handler.live_runs == 0


@places
@switched
@shapes
@needs_async_context(lambda place: place in ASYNC_CALLS)
async def test_a_handler_on_the_model_alone_files_none(
    shape: str, tracing: bool, place: Callable[[App, Any], Any]
) -> None:
    """A handler that sees the model only does not know whether the chain recovers, there or elsewhere."""
    handler = SentryStreamHandler()
    first: Any = failing(callbacks=[handler])
    with capture_spans(**WIRE_SHAPES[shape]) as captured, langsmith(tracing=tracing):
        await place(CHAIN.make(first.with_fallbacks([ScriptedModel()])), {})
    assert captured.find(name="chat scripted").attributes["langchain_stream.outcome"] == "failed"
    assert issues(captured) == []
    assert handler.live_runs == 0


@places
@switched
@shapes
@needs_async_context()
async def test_inside_a_chain_such_a_function_is_a_part_of_it(
    shape: str, tracing: bool, place: Callable[[App, Any], Any]
) -> None:
    """A chain there, inside another chain, belongs to that: one tree, and the failure of the outer one is one issue."""
    handler = SentryStreamHandler()

    async def step(question: Any) -> None:
        await place(CHAIN.make(failing()), None)

    with capture_spans(**WIRE_SHAPES[shape]) as captured, langsmith(tracing=tracing), pytest.raises(ModelError):
        await RunnableLambda(step).ainvoke(QUESTION, {"callbacks": [handler]})
    span, root = captured.find(op="gen_ai.chat"), captured.find(op="function")
    assert (root.is_root, span.parent_id, span.trace_id) == (True, root.span_id, root.trace_id)
    (issue,) = issues(captured)
    assert issue["contexts"]["trace"]["span_id"] == span.span_id
    assert handler.live_runs == 0


@places
@shapes
@needs_async_context()
async def test_inside_a_chain_that_recovers_it_files_none(shape: str, place: Callable[[App, Any], Any]) -> None:
    """A handler of such a function's own, inside a chain that it never saw and that may recover, files no issue."""
    handler = SentryStreamHandler()

    async def step(question: Any) -> None:
        await place(CHAIN.make(failing()), {"callbacks": [handler]})

    app: Any = RunnableLambda(step)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, langsmith(tracing=True):
        await app.with_fallbacks([RunnableLambda(lambda _: None)]).ainvoke(QUESTION)
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"] == "failed"
    assert issues(captured) == []
    assert handler.live_runs == 0
