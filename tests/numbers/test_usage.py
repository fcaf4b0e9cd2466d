"""Tokens: what providers and their packages really report, and what the span then records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.trees.ways import settled
from tests.kit.wire import WIRE_SHAPES, needs_v3
from tests.numbers.kit import Says, answered, ask, chat, details, of, says, tokens


def said(usage: dict[str, Any] | None = None, text: str = "Hello", **metadata: Any) -> AIMessage:
    given: Any = usage
    return AIMessage(text, usage_metadata=given, response_metadata=metadata)


# LiteLLM 1.110's report of an answer of Anthropic's, as `Usage.model_dump()` gives it: OpenAI's names, and Anthropic's.
LITELLM = {
    "prompt_tokens": 15500,
    "completion_tokens": 500,
    "total_tokens": 16000,
    "completion_tokens_details": {"reasoning_tokens": 0, "text_tokens": 500},
    "prompt_tokens_details": {"cached_tokens": 12000, "cache_creation_tokens": 3000, "text_tokens": 500},
    "cache_read_input_tokens": 12000,
    "cache_creation_input_tokens": 3000,
}


class Dumped:
    """What LiteLLM's own object is to its reader."""

    def model_dump(self) -> dict[str, Any]:
        return LITELLM


REPORTS = [
    pytest.param(
        # Together, in the metadata of a whole answer.
        said(token_usage={"prompt_tokens": 3004, "completion_tokens": 13, "total_tokens": 3017, "cached_tokens": 2504}),
        None,
        (3004, 13, 3017),
        (2504, None, None),
        id="Together",
    ),
    pytest.param(
        # Perplexity's Deep Research bills reasoning beside the completion, and leaves it out of the total.
        said(
            {
                "input_tokens": 48,
                "output_tokens": 728,
                "total_tokens": 776,
                "output_token_details": {"reasoning": 318, "citation_tokens": 2018},
            }
        ),
        None,
        (48, 1046, 1094),
        (None, None, 318),
        id="Perplexity's Deep Research",
    ),
    pytest.param(
        # langchain-aws 1.0 to 1.4, `bedrock_converse._extract_usage_metadata`: Converse's input leaves out the cached.
        said(
            {
                "input_tokens": 5000,
                "output_tokens": 30,
                "total_tokens": 9030,
                "input_token_details": {"cache_read": 4000, "cache_creation": 0},
            }
        ),
        None,
        (9000, 30, 9030),
        (4000, 0, None),
        id="langchain-aws before 1.5",
    ),
    pytest.param(
        # The same with what its model thought (Converse counts that within the output).
        said(
            {
                "input_tokens": 5000,
                "output_tokens": 30,
                "total_tokens": 9530,
                "input_token_details": {"cache_read": 4000, "cache_creation": 500},
                "output_token_details": {"reasoning": 20},
            }
        ),
        None,
        (9500, 30, 9530),
        (4000, 500, 20),
        id="langchain-aws before 1.5, written to the cache too",
    ),
    pytest.param(
        # Cached and reasoning tokens both beside: the total has them all.
        said(
            {
                "input_tokens": 100,
                "output_tokens": 30,
                "total_tokens": 200,
                "input_token_details": {"cache_read": 50},
                "output_token_details": {"reasoning": 20},
            }
        ),
        None,
        (150, 50, 200),
        (50, None, 20),
        id="cached and reasoning tokens beside",
    ),
    pytest.param(said(token_usage=LITELLM), None, (15500, 500, 16000), (12000, 3000, 0), id="LiteLLM, metadata"),
    pytest.param(said(), {"token_usage": LITELLM}, (15500, 500, 16000), (12000, 3000, 0), id="LiteLLM, llm_output"),
    pytest.param(said(), {"token_usage": Dumped()}, (15500, 500, 16000), (12000, 3000, 0), id="LiteLLM's object"),
    pytest.param(
        # What langchain-mistralai, -nvidia-ai-endpoints and -sambanova make of OpenAI's format.
        said(
            {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150},
            token_usage={
                "prompt_tokens": 100,
                "completion_tokens": 50,
                "total_tokens": 150,
                "prompt_tokens_details": {"cached_tokens": 40},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
        ),
        None,
        (100, 50, 150),
        (40, None, 20),
        id="details in the metadata alone",
    ),
    pytest.param(
        # google-genai's `usage_metadata` of an answer that was all thought: `candidates_token_count` is None.
        said(
            usage_metadata={
                "prompt_token_count": 10,
                "candidates_token_count": None,
                "thoughts_token_count": 509,
                "total_token_count": 519,
            }
        ),
        None,
        (10, 509, 519),
        (None, None, 509),
        id="Gemini, thoughts without an answer",
    ),
    pytest.param(
        # The same over REST, without a total.
        said(usage_metadata={"promptTokenCount": 10, "thoughtsTokenCount": 509}),
        None,
        (10, 509, 519),
        (None, None, 509),
        id="Gemini over REST, thoughts without an answer",
    ),
    pytest.param(
        # https://ai.google.dev/api/generate-content#UsageMetadata: the results of tools are counted apart.
        said(
            usage_metadata={
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 90,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 20,
                "totalTokenCount": 125,
            }
        ),
        None,
        (100, 25, 125),
        (None, None, 20),
        id="Gemini, results of its own tools",
    ),
    pytest.param(
        # LangChain's, of a server that reports `{"total_tokens": 15}`.
        said({"input_tokens": 0, "output_tokens": 0, "total_tokens": 15}),
        None,
        (None, None, 15),
        (None, None, None),
        id="only a total",
    ),
    pytest.param(
        # Gemini behind OpenAI's protocol: thoughts and results of tools are in the total only.
        said({"input_tokens": 8, "output_tokens": 6, "total_tokens": 34}),
        None,
        (8, 6, 34),
        (None, None, None),
        id="more in the total",
    ),
    pytest.param(
        # A prompt that Gemini blocks: nothing came out.
        said(text="", usage_metadata={"promptTokenCount": 10, "totalTokenCount": 10}),
        None,
        (10, 0, 10),
        (None, None, None),
        id="Gemini, a prompt that is blocked",
    ),
]


@pytest.mark.parametrize(("message", "llm_output", "expected", "parts"), REPORTS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_report_is_recorded_as_it_was_meant(
    shape: str, message: AIMessage, llm_output: Any, expected: tuple[Any, ...], parts: tuple[Any, ...]
) -> None:
    """Whether details are within their totals or beside them, the span has them within, and the provider's total."""
    span = ask(says(message, llm_output=llm_output), shape=shape)
    assert (tokens(span), details(span)) == (expected, parts)
    assert span.attributes["langchain_stream.usage_source"] == "provider"


def test_litellms_own_object_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """langchain-litellm passes LiteLLM's own object on, not a mapping."""
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    usage = pytest.importorskip("litellm.types.utils").Usage(**LITELLM)
    span = ask(says(said(), llm_output={"token_usage": usage}))
    assert (tokens(span), details(span)) == ((15500, 500, 16000), (12000, 3000, 0))


# What the packages' own `_create_chat_result` makes of OpenAI's format: some keep the details to themselves.
OPENAI = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 40},
    "completion_tokens_details": {"reasoning_tokens": 20},
}
PACKAGES = {
    "mistralai": lambda url: of("langchain_mistralai", "ChatMistralAI")(model="m", base_url=f"{url}/v1", api_key="x"),
    "nvidia": lambda url: of("langchain_nvidia_ai_endpoints", "ChatNVIDIA")(
        model="meta/llama-3.1-8b-instruct", base_url=f"{url}/v1", api_key="x"
    ),
    "sambanova": lambda url: of("langchain_sambanova", "ChatSambaNova")(model="m", base_url=f"{url}/v1/", api_key="x"),
    "groq": lambda url: of("langchain_groq", "ChatGroq")(model="m", base_url=url, api_key="x"),
    "fireworks": lambda url: of("langchain_fireworks", "ChatFireworks")(model="m", base_url=url, api_key="x"),
    "deepseek": lambda url: of("langchain_deepseek", "ChatDeepSeek")(model="m", api_base=url, api_key="x"),
    "openai": lambda url: of("langchain_openai", "ChatOpenAI")(model="m", base_url=url, api_key="x"),
}


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.filterwarnings("ignore:Found meta/llama:UserWarning", "ignore:unclosed:ResourceWarning")
def test_details_that_a_package_leaves_in_the_metadata_are_taken(package: str) -> None:
    """Cached and reasoning tokens are recorded, whether the package reads them or only passes them on."""
    span = answered(PACKAGES[package], chat(OPENAI))
    assert (tokens(span), details(span)) == ((100, 50, 150), (40, None, 20))


