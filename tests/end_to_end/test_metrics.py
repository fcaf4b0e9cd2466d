"""With `metrics=True` each call is recorded as metrics too, whether or not its trace is sampled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs import metrics
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.helpers import Clock, handler_on
from tests.kit.network import Network
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

ANSWER = Answer(pieces=("a", "b", "c"), prompt_tokens=11, completion_tokens=7, cached_tokens=4, reasoning_tokens=2)
ABOUT = {
    "gen_ai.pipeline.name": "support-bot",
    "langchain_stream.outcome": "completed",
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
}
TOKENS = {
    "gen_ai.client.inference.usage.input_tokens": 11,
    "gen_ai.client.inference.usage.output_tokens": 7,
    "gen_ai.client.inference.usage.cache_read.input_tokens": 4,
    "gen_ai.client.inference.usage.reasoning.output_tokens": 2,
}
SAMPLING: dict[str, dict[str, Any]] = {
    "all": {},
    "none": {"traces_sample_rate": 0.0},
    "tracing off": {"traces_sample_rate": None},
}


@pytest.fixture(scope="module")
def openai() -> Iterator[ChatOpenAI]:
    """The real model class, asking a server that speaks OpenAI's wire format."""
    with serving(create_endpoint(ANSWER)) as url:
        yield ChatOpenAI(model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), stream_usage=True)


def recorded(captured: Captured) -> dict[str, Any]:
    """The metrics that would be sent, by name; each name is recorded once."""
    found = [item for kind, payload in captured.items if kind == "trace_metric" for item in payload["items"]]
    assert len({each["name"] for each in found}) == len(found)
    return {each["name"]: each for each in found}


