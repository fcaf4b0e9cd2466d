"""Service tiers: OpenAI and others answer sooner for more money, or later for less."""

from __future__ import annotations

from typing import Any

import pytest
from genai_prices import Usage as Tokens
from genai_prices import calc_price
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot

from sentry_langchain_stream import SentryStreamHandler, watch_runs
from sentry_langchain_stream._content.policy import NOTHING
from sentry_langchain_stream._from_clients import openai_chat, openai_responses
from sentry_langchain_stream._from_clients.answer import Answer
from sentry_langchain_stream._from_clients.requests import Given
from sentry_langchain_stream._runs.call import Call, Request, Response
from sentry_langchain_stream._runs.pricing import Prices
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._runs.usage_reports import reported_by
from sentry_langchain_stream.testing import capture_spans
from tests.kit.replay import replaying
from tests.numbers.kit import answered, chunk
from tests.numbers.kit import chat as chat_answer
from tests.runs.kit import call_of, chat, costs


def in_tier(
    model: str, *, asked: str | None = None, answered: str | None = None, reported: dict[str, Any] | None = None
) -> Call:
    """A call of a model of OpenAI's that was made, or answered, in a service tier."""
    usage = Usage.reported({"input_tokens": 1_000, "output_tokens": 100, "total_tokens": 1_100, **(reported or {})})
    call = call_of(usage, model)
    call.request, call.response = call.request._replace(tier=asked), Response(tier=answered)
    return call


def expected_in_tier(model: str, tier: str) -> float:
    """What genai-prices says of that call in a tier."""
    tokens, context = Tokens(input_tokens=1_000, output_tokens=100), {"service_tier": tier}
    return float(calc_price(tokens, model, provider_id="openai", price_context=context).total_price)


@pytest.mark.parametrize("tier", ["flex", "priority"])
@pytest.mark.parametrize("where", ["asked", "answered", "reported"])
def test_a_service_tier_has_its_own_prices(prices: Prices, tier: str, where: str) -> None:
    """A tier that was asked for, or that the answer or its usage names, has the prices that the list has for it."""
    named: Any = {"input_token_details": {tier: 1_000}} if where == "reported" else tier
    cost = prices.cost(in_tier("gpt-5", **{where: named}))
    assert cost is not None
    assert cost.total == pytest.approx(expected_in_tier("gpt-5", tier))
    assert cost.total != pytest.approx(expected_in_tier("gpt-5", "default"))


def test_the_tier_that_answered_is_priced(prices: Prices) -> None:
    """A request that asks for a tier, and is answered in another one, costs what the other one costs."""
    cost = prices.cost(in_tier("gpt-5", asked="priority", answered="default"))
    assert cost is not None
    assert cost.total == pytest.approx(expected_in_tier("gpt-5", "default"))


@pytest.mark.parametrize(
    ("model", "tier"), [("gpt-4o-mini", "flex"), ("gpt-3.5-turbo", "priority"), ("gpt-5", "other")]
)
def test_a_tier_without_prices_has_no_cost(prices: Prices, model: str, tier: str) -> None:
    """The standard price does not stand in for that of a service tier."""
    assert prices.cost(in_tier(model)) is not None
    assert prices.cost(in_tier(model, answered=tier)) is None


def test_a_tier_has_no_prices_of_another_provider(prices: Prices) -> None:
    """A price that Azure's list takes from OpenAI's is the standard one, so a tier has no cost there."""
    openai, azure = (find_provider_by_id(get_snapshot().providers, each) for each in ("openai", "azure"))
    assert openai is not None
    assert azure is not None
    model = next(each.id for each in openai.models if each.price_variants and azure.find_model(each.id) is None)
    call = in_tier(model, answered="priority")
    call.request = call.request._replace(provider="azure.ai.openai")
    assert prices.cost(call) is None