def test_details_of_other_tokens_are_not_taken() -> None:
    """Two reports that disagree are not mixed: the message's is the one that counts."""
    usage = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    span = ask(says(said(usage, token_usage=OPENAI)))
    assert (tokens(span), details(span)) == ((7, 3, 10), (None, None, None))


# -- Streams that end early ----------------------------------------------------------------------------------------


def increment(text: str, input_tokens: int, output_tokens: int, cached: int | None = None) -> AIMessageChunk:
    """A chunk with what it adds to the usage, as langchain-google-genai reports it: the prompt with the first."""
    usage: Any = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "input_token_details": {"cache_read": cached or 0},
    }
    return AIMessageChunk(content=text, usage_metadata=usage)


INCREMENTS = [increment("one ", 9000, 1, 8000), increment("two ", 0, 4), increment("three", 0, 4)]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("parses", [True, False], ids=["parser", "no parser"])
def test_the_prompt_of_a_sync_chain_that_is_left_is_the_providers(shape: str, parses: bool) -> None:
    """A prompt that the first chunk reports is recorded; the answer too, if a parser reads it on to its end."""
    model = says(*INCREMENTS)
    span = ask(model | StrOutputParser() if parses else RunnableLambda(str) | model, "left", shape)
    assert span.attributes["gen_ai.usage.input_tokens"] == 9000
    assert span.attributes["gen_ai.usage.cache_read.input_tokens"] == 8000
    assert span.attributes["gen_ai.usage.output_tokens"] == (9 if parses else 5)
    assert span.attributes["langchain_stream.usage_source"] == ("provider" if parses else "estimate")
    assert span.attributes["langchain_stream.outcome"] == "abandoned"


