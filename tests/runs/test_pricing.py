"""With `cost=True` a call states what it cost, by the calculation of genai-prices; prices change, so none is here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from genai_prices import Usage as Tokens
from genai_prices import calc_price
from genai_prices.data_snapshot import find_provider_by_id, get_snapshot
from genai_prices.types import ModelPrice
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs.call import Cost, Response
from sentry_langchain_stream._runs.estimates import PromptBy
from sentry_langchain_stream._runs.pricing import Prices
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import capture_spans
from tests.kit.fresh import Fresh
from tests.kit.wire import WAYS, WIRE_SHAPES, Way
from tests.runs.kit import call_of, chat, costs

ANSWER = Answer(
    pieces=("a", "b", "c"), prompt_tokens=1_000, completion_tokens=100, cached_tokens=400, reasoning_tokens=60
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks OpenAI's wire format."""
    with serving(create_endpoint(ANSWER)) as url:
        yield url


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_call_states_its_cost(endpoint: str, shape: str, way: Way) -> None:
    """Input, output and total cost are what genai-prices calculates for the answering model and its tokens."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chat(endpoint), "Hi", {"callbacks": [SentryStreamHandler(cost=True)]})
    expected = calc_price(
        Tokens(input_tokens=1_000, cache_read_tokens=400, output_tokens=100, output_reasoning_tokens=60),
        "gpt-4o-mini-2024-07-18",
        provider_id="openai",
    )
    told = costs(captured.find(op="gen_ai.chat"))
    assert told["input_tokens"] == pytest.approx(float(expected.input_price))
    assert told["output_tokens"] == pytest.approx(float(expected.output_price))
    assert told["total_tokens"] == pytest.approx(float(expected.total_price))
    assert 0 < told["cache_read.input_tokens"] < told["input_tokens"]
    assert 0 < told["reasoning.output_tokens"] < told["output_tokens"]


async def test_cost_is_off_by_default(endpoint: str) -> None:
    """Sentry calculates costs automatically, so none is recorded unless asked for."""
    with capture_spans() as captured:
        await chat(endpoint).ainvoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert costs(captured.find(op="gen_ai.chat")) == {}


UNKNOWN = {
    "an unknown model": call_of(Usage(1, 1, 2), model="gpt-of-nowhere"),
    "an unknown provider": call_of(Usage(1, 1, 2), provider="nobody"),
    "no provider": call_of(Usage(1, 1, 2), provider=None),
    "no model": call_of(Usage(1, 1, 2), model=None),
    "a local model": call_of(Usage(1, 1, 2), provider="ollama"),
    "no usage": call_of(None),
    "no input": call_of(Usage(None, 1, 1)),
    "no output": call_of(Usage(1, None, 1)),
    "more cached than read": call_of(Usage(1, 1, 2, cache_read=5)),
}


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_a_cost_is_absent_rather_than_wrong(prices: Prices, unknown: str) -> None:
    """Where something is unknown, or the numbers contradict each other, there is no cost."""
    assert prices.cost(UNKNOWN[unknown]) is None


async def test_a_model_without_a_price_states_no_cost(endpoint: str) -> None:
    """The span of a model that is in no price list has its tokens, and no cost."""
    with capture_spans() as captured:
        await chat(endpoint, model="my-own-model").ainvoke("Hi", config={"callbacks": [SentryStreamHandler(cost=True)]})
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["gen_ai.usage.input_tokens"] == 1_000
    assert costs(span) == {}


DETAILS = [
    pytest.param("openai", "gpt-4o-mini", {"cache_read": "cache_read_tokens"}, id="cache read"),
    pytest.param("anthropic", "claude-sonnet-4-5", {"cache_read": "cache_read_tokens"}, id="cache read, in steps"),
    pytest.param("anthropic", "claude-sonnet-4-5", {"cache_creation": "cache_write_tokens"}, id="cache written"),
    pytest.param("groq", "llama-3.1-8b-instant", {"cache_read": "cache_read_tokens"}, id="cache read, no such price"),
    pytest.param("gcp.gemini", "gemini-2.5-flash", {"audio_input": "input_audio_tokens"}, id="audio"),
]


@pytest.mark.parametrize("tokens", [1, 1_000, 300_000])
@pytest.mark.parametrize(("provider", "model", "detail"), DETAILS)
def test_parts_of_the_input_have_their_own_price(
    prices: Prices, provider: str, model: str, detail: dict[str, str], tokens: int
) -> None:
    """An input that is nothing but one part costs what genai-prices says of that part; the detail is all of it."""
    ((ours, theirs),) = detail.items()
    cost = prices.cost(call_of(Usage(tokens, 0, tokens, **{ours: tokens}), model, provider))  # type: ignore[arg-type]
    expected = calc_price(Tokens(input_tokens=tokens, **{theirs: tokens}), model, provider_id=provider)
    assert cost is not None
    assert cost.input == pytest.approx(float(expected.input_price))
    assert getattr(cost, ours, cost.input) == pytest.approx(cost.input)


WRITTEN = {
    "input_tokens": 10,
    "output_tokens": 50,
    "cache_read_input_tokens": 1_000,
    "cache_creation_input_tokens": 2_000,
}
FOR_AN_HOUR = {"cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_500}}
HOUR = Usage.reported({**WRITTEN, **FOR_AN_HOUR})


def test_what_the_cache_keeps_for_an_hour_has_its_own_price(prices: Prices) -> None:
    """Of the tokens written to the cache, those that are kept for an hour have the price of an hour."""
    tokens = {"input_tokens": 3_010, "cache_read_tokens": 1_000, "cache_write_tokens": 2_000, "output_tokens": 50}
    expected = calc_price(Tokens(**tokens, cache_write_1h_tokens=1_500), "claude-sonnet-4-5", provider_id="anthropic")
    short = calc_price(Tokens(**tokens), "claude-sonnet-4-5", provider_id="anthropic")
    cost = prices.cost(call_of(HOUR, "claude-sonnet-4-5", "anthropic"))
    assert cost is not None
    assert cost.total == pytest.approx(float(expected.total_price))
    assert cost.total > float(short.total_price)


def test_the_part_for_the_cache_has_both_prices(prices: Prices) -> None:
    """The cost of what is written to the cache is that of an input that is nothing else."""
    expected = calc_price(
        Tokens(input_tokens=2_000, cache_write_tokens=2_000, cache_write_1h_tokens=1_500),
        "claude-sonnet-4-5",
        provider_id="anthropic",
    )
    cost = prices.cost(call_of(HOUR, "claude-sonnet-4-5", "anthropic"))
    assert cost is not None
    assert cost.cache_creation == pytest.approx(float(expected.input_price))


def test_without_a_price_for_an_hour_there_is_no_cost(prices: Prices) -> None:
    """The price of what is kept for five minutes does not stand in for that of an hour."""
    openrouter = find_provider_by_id(get_snapshot().providers, "openrouter")
    assert openrouter is not None
    model = next(
        each.id
        for each in openrouter.models
        if isinstance(each.prices, ModelPrice) and each.prices.cache_write_mtok and not each.prices.cache_write_1h_mtok
    )
    assert prices.cost(call_of(Usage.reported(WRITTEN), model, "openrouter")) is not None
    assert prices.cost(call_of(HOUR, model, "openrouter")) is None


@pytest.mark.parametrize("ttl", ["1h", "5m"])
def test_what_may_be_kept_for_an_hour_is_not_priced_as_for_five_minutes(prices: Prices, ttl: str) -> None:
    """A stream of Anthropic's reports what was written to the cache without saying for how long."""
    block = {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral", "ttl": ttl}}
    call = call_of(Usage(1_000, 50, 1_050, cache_creation=900), "claude-sonnet-4-5", "anthropic")
    asked = PromptBy(lambda: ["Hi", HumanMessage([block, "more"])], lambda: None)
    call.request = call.request._replace(prompt=asked)
    assert (prices.cost(call) is None) is (ttl == "1h")


@pytest.mark.parametrize("heard", [Usage(100, 50, 150, audio_input=80), Usage(100, 50, 150, audio_output=40)], ids=repr)
def test_audio_is_not_priced_as_text(prices: Prices, heard: Usage) -> None:
    """Where the model has no price for audio, in that direction, there is no cost."""
    openai = find_provider_by_id(get_snapshot().providers, "openai")
    assert openai is not None
    price = "input_audio_mtok" if heard.audio_input else "output_audio_mtok"
    have = {
        each.id: getattr(each.prices, price) is not None
        for each in openai.models
        if isinstance(each.prices, ModelPrice) and each.prices.input_mtok and each.prices.output_mtok
    }
    assert {prices.cost(call_of(heard, each)) is not None for each, has in have.items() if not has} == {False}
    assert {prices.cost(call_of(heard, each)) is not None for each, has in have.items() if has} == {True}


def test_images_are_not_priced_as_text(prices: Prices) -> None:
    """A model that makes images has no cost: its tokens may be those of an image, and no report says how many are."""
    used = Usage(100, 50, 150)
    assert prices.cost(call_of(used, "gemini-2.5-flash", "google_genai")) is not None
    assert prices.cost(call_of(used, "gemini-2.5-flash-image", "google_genai")) is None


def test_no_audio_needs_no_price(prices: Prices) -> None:
    """A model without a price for audio has a cost if its usage says that there was none."""
    silent = Usage(100, 50, 150, audio_input=0, audio_output=0)
    assert prices.cost(call_of(silent, "gpt-4o-audio-preview")) is not None


@pytest.mark.parametrize(
    ("provider", "theirs", "model"),
    [
        ("openai", "openai", "o3-mini"),
        ("perplexity", "perplexity", "sonar-deep-research"),
        ("azure.ai.openai", "azure", "gpt-4o"),
        ("x_ai", "x-ai", "grok-3"),
        ("mistral_ai", "mistral", "mistral-large-latest"),
    ],
)
def test_reasoning_is_a_part_of_the_output(prices: Prices, provider: str, theirs: str, model: str) -> None:
    """An output that is nothing but reasoning costs what genai-prices says of it, with the provider by its name."""
    cost = prices.cost(call_of(Usage(0, 100, 100, reasoning=100), model, provider))
    expected = calc_price(Tokens(output_tokens=100, output_reasoning_tokens=100), model, provider_id=theirs)
    assert cost is not None
    assert cost.output == cost.reasoning == pytest.approx(float(expected.output_price))
    assert cost.output > 0


def test_azure_has_a_price_list_of_its_own(prices: Prices) -> None:
    """A model that Azure alone offers is priced by Azure's list, not looked for in OpenAI's."""
    azure, openai = (find_provider_by_id(get_snapshot().providers, each) for each in ("azure", "openai"))
    assert azure is not None
    assert openai is not None
    model = next(
        each.id
        for each in azure.models
        if openai.find_model(each.id) is None and isinstance(each.prices, ModelPrice) and each.prices.input_mtok
    )
    expected = calc_price(Tokens(input_tokens=1_000, output_tokens=0), model, provider_id="azure")
    cost = prices.cost(call_of(Usage(1_000, 0, 1_000), model, "azure.ai.openai"))
    assert cost is not None
    assert cost.total == pytest.approx(float(expected.total_price))


@pytest.mark.parametrize(
    ("missing", "usage"), [("input_mtok", Usage(1_000, 0, 1_000)), ("output_mtok", Usage(0, 1_000, 1_000))]
)
def test_a_model_that_is_not_priced_by_tokens_has_no_cost(prices: Prices, missing: str, usage: Usage) -> None:
    """Tokens that have no price, as those of a model that is paid by the minute, do not look free."""
    openai = find_provider_by_id(get_snapshot().providers, "openai")
    assert openai is not None
    models = [
        each.id
        for each in openai.models
        if isinstance(each.prices, ModelPrice) and getattr(each.prices, missing) is None
    ]
    assert models
    assert {prices.cost(call_of(usage, model)) for model in models} == {None}


def test_the_model_that_answered_is_priced(prices: Prices) -> None:
    """The price is that of the model that answered, or else of the one asked for."""
    call = call_of(Usage(1_000, 0, 1_000), model="gpt-4o")
    asked = prices.cost(call)
    call.response = Response(model="gpt-4o-mini-2024-07-18")
    answered = prices.cost(call)
    assert asked is not None
    assert answered is not None
    assert answered.total < asked.total


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_aborted_answer_is_priced_by_its_estimate(endpoint: str, shape: str) -> None:
    """The cost of an answer that its reader left is that of the estimate beside it, which is labelled as one."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        stream: Any = chat(endpoint).astream("Hi", config={"callbacks": [SentryStreamHandler(cost=True)]})
        async for chunk in stream:
            if chunk.content == "b":
                break
        await stream.aclose()
    span = captured.find(op="gen_ai.chat")
    tokens = [span.attributes[f"gen_ai.usage.{each}_tokens"] for each in ("input", "output")]
    expected = calc_price(
        Tokens(input_tokens=tokens[0], output_tokens=tokens[1]), "gpt-4o-mini", provider_id="openai"
    ).total_price
    assert (tokens[1], span.attributes["langchain_stream.usage_source"]) == (2, "estimate")
    assert costs(span)["total_tokens"] == pytest.approx(float(expected))


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_what_langchains_cache_answers_costs_nothing(endpoint: str, shape: str) -> None:
    """The second of two equal calls is answered by the cache: it says so, used no tokens and cost nothing."""
    model = chat(endpoint, cache=InMemoryCache())
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        for _ in range(2):
            await model.ainvoke("Hi", config={"callbacks": [SentryStreamHandler(cost=True)]})
    asked, cached = captured.find_all(op="gen_ai.chat")
    assert costs(asked)["total_tokens"] > 0
    assert "cache.hit" not in asked.attributes
    assert cached.attributes["cache.hit"] is True
    assert "gen_ai.usage.input_tokens" not in cached.attributes
    assert costs(cached) == {"input_tokens": 0.0, "output_tokens": 0.0, "total_tokens": 0.0}


def test_the_cost_of_a_cached_answer_needs_no_price(prices: Prices) -> None:
    """A cache hit costs nothing, whatever model it stands for."""
    call = call_of(None, model=None)
    call.cached = True
    assert prices.cost(call) == Cost(0.0, 0.0, 0.0)


def test_without_the_extra_it_is_said_at_once(fresh: Fresh) -> None:
    """Asking for costs without genai-prices fails where the handler is made, and names what to install."""
    script = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from sentry_langchain_stream import SentryStreamHandler\n"
        "SentryStreamHandler()\n"
        "try:\n    SentryStreamHandler(cost=True)\n"
        "except ImportError as error:\n    print(error)"
    )
    done = fresh.run(script)
    assert done.returncode == 0, done.stderr
    assert 'pip install "sentry-langchain-stream[cost]"' in done.stdout


def test_prices_are_loaded_only_when_asked_for(fresh: Fresh) -> None:
    """A handler without costs does not import genai-prices."""
    script = (
        "import sys\n"
        "from sentry_langchain_stream import SentryStreamHandler\n"
        "SentryStreamHandler()\n"
        "print('genai_prices' in sys.modules)"
    )
    done = fresh.run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False\n"


@pytest.mark.parametrize(("model", "has_fee"), [("sonar", True), ("gpt-4o-mini", False)])
def test_what_a_provider_charges_for_the_request_is_apart(model: str, has_fee: bool) -> None:
    """Perplexity charges for each search besides the tokens, whose cost is the total without it."""
    provider = "perplexity" if has_fee else "openai"
    cost = Prices().cost(call_of(Usage(1_000, 100, 1_100), model, provider))
    expected = calc_price(Tokens(input_tokens=1_000, output_tokens=100), model, provider_id=provider)
    assert cost is not None
    assert (cost.requests is not None) is has_fee
    assert cost.total == pytest.approx(float(expected.input_price + expected.output_price))
    assert cost.whole == pytest.approx(float(expected.total_price))