def about(metric: Any) -> dict[str, Any]:
    """What a metric says of its call, without what the SDK adds."""
    ours = ("gen_ai.", "langchain_stream.", "error.", "cache.")
    return {key: each["value"] for key, each in metric["attributes"].items() if key.startswith(ours)}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("sampling", SAMPLING)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_call_is_recorded_whatever_is_sampled(openai: ChatOpenAI, shape: str, sampling: str, way: Way) -> None:
    """Duration, time to first chunk and the tokens by kind are recorded with the call's model, provider, pipeline."""
    clock = Clock()
    handler = handler_on(clock, pipeline_name="support-bot", metrics=True)
    with capture_spans(**{**WIRE_SHAPES[shape], **SAMPLING[sampling]}) as captured:
        await way.run(openai, "Hi", {"callbacks": [Network(clock), handler]})
    found = recorded(captured)
    assert {name: found[name]["value"] for name in TOKENS} == TOKENS
    assert all(about(found[name]) == ABOUT | {"langchain_stream.usage_source": "provider"} for name in TOKENS)
    assert all(found[name]["type"] == "counter" for name in TOKENS)
    times = {metrics.DURATION: 3.5, metrics.FIRST_CHUNK: 0.5} if way.streams else {metrics.DURATION: 0.0}
    assert {name: found[name]["value"] for name in found.keys() - TOKENS.keys()} == pytest.approx(times)
    for name in times:
        assert (found[name]["type"], found[name]["unit"], about(found[name])) == ("distribution", "second", ABOUT)
    assert bool(captured.spans) is (sampling == "all")
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_metric_belongs_to_the_calls_span(openai: ChatOpenAI, shape: str) -> None:
    """From a metric one finds the span of the call in its trace."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await openai.ainvoke("Hi", config={"callbacks": [SentryStreamHandler(metrics=True)]})
    span = captured.find(op="gen_ai.chat")
    found = recorded(captured).values()
    assert {(each["trace_id"], each["span_id"]) for each in found} == {(span.trace_id, span.span_id)}


@pytest.mark.parametrize("sampling", SAMPLING)
async def test_metrics_are_off_by_default(openai: ChatOpenAI, sampling: str) -> None:
    """Nobody gets metrics who did not ask for them."""
    with capture_spans(**SAMPLING[sampling]) as captured:
        await openai.ainvoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert recorded(captured) == {}


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_unsampled_call_keeps_no_content(openai: ChatOpenAI, shape: str, way: Way) -> None:
    """Of a call that is gathered for its metrics only, no text is redacted, because none is kept."""
    seen: list[str] = []
    handler = SentryStreamHandler(metrics=True, redact=lambda text: seen.append(text) or text)  # type: ignore[func-returns-value]
    with capture_spans(**{**WIRE_SHAPES[shape], **SAMPLING["none"], **content_allowed(True)}) as captured:
        await way.run(openai, "My name is Ada", {"callbacks": [handler]})
    assert recorded(captured)
    assert seen == []
    assert b"Ada" not in b"".join(captured.envelopes)


def fail(number: int) -> None:
    """Let the model fail before its third piece."""
    if number == 2:
        raise TimeoutError("the model failed")


@pytest.mark.parametrize("sampling", SAMPLING)
async def test_a_failed_call_says_so(sampling: str) -> None:
    """The outcome is told with every metric, and what a failed call used is an estimate."""
    handler = SentryStreamHandler(metrics=True, capture_errors=False)
    with capture_spans(**SAMPLING[sampling]) as captured, pytest.raises(TimeoutError):
        async for _ in ScriptedModel(before=fail).astream("Hi", config={"callbacks": [handler]}):
            pass
    found = recorded(captured)
    for metric in found.values():
        told = about(metric)
        assert (told["langchain_stream.outcome"], told["error.type"]) == ("failed", "TimeoutError")
    output = found["gen_ai.client.inference.usage.output_tokens"]
    assert (output["value"], about(output)["langchain_stream.usage_source"]) == (2, "estimate")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_abandoned_call_says_so(shape: str) -> None:
    """A reader who leaves is an outcome of its own."""
    with capture_spans(**WIRE_SHAPES[shape], traces_sample_rate=0.0) as captured:
        stream: Any = ScriptedModel().astream("Hi", config={"callbacks": [SentryStreamHandler(metrics=True)]})
        await anext(stream)
        await stream.aclose()
    assert about(recorded(captured)[metrics.DURATION])["langchain_stream.outcome"] == "abandoned"


async def test_what_langchains_cache_answers_uses_no_tokens(openai: ChatOpenAI) -> None:
    """A cache hit has a duration, says what it is, and counts no tokens."""
    model = openai.model_copy(update={"cache": InMemoryCache()})
    await model.ainvoke("Hi")
    with capture_spans() as captured:
        await model.ainvoke("Hi", config={"callbacks": [SentryStreamHandler(metrics=True)]})
    found = recorded(captured)
    assert list(found) == [metrics.DURATION]
    assert about(found[metrics.DURATION])["cache.hit"] is True


async def test_chains_and_tools_are_no_calls() -> None:
    """Only model calls are recorded."""
    from langchain_core.runnables import RunnableLambda

    with capture_spans() as captured:
        RunnableLambda(str).invoke("Hi", config={"callbacks": [SentryStreamHandler(metrics=True)]})
    assert recorded(captured) == {}


@pytest.mark.parametrize("missing", ["count", "distribution"])
async def test_an_sdk_without_metrics(
    missing: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the SDK has no metrics, one line says so, and the spans are as ever."""
    monkeypatch.delattr(sentry_sdk.metrics, missing)
    handler = SentryStreamHandler(metrics=True)
    with capture_spans() as captured:
        for _ in range(2):
            await ScriptedModel().ainvoke("Hi", config={"callbacks": [handler]})
    assert recorded(captured) == {}
    assert len(captured.find_all(op="gen_ai.chat")) == 2
    assert caplog.text.count("has no metrics") == 1


async def test_without_a_client_nothing_is_gathered() -> None:
    """Without a Sentry client a handler with metrics follows no run."""
    handler = SentryStreamHandler(metrics=True)
    seen = [handler.live_runs async for _ in ScriptedModel().astream("Hi", config={"callbacks": [handler]})]
    assert set(seen) == {0}


@pytest.mark.parametrize("end", ["closed", "given up"])
@pytest.mark.parametrize("sampling", SAMPLING)
def test_an_abandoned_stream_is_of_the_model_that_answered(sampling: str, end: str) -> None:
    """A model that the chunks have named so far is the response model of the metrics, also if the stream is left."""
    clock = Clock()
    handler = handler_on(clock, metrics=True, max_idle_seconds=60)
    model = ScriptedModel(of_each={"model_name": "scripted-2026"})
    with capture_spans(**SAMPLING[sampling]) as captured:
        stream: Any = model.stream("Hi", {"callbacks": [handler]})
        next(stream)
        if end == "given up":
            clock.advance(100)
            RunnableLambda(str).invoke("Hi", {"callbacks": [handler]})  # no end was heard of: that run is idle
            assert handler.live_runs == 0
        stream.close()
    found = [about(metric) for metric in recorded(captured).values()]
    assert {each["langchain_stream.outcome"] for each in found} == {"abandoned"}
    assert {each["gen_ai.response.model"] for each in found} == {"scripted-2026"}