TOKENS = {
    "prompt_tokens": 1_000,
    "completion_tokens": 100,
    "total_tokens": 1_100,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("tier", ["flex", "default"])
def test_the_tier_of_an_answer_is_read(way: str, tier: str) -> None:
    """OpenAI's answers name the tier, whole and streamed: it may be another one than was asked for."""
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    streamed = [
        chunk("Hello", model="gpt-5", service_tier=tier),
        chunk(model="gpt-5", service_tier=tier, choices=[last]),
        chunk(model="gpt-5", service_tier=tier, usage=TOKENS),
    ]
    answer: Any = streamed if way == "stream" else chat_answer(TOKENS, model="gpt-5", service_tier=tier)
    span = answered(lambda url: chat(url, model="gpt-5", service_tier="flex"), answer, way=way, cost=True)
    assert costs(span)["total_tokens"] == pytest.approx(expected_in_tier("gpt-5", tier))


def test_with_a_tier_without_prices_the_total_is_not_known() -> None:
    """What a block costs is not known if that of one of its calls is not."""
    handler = SentryStreamHandler(cost=True)
    plain, flex = (chat_answer(TOKENS, **more) for more in ({}, {"service_tier": "flex"}))
    with replaying(plain, flex) as server, capture_spans(), watch_runs() as runs:
        for _ in range(2):
            chat(server.url).invoke("Hi", {"callbacks": [handler]})
    known, unknown = (run.cost for run in runs)
    assert known is not None
    assert unknown is None
    assert runs.cost is None


def test_the_tier_in_the_chunks_of_a_chat_is_read() -> None:
    """Each chunk of OpenAI's chat completions names the tier."""
    answer = Answer(NOTHING)
    openai_chat.read(chunk("Hello", service_tier="priority"), answer)
    assert answer.response(NOTHING).tier == "priority"


def test_the_tier_at_the_end_of_a_response_is_read() -> None:
    """The first event of OpenAI's Responses API has the tier that was asked for, the last one the one that answered."""
    answer = Answer(NOTHING)
    for kind, tier in (("created", "auto"), ("completed", "flex")):
        openai_responses.read({"type": f"response.{kind}", "response": {"service_tier": tier}}, answer)
    assert answer.response(NOTHING).tier == "flex"


@pytest.mark.parametrize("parameters", [{"service_tier": "flex"}, {"config": {"service_tier": "flex"}}], ids=repr)
def test_the_tier_among_the_parameters_of_a_tracked_stream_is_read(parameters: dict[str, Any]) -> None:
    """What the application passes as parameters may name the tier, for Gemini in the config."""
    assert Given(parameters=parameters).complete(Request(), NOTHING, None).tier == "flex"


def test_the_tier_beside_a_usage_is_read() -> None:
    """An answer that is passed to `set_usage` names the tier beside its usage."""
    usage = reported_by({"usage": TOKENS, "service_tier": "flex"})
    assert usage is not None
    assert usage.tier == "flex"


def test_the_tier_of_bedrock_is_read() -> None:
    """Bedrock names its tier in a mapping."""
    usage = {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}
    found = reported_by({"usage": usage, "serviceTier": {"type": "priority"}})
    assert found is not None
    assert found.tier == "priority"


@pytest.mark.parametrize("special", [{"speed": "fast"}, {"inference_geo": "us"}], ids=repr)
def test_a_way_of_anthropics_without_prices_has_no_cost(prices: Prices, special: dict[str, str]) -> None:
    """Its fast mode, and inference in one country, are no service tiers in its reports, but cost more."""
    usage = {"input_tokens": 1_000, "output_tokens": 100, "service_tier": "standard"}
    usual = {"speed": "standard", "inference_geo": "global"}
    reports = [reported_by({"usage": {**usage, **usual, **more}}) for more in ({}, special)]
    costs_of = [prices.cost(call_of(report, "claude-opus-4-5", "anthropic")) for report in reports]
    assert costs_of[0] is not None
    assert costs_of[1] is None