@needs_v3
@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
async def test_the_prompt_of_a_v3_stream_that_is_closed_is_the_providers(shape: str) -> None:
    """v3 reports the usage with its last event alone; token events have it before, if the model has them."""
    handler = SentryStreamHandler()

    class Tells(Says):
        """Uses its run manager, as ChatGoogleGenerativeAI and ChatOpenAI do, and never ends."""

        async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            for made in self._stream(messages):
                await run_manager.on_llm_new_token(made.message.content, chunk=made)
                yield made
            await asyncio.Event().wait()

    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        model = Tells(messages=INCREMENTS[:2])
        stream = await model.astream_events("Hi", {"callbacks": [handler]}, version="v3")
        deltas = 0
        async for event in stream:
            deltas += event.get("event") == "content-block-delta"
            if deltas == 2:
                break
        await stream.aclose()
        await settled(handler)
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["gen_ai.usage.input_tokens"] == 9000
    assert span.attributes["langchain_stream.usage_source"] == "estimate"


def test_a_whole_stream_of_increments_is_their_sum() -> None:
    """Where the stream ends well, the sum is what LangChain has added up."""
    span = ask(says(*INCREMENTS), "stream")
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((9000, 9, 9009), "provider")


def test_repeated_reports_are_not_added_up() -> None:
    """A server that reports all so far with each chunk has used what the last one says, also where it is left."""
    span = ask(says(*(increment(text, 9000, each) for each, text in enumerate(("one ", "two ", "three"), 1))), "left")
    assert tokens(span) == (9000, 2, 9002)


def test_what_a_tool_of_geminis_has_read_is_an_increment() -> None:
    """The tokens of a page that Gemini fetches come in a later chunk than the prompt's, and are many more."""
    span = ask(says(increment("one ", 27, 5), increment("two ", 10309, 35), increment("three", 0, 50)), "stream")
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((10336, 90, 10426), "provider")


# -- LangChain's cache ---------------------------------------------------------------------------------------------

FREE = {"input_tokens": 9, "output_tokens": 3, "total_tokens": 12, "total_cost": 0}


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("llm_output", [None, {"model_name": "free"}], ids=["bare", "with an output"])
@pytest.mark.parametrize("id", [None, "msg-1"], ids=["LangChain's id", "the provider's id"])
def test_a_free_model_has_its_tokens(way: str, llm_output: Any, id: str | None) -> None:
    """A cost of zero alone does not mean that LangChain's cache has answered."""
    if way == "invoke" and id is not None and llm_output is None:
        pytest.skip("looks the same as an answer of the cache")
    message: Any = AIMessage if way == "invoke" else AIMessageChunk
    span = ask(says(message("Hello", usage_metadata=FREE, id=id), llm_output=llm_output), way)
    assert tokens(span) == (9, 3, 12)
    assert "cache.hit" not in span.attributes


@pytest.mark.parametrize("everywhere", [True, False], ids=["global", "of the model"])
@pytest.mark.parametrize("id", [None, "msg-1"], ids=["LangChain's id", "the provider's id"])
def test_an_answer_of_langchains_cache_has_none(everywhere: bool, id: str | None) -> None:
    """What the cache answers was not billed again, whatever the model had put into its answer."""
    cache, before = InMemoryCache(), get_llm_cache()
    model = says(AIMessage("Hello", usage_metadata=FREE, id=id), llm_output={"model_name": "free"}, cache=cache)
    if everywhere:
        model.cache = None
        set_llm_cache(cache)
    try:
        assert tokens(ask(model)) == (9, 3, 12)
        span = ask(model)
    finally:
        set_llm_cache(before)
    assert tokens(span) == (None, None, None)
    assert span.attributes["cache.hit"] is True
