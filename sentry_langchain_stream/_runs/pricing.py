"""Computes the cost of a call from the public prices in the package `genai-prices` (extra `cost`)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from .call import Call, Cost
from .texts_call import TextsCall
from .usage import Usage

# Our name of a provider -> the name in genai-prices, where it does not know ours or takes it for another provider.
_PROVIDERS = {"azure.ai.openai": "azure", "x_ai": "x-ai"}

# Field of `Usage` -> field of `Usage` in genai-prices.
_TOKENS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_creation": "cache_write_tokens",
    "cache_creation_1h": "cache_write_1h_tokens",
    "reasoning": "output_reasoning_tokens",
    "audio_input": "input_audio_tokens",
    "audio_output": "output_audio_tokens",
}

# Field of `Usage` -> the price without which there is no cost. genai-prices would price what is kept for an hour as
# what is kept for five minutes, and audio as text, which are cheaper.
_NEEDED = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_creation_1h": "cache_write_1h_mtok",
    "audio_input": "input_audio_mtok",
    "audio_output": "output_audio_mtok",
}

# Detail -> the prices in genai-prices that may apply to it. The first one that the model has applies.
_DETAILS = {
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_creation": ("cache_write_mtok", "input_mtok"),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
}

# The names of the service tier whose prices are those of the list: OpenAI's, Anthropic's, Groq's and Gemini's.
_STANDARD = frozenset({"auto", "default", "standard", "standard_only", "on_demand", "unspecified"})


class Prices:
    """The price list. Loading it takes about a second, pricing a call about 0.1 ms.

    Raises:
        ImportError: The extra is not installed.
    """

    def __init__(self) -> None:
        try:
            from genai_prices import data_snapshot, types
        except ImportError as error:
            raise ImportError(
                'cost=True needs the package genai-prices: pip install "sentry-langchain-stream[cost]"'
            ) from error
        data_snapshot.get_snapshot()  # load the prices now, so that the first call does not wait
        self._snapshot = data_snapshot.get_snapshot
        self._types = types

    def cost(self, call: Call) -> Cost | None:
        """Return the cost of a call by its usage, which may be an estimate. It is 0 if LangChain's cache answered.

        Returns:
            The cost, or `None` if it would be a guess: the provider, the model or the tokens are unknown, the numbers
            contradict each other, the model has no price per token, or none for the service tier.
        """
        if call.cached:
            return Cost(0.0, 0.0, 0.0)
        usage, provider = call.usage(), call.request.provider
        model = call.answered_by or call.request.model
        if (
            usage is None
            or usage.input is None
            or (usage.output is None and not isinstance(call, TextsCall))
            or provider is None
            or model is None
        ):
            return None
        tokens = {theirs: getattr(usage, ours) for ours, theirs in _TOKENS.items() if getattr(usage, ours)}
        tier = _tier(call, usage)
        context = None if tier is None else {"service_tier": tier}
        now = datetime.now(timezone.utc)
        try:
            priced = self._snapshot().calc(
                self._types.Usage(**tokens), model, _PROVIDERS.get(provider, provider), None, now, context
            )
        except (LookupError, ValueError):
            return None
        prices = priced.model_price
        if tier is not None and prices == priced.model.get_prices(now):
            return None  # without prices for a tier, genai-prices takes the standard ones
        if any(getattr(usage, part) and getattr(prices, price) is None for part, price in _NEEDED.items()):
            return None
        prompt = call.request.prompt
        if (
            usage.cache_creation
            and usage.cache_creation_1h is None
            and prompt is not None
            and prompt.is_kept_for_an_hour()
        ):
            return None  # the report does not say how much of it: LangChain does not hand that on from streams
        if usage.output and getattr(prices, "output_image_mtok", None) is not None:
            return None  # no report says how much of the answer was images, which cost many times as much
        input, output = float(priced.input_price), float(priced.output_price)
        fee = float(priced.total_price - priced.input_price - priced.output_price)
        return Cost(
            input,
            output,
            input + output,
            requests=fee if fee > 0 else None,
            **{detail: self._part(prices, usage, detail) for detail in _DETAILS},
        )

    def _part(self, prices: Any, usage: Usage, detail: str) -> float | None:
        tokens = getattr(usage, detail)
        if tokens is None:
            return None
        hour = usage.cache_creation_1h or 0 if detail == "cache_creation" else 0
        price = next((found for each in _DETAILS[detail] if (found := getattr(prices, each)) is not None), None)
        part = self._of(price, tokens - hour, usage)
        return part + self._of(prices.cache_write_1h_mtok, hour, usage) if hour else part

    def _of(self, price: Any, tokens: int, usage: Usage) -> float:
        return float(self._types.calc_unit_price(price, tokens, usage.input or 0, 1_000_000))


def _tier(call: Call, usage: Usage) -> str | None:
    """Return the service tier that answered, or else the one that was asked for. The standard one is `None`."""
    named = (usage.tier or call.response.tier or call.request.tier or "").lower()
    return None if not named or named in _STANDARD else named
