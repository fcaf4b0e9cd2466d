"""The reports of providers, in all their shapes."""

from __future__ import annotations

from typing import Any

import pytest

from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._runs.usage_reports import reported_by

REPORTS: list[Any] = [
    pytest.param(
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "total_tokens": 150,
            "input_token_details": {"cache_read": 40, "cache_creation": 30, "audio": 10},
            "output_token_details": {"reasoning": 20, "audio": 5},
        },
        Usage(100, 50, 150, 40, 30, 20, 10, 5),
        id="LangChain usage_metadata",
    ),
    pytest.param(
        {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}, Usage(3, 4, 7), id="LangChain without details"
    ),
    pytest.param(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 10},
            "completion_tokens_details": {
                "reasoning_tokens": 20,
                "audio_tokens": 5,
                "accepted_prediction_tokens": 1,
                "rejected_prediction_tokens": 2,
            },
        },
        Usage(100, 50, 150, 40, None, 20, 10, 5),
        id="OpenAI token_usage",
    ),
    pytest.param(
        {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11, "prompt_tokens_details": None},
        Usage(5, 6, 11),
        id="OpenAI-compatible, details null",
    ),
    pytest.param(
        {"completion_tokens": 6, "prompt_tokens": 5, "completion_time": 0.1, "queue_time": 0.2, "total_time": 0.3},
        Usage(5, 6, 11),
        id="Groq, without a total",
    ),
    pytest.param({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5, 15), id="Anthropic, nothing cached"),
    pytest.param(
        {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        Usage(10, 5, 15, 0, 0),
        id="Anthropic, no cache hit",
    ),
    pytest.param(
        # Anthropic counts cached tokens beside the input, Sentry and LangChain within it.
        {"input_tokens": 10, "output_tokens": 5, "cache_creation_input_tokens": 20, "cache_read_input_tokens": 900},
        Usage(930, 5, 935, 900, 20),
        id="Anthropic, cached beside the input",
    ),
    pytest.param(
        {"prompt_token_count": 10, "candidates_token_count": 5, "total_token_count": 15},
        Usage(10, 5, 15),
        id="Gemini",
    ),
    pytest.param(
        # Gemini counts thoughts beside the candidates, Sentry and LangChain within the output.
        {
            "prompt_token_count": 10,
            "candidates_token_count": 5,
            "thoughts_token_count": 20,
            "cached_content_token_count": 4,
            "total_token_count": 35,
        },
        Usage(10, 25, 35, cache_read=4, reasoning=20),
        id="Gemini, thoughts beside the candidates",
    ),
    pytest.param(
        # A total that says more than its parts is believed: Gemini bills thoughts and tool prompts besides.
        {"input_tokens": 10, "output_tokens": 5, "total_tokens": 35},
        Usage(10, 5, 35),
        id="more in the total than in the parts",
    ),
    pytest.param(
        {
            "input_tokens": 100,
            "output_tokens": 50,
            "total_tokens": 150,
            "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30},
            "output_tokens_details": {"reasoning_tokens": 20},
        },
        Usage(100, 50, 150, 40, 30, 20),
        id="OpenAI Responses",
    ),
    *(
        pytest.param(
            {
                "input_tokens": 100,
                "output_tokens": 50,
                "total_tokens": 150,
                "input_token_details": {f"{tier}_cache_read": 40, f"{tier}_cache_creation": 30, tier: 60},
                "output_token_details": {f"{tier}_reasoning": 20, tier: 30},
            },
            Usage(100, 50, 150, 40, 30, 20, tier=tier),
            id=f"LangChain, OpenAI's service tier {tier}",
        )
        for tier in ("flex", "priority")
    ),
    pytest.param(
        # LangChain sets the general number to zero where there are numbers by time to live.
        {
            "input_tokens": 100,
            "output_tokens": 5,
            "total_tokens": 105,
            "input_token_details": {
                "cache_read": 40,
                "cache_creation": 0,
                "ephemeral_5m_input_tokens": 20,
                "ephemeral_1h_input_tokens": 10,
            },
        },
        Usage(100, 5, 105, 40, 30, cache_creation_1h=10),
        id="LangChain, Anthropic's cache by time to live",
    ),
    pytest.param(
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 30,
            "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
            "output_tokens_details": {"thinking_tokens": 3},
        },
        Usage(40, 5, 45, None, 30, 3, cache_creation_1h=10),
        id="Anthropic, cache by time to live, and thinking",
    ),
    pytest.param(
        {
            "inputTokens": 10,
            "outputTokens": 5,
            "totalTokens": 45,
            "cacheReadInputTokens": 20,
            "cacheWriteInputTokens": 10,
        },
        Usage(40, 5, 45, 20, 10),
        id="Bedrock Converse",
    ),
    pytest.param(
        {
            "inputTokens": 10,
            "outputTokens": 5,
            "totalTokens": 45,
            "cacheWriteInputTokens": 30,
            "cacheDetails": [{"ttl": "5m", "inputTokens": 20}, {"ttl": "1h", "inputTokens": 10}, "1h", None],
        },
        Usage(40, 5, 45, None, 30, cache_creation_1h=10),
        id="Bedrock Converse, cache by time to live",
    ),
    pytest.param(
        {"inputTokenCount": 10, "outputTokenCount": 5, "cacheReadInputTokenCount": 20, "invocationLatency": 7},
        Usage(30, 5, 35, 20),
        id="Bedrock invocation metrics",
    ),
    pytest.param(
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cache_read_input_tokens": 20},
        Usage(30, 5, 35, 20),
        id="ChatBedrock",
    ),
    pytest.param(
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_cache_hit_tokens": 8,
            "prompt_cache_miss_tokens": 2,
        },
        Usage(10, 5, 15, 8),
        id="DeepSeek",
    ),
    pytest.param(
        # xAI counts reasoning beside the completion; only the total tells.
        {
            "prompt_tokens": 10,
            "completion_tokens": 50,
            "total_tokens": 80,
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
        Usage(10, 70, 80, reasoning=20),
        id="xAI, reasoning beside the completion",
    ),
    pytest.param(
        {"input_token_count": 10, "generated_token_count": 5, "stop_reason": "eos_token"},
        Usage(10, 5, 15),
        id="watsonx",
    ),
    pytest.param(
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 20, "totalTokenCount": 35},
        Usage(10, 25, 35, reasoning=20),
        id="Gemini over REST",
    ),
    pytest.param(
        {"input_tokens": 10, "output_tokens": 5, "service_tier": "priority"},
        Usage(10, 5, 15, tier="priority"),
        id="Anthropic's service tier",
    ),
    pytest.param(
        {"promptTokenCount": 10, "candidatesTokenCount": 5, "serviceTier": "flex"},
        Usage(10, 5, 15, tier="flex"),
        id="Gemini's service tier",
    ),
    pytest.param(
        {
            "promptTokenCount": 100,
            "candidatesTokenCount": 50,
            "totalTokenCount": 150,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 20},
                {"modality": "AUDIO", "tokenCount": 70},
                {"modality": "AUDIO", "tokenCount": 10},
            ],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 50}],
        },
        Usage(100, 50, 150, audio_input=80, audio_output=50),
        id="Gemini over REST, by modality",
    ),
    pytest.param(
        {
            "prompt_token_count": 100,
            "candidates_token_count": 50,
            "total_token_count": 150,
            "prompt_tokens_details": [{"modality": "TEXT", "token_count": 100}, {"modality": "AUDIO"}, "AUDIO", None],
            "candidates_tokens_details": None,
        },
        Usage(100, 50, 150),
        id="Gemini, nothing of it audio",
    ),
    pytest.param({"prompt_eval_count": 10, "eval_count": 5, "done": True}, Usage(10, 5, 15), id="Ollama"),
    pytest.param({"total_tokens": 9}, Usage(None, None, 9), id="only a total"),
    pytest.param(
        # What ChatOpenAI makes of it.
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 9, "input_token_details": {"cache_read": 0}},
        Usage(None, None, 9),
        id="only a total, filled with zeros",
    ),
    pytest.param({"input_tokens": 9}, Usage(9, None, 9), id="only the input"),
    pytest.param({"output_tokens": 9}, Usage(None, 9, 9), id="only the output"),
    pytest.param({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}, Usage(0, 0, 0), id="nothing used"),
    pytest.param({"input_tokens": 0, "prompt_tokens": 5}, Usage(0, None, 0), id="a zero is an answer"),
    pytest.param({"input_tokens": 10.0, "output_tokens": 5.0}, Usage(10, 5, 15), id="whole floats"),
    pytest.param({"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "total_cost": 0}, Usage(0, 0, 0), id="hit"),
]


@pytest.mark.parametrize(("raw", "expected"), REPORTS)
def test_each_providers_report_is_read(raw: dict[str, Any], expected: Usage) -> None:
    """Each shape that providers report yields the same record, labelled as the provider's."""
    assert Usage.reported(raw) == expected
    assert expected.source == "provider"


def test_geminis_own_objects_are_read_by_modality() -> None:
    """Google's client has the modality as a member of an enumeration, and the numbers in objects."""
    types = pytest.importorskip("google.genai.types")

    def heard(tokens: int) -> list[Any]:
        return [types.ModalityTokenCount(modality=types.MediaModality.AUDIO, token_count=tokens)]

    metadata = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=100,
        candidates_token_count=50,
        total_token_count=150,
        prompt_tokens_details=heard(80),
        candidates_tokens_details=heard(50),
    )
    expected = Usage(100, 50, 150, audio_input=80, audio_output=50)
    assert reported_by(types.GenerateContentResponse(usage_metadata=metadata)) == expected
    assert Usage.reported({name: getattr(metadata, name) for name in type(metadata).model_fields}) == expected
