"""The request to the provider hangs below the span of its model call, and nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.inside import SURROUNDINGS, around, name_above
from tests.kit.pairwise import in_pairs, pairwise, parameters, table
from tests.kit.wire import WAYS, WIRE_SHAPES, Way, needs_v3

pytestmark = [
    pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning"),
    pytest.mark.filterwarnings("ignore:Unexpected type for token usage"),  # langchain-openai's sums over prompts
]


@pytest.fixture(scope="module")
def model() -> Iterator[ChatOpenAI]:
    """The real model class, asking a server on loopback."""
    with serving(create_endpoint(Answer(pieces=("a", "b", "c")))) as url:
        yield ChatOpenAI(
            model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), stream_usage=True, max_retries=0
        )


def requests(captured: Captured) -> list[str | None]:
    """What each request to the provider hangs below: the ids."""
    return [span.parent_id for span in captured.find_all(op="http.client")]


def calls(captured: Captured) -> list[str]:
    """The ids of the spans of the model calls."""
    return [span.span_id for span in captured.find_all(op="gen_ai.chat")]


@pytest.mark.parametrize(
    ("way", "chained", "shape", "application"),
    parameters(pairwise((*run, *where) for run in table(WAYS, (False, True)) for where in SURROUNDINGS)),
)
async def test_the_request_hangs_below_the_model(
    model: ChatOpenAI, way: Way, chained: bool, shape: str, application: bool
) -> None:
    """Whatever way the model is called."""
    handler: Any = SentryStreamHandler()
    runnable: Any = RunnableLambda(str) | model | RunnableLambda(str) if chained else model
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, application):
        await way.run(runnable, "Hi", {"callbacks": [handler]})
    assert name_above(captured, "/chat/completions", "http.client") == "chat gpt-4o-mini"


@in_pairs(shape=WIRE_SHAPES, batch=("batch", "abatch"), chained=(False, True))
async def test_each_request_of_a_batch_hangs_below_its_own_model(
    model: ChatOpenAI, shape: str, batch: str, chained: bool
) -> None:
    """One below each, in threads and in tasks."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    runnable: Any = RunnableLambda(str) | model if chained else model
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        if batch == "batch":
            runnable.batch(["a", "b", "c"], config)
        else:
            await runnable.abatch(["a", "b", "c"], config)
    assert sorted(map(str, requests(captured))) == sorted(calls(captured))
    assert len(calls(captured)) == 3


@pytest.mark.parametrize("call", ["generate", "agenerate"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_each_request_of_several_prompts_belongs_to_its_own_model_run(
    model: ChatOpenAI, shape: str, call: str
) -> None:
    """The prompts of one call start together; each request is a child of the run of its own prompt."""
    handler: Any = SentryStreamHandler()
    prompts: Any = [[HumanMessage("a")], [HumanMessage("b")]]
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        if call == "generate":
            model.generate(prompts, callbacks=[handler])
        else:
            await model.agenerate(prompts, callbacks=[handler])
    assert len(calls(captured)) == 2
    assert set(requests(captured)) == set(calls(captured))


@pytest.mark.parametrize("version", ["v2", pytest.param("v3", marks=needs_v3)])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_request_of_a_stream_of_events_hangs_below_the_model(
    model: ChatOpenAI, shape: str, version: str
) -> None:
    """Of `astream_events`."""
    handler: Any = SentryStreamHandler()
    config: Any = {"callbacks": [handler]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        if version == "v3":
            async for _ in await model.astream_events("Hi", config=config, version="v3"):
                pass
        else:
            async for _ in model.astream_events("Hi", config=config, version="v2"):
                pass
        while handler.live_runs:
            await asyncio.sleep(0)
    assert requests(captured) == calls(captured)


@needs_v3
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_request_of_sync_v3_events_belongs_to_the_model(model: ChatOpenAI, shape: str) -> None:
    """LangChain starts their run in a call that is over before the request is made; the request is the model's."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
        for _ in range(20):
            for _ in cast(Any, model).stream_events("Hi", config=config, version="v3"):
                pass
    assert len(calls(captured)) == 20
    assert requests(captured) == calls(captured)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_failed_request_hangs_below_its_model(shape: str, way: Way) -> None:
    """Each attempt of the provider's own client does."""
    handler: Any = SentryStreamHandler(capture_errors=False)
    with serving(create_endpoint(Answer(status=401))) as url, capture_spans(**WIRE_SHAPES[shape]) as captured:
        model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), max_retries=0)
        with around(shape, True), pytest.raises(Exception, match="401"):
            await way.run(model, "Hi", {"callbacks": [handler]})
    assert requests(captured) == calls(captured)
    assert len(calls(captured)) == 1


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_request_of_a_model_that_is_no_chat_model(shape: str, way: Way) -> None:
    """Below the model on the sync ways. On the async ones LangChain starts the run elsewhere: where it would hang."""
    handler: Any = SentryStreamHandler(capture_errors=False)
    with serving(create_endpoint(Answer())) as url, httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            with capture_spans(**WIRE_SHAPES[shape]) as captured, around(shape, True):
                model = OpenAI(
                    model="davinci",
                    base_url=f"{url}/v1",
                    api_key=SecretStr("none"),
                    max_retries=0,
                    http_client=client,
                    http_async_client=async_client,
                )
                with pytest.raises(Exception, match="404"):  # our endpoint has no such route
                    await way.run(model, "Hi", {"callbacks": [handler]})
    above = "application" if way.name.startswith("a") else "text_completion davinci"
    assert name_above(captured, "/completions", "http.client") == above
