"""Every provider's own LangChain class, asking a server that speaks its wire format: the span says what was sent."""

from __future__ import annotations

import gc
import inspect
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, Way, active_span, content_allowed

FIXTURES = json.loads((Path(__file__).parent / "fixtures" / "answers.json").read_text(encoding="utf-8"))["fixtures"]

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

QUESTIONS = {
    "text": "What does a span show?",
    "cut": "Tell me everything.",
    "tool": "How is the weather in Vienna?",
    "thought": "Think before you answer.",
}
ANSWERING = "the-model-that-answered"


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


OFFERED = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"properties": {"city": {"type": "string"}}, "required": ["city"], "type": "object"},
    }
]


def sent(kind: str) -> dict[str, int]:
    """The usage that the server sends with an answer, as the file says that it answers from."""
    found: dict[str, int] = next(
        each["response"]["usage"] for each in FIXTURES if each["match"]["userMessage"] == QUESTIONS[kind]
    )
    return found


def of(package: str, name: str) -> Callable[..., BaseChatModel]:
    """A class of a package that may not be installed."""
    chosen: Callable[..., BaseChatModel] = getattr(pytest.importorskip(package), name)
    return chosen


@dataclass(frozen=True)
class Provider:
    """A row of the matrix.

    What the server does not send, or LangChain's class does not hand on, is written down here as well: should a
    version do better, a test fails and the row can too.
    """

    id: str
    make: Callable[[str], BaseChatModel]
    name: str
    model: str
    reasons: tuple[str, str, str]
    """Why the model stopped: the end of the text, the end of its allowance, a tool call."""
    parameters: Mapping[str, Any]
    """Request parameters, by the ends of their keys."""
    names_model: bool = True
    """Whether the answer names the model."""
    has_id: Callable[[bool], bool] = field(default=lambda streams: True)
    """Whether the answer's id reaches LangChain's callbacks, streamed or not."""
    counts: bool = True
    """Whether the server counts tokens for this protocol; else it says zero."""
    loses_input_streamed: bool = False
    """Whether LangChain is not told the prompt's tokens when it streams."""
    always_streams: bool = False
    """Whether the class streams from the server whatever it is asked by."""
    refused: tuple[str, ...] = ()
    """The kinds of answer that the client library refuses when this server streams them."""

    def __str__(self) -> str:
        return self.id


PROVIDERS = (
    Provider(
        "openai",
        lambda url: of("langchain_openai", "ChatOpenAI")(
            model="gpt-example",
            base_url=f"{url}/v1",
            api_key="none",
            max_retries=0,
            stream_usage=True,
            temperature=0.3,
            top_p=0.9,
            seed=7,
            max_tokens=99,
            frequency_penalty=0.1,
            presence_penalty=0.2,
            stop=["END"],
        ),
        "openai",
        "gpt-example",
        ("stop", "length", "tool_calls"),
        {
            "temperature": 0.3,
            "top_p": 0.9,
            "seed": "7",
            "max_tokens": 99,
            "frequency_penalty": 0.1,
            "presence_penalty": 0.2,
            "stop_sequences": ["END"],
        },
        has_id=lambda streams: not streams,
    ),
    Provider(
        "openai-responses",
        lambda url: of("langchain_openai", "ChatOpenAI")(
            model="gpt-example",
            base_url=f"{url}/v1",
            api_key="none",
            max_retries=0,
            use_responses_api=True,
            temperature=0.3,
            top_p=0.9,
            max_tokens=99,
        ),
        "openai",
        "gpt-example",
        ("completed", "incomplete", "completed"),
        {"temperature": 0.3, "top_p": 0.9, "max_tokens": 99},
    ),
    Provider(
        "azure",
        lambda url: of("langchain_openai", "AzureChatOpenAI")(
            azure_deployment="gpt-example",
            azure_endpoint=url,
            api_version="2024-10-21",
            api_key="none",
            max_retries=0,
            stream_usage=True,
            temperature=0.3,
        ),
        "azure.ai.openai",
        "gpt-example",
        ("stop", "length", "tool_calls"),
        {"temperature": 0.3},
        has_id=lambda streams: not streams,
    ),
    Provider(
        "openrouter",
        lambda url: of("langchain_openai", "ChatOpenAI")(
            model="openai/gpt-example",
            base_url=f"{url}/api/v1",
            api_key="none",
            max_retries=0,
            stream_usage=True,
            extra_body={"top_k": 40},
        ),
        "openai",
        "openai/gpt-example",
        ("stop", "length", "tool_calls"),
        {"top_k": 40},
        has_id=lambda streams: not streams,
    ),
    Provider(
        "anthropic",
        lambda url: of("langchain_anthropic", "ChatAnthropic")(
            model="claude-example",
            base_url=url,
            api_key="none",
            max_retries=0,
            temperature=0.3,
            top_k=40,
            max_tokens=99,
            stop=["END"],
        ),
        "anthropic",
        "claude-example",
        ("end_turn", "max_tokens", "tool_use"),
        {"temperature": 0.3, "top_k": 40, "max_tokens": 99, "stop_sequences": ["END"]},
        has_id=lambda streams: not streams,
        loses_input_streamed=True,
    ),
    Provider(
        "gemini",
        lambda url: of("langchain_google_genai", "ChatGoogleGenerativeAI")(
            model="gemini-example",
            base_url=url,
            api_version="v1beta",  # what the server speaks; google-genai 3 asks for "v1" by itself
            api_key="none",
            max_retries=1,
            temperature=0.3,
            top_p=0.9,
            top_k=40,
            max_output_tokens=99,
            stop=["END"],
        ),
        "gcp.gemini",
        "gemini-example",
        ("STOP", "MAX_TOKENS", "STOP"),
        {"temperature": 0.3, "top_p": 0.9, "top_k": 40, "max_tokens": 99, "stop_sequences": ["END"]},
        names_model=False,
        has_id=lambda streams: False,
    ),
    Provider(
        "ollama",
        lambda url: of("langchain_ollama", "ChatOllama")(
            model="llama-example", base_url=url, temperature=0.3, top_p=0.9, num_predict=99, seed=7, stop=["END"]
        ),
        "ollama",
        "llama-example",
        ("stop", "stop", "stop"),
        {"temperature": 0.3, "stop_sequences": ["END"]},  # LangChain's events tell no more of it
        names_model=False,
        has_id=lambda streams: False,
        counts=False,
        always_streams=True,
    ),
    Provider(
        "bedrock-converse",
        lambda url: of("langchain_aws", "ChatBedrockConverse")(
            model="anthropic.claude-3-example-v1:0",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
            temperature=0.3,
            top_p=0.9,
            max_tokens=99,
            stop=["END"],
        ),
        "aws.bedrock",
        "anthropic.claude-3-example-v1:0",
        ("end_turn", "max_tokens", "tool_use"),
        {"temperature": 0.3, "top_p": 0.9, "max_tokens": 99, "stop_sequences": ["END"]},
        names_model=False,
        has_id=lambda streams: False,
        refused=("text", "cut"),  # this server starts a text block with a member that botocore does not know
    ),
)


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the clients from looking for an account on this machine."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    """The models by the providers' ids, made when they are first asked for: that is what takes long."""
    made: dict[str, Any] = {}
    yield made
    made.clear()
    with warnings.catch_warnings():
        # Most classes have no way to close their clients, which say so when they go.
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@dataclass(frozen=True)
class Asking:
    """Asks the server's models."""

    url: str
    models: dict[str, Any]

    async def __call__(self, provider: Provider, way: Way, kind: str) -> None:
        """Ask one question, with a handler of its own."""
        if kind in provider.refused and way.streams:
            pytest.skip(f"{provider}: the client library refuses what this server streams")
        if provider.id not in self.models:
            self.models[provider.id] = provider.make(self.url)
        model = self.models[provider.id]
        config = {"callbacks": [SentryStreamHandler(pipeline_name="support-bot")]}
        await way.run(model.bind_tools([get_weather]) if kind == "tool" else model, QUESTIONS[kind], config)


@pytest.fixture
def ask(aimock: str, models: dict[str, Any]) -> Asking:
    """Asks the server's models."""
    return Asking(aimock, models)


def model_span(captured: Captured) -> CapturedSpan:
    """Our span, after a look that there is no other AI span besides."""
    spans = [span for span in captured.spans if span.op.startswith(("gen_ai.", "ai."))]
    assert [span.origin for span in spans] == ["auto.ai.langchain_stream"], captured.tree()
    return spans[0]


def tokens(span: CapturedSpan) -> dict[str, Any]:
    """All that a span says of tokens."""
    names = ("total_tokens", "tokens.used", "usage.", "langchain_stream.audio_", "usage_source")
    return {key: value for key, value in span.attributes.items() if any(name in key for name in names)}


def expected_tokens(provider: Provider, kind: str, streams: bool, span: CapturedSpan) -> dict[str, Any]:
    """What the server sends; where it counts none, or LangChain loses those of the prompt, an estimate that says so."""
    usage = sent(kind)
    read, written, source = usage["prompt_tokens"], usage["completion_tokens"], "provider"
    if not provider.counts:
        written, source = span.attributes["gen_ai.usage.output_tokens"], "estimate"
        assert 0 < written < 100
    if not provider.counts or (provider.loses_input_streamed and streams):
        read, source = span.attributes["gen_ai.usage.input_tokens"], "estimate"
        assert 0 < read < 100
    return {
        "gen_ai.usage.input_tokens": read,
        "gen_ai.usage.output_tokens": written,
        "gen_ai.usage.total_tokens": read + written,
        "ai.total_tokens": read + written,
        "ai.total_tokens.used": read + written,
        "langchain_stream.usage_source": source,
    }


def details(span: CapturedSpan) -> dict[str, Any]:
    """The details of the tokens, by their keys."""
    return {
        key: value for key, value in tokens(span).items() if "cache_" in key or "reasoning" in key or "audio" in key
    }


@pytest.mark.parametrize("kind", ["text", "cut", "tool"])
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_the_span_says_what_the_server_sent(ask: Asking, provider: Provider, way: Way, kind: str) -> None:
    """Streamed or not, text or tool call: one span, and its facts are those that the server sent."""
    with capture_spans() as captured:
        await ask(provider, way, kind)
    span = model_span(captured)
    part = details(span)
    assert set(part.values()) <= {0}, "the server sends no details here"
    told = {key: value for key, value in tokens(span).items() if key not in part}
    assert told == expected_tokens(provider, kind, way.streams, span)
    named = provider.names_model and not (provider.id == "gemini" and kind == "tool")
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider.name,
        "gen_ai.request.model": provider.model,
        "gen_ai.response.model": ANSWERING if named else provider.model,
        "gen_ai.response.id": f"answer-{kind}" if provider.has_id(way.streams) else None,
        "gen_ai.response.finish_reasons": provider.reasons[["text", "cut", "tool"].index(kind)],
        "gen_ai.response.streaming": way.streams or provider.always_streams,
        "langchain_stream.outcome": "completed",
    }
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert (span.name, span.status) == (f"chat {provider.model}", "ok")
    assert ("gen_ai.response.time_to_first_chunk" in span.attributes) is (way.streams or provider.always_streams)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_below_an_active_span_there_is_one_span_in_every_wire_shape(
    ask: Asking, provider: Provider, shape: str
) -> None:
    """Whatever shape the SDK sends, the integrations of the providers' client libraries stay off beside ours."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
        await ask(provider, WAYS[0], "tool")
    span = model_span(captured)
    written = span.attributes["gen_ai.usage.output_tokens"]
    assert written == sent("tool")["completion_tokens"] or not provider.counts
    assert span.attributes["gen_ai.provider.name"] == provider.name


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_details_are_parts_of_the_numbers(ask: Asking, way: Way) -> None:
    """Cached, reasoning and audio tokens are told as the server sends them, within input and output."""
    provider = next(each for each in PROVIDERS if each.id == "openrouter")
    with capture_spans() as captured:
        await ask(provider, way, "thought")
    span = model_span(captured)
    usage: Mapping[str, Any] = sent("thought")
    written = "gen_ai.usage.cache_creation.input_tokens", usage["prompt_tokens_details"]["cache_write_tokens"]
    known = "cache_write_tokens" in inspect.getsource(pytest.importorskip("langchain_openai.chat_models.base"))
    assert tokens(span) == {
        **expected_tokens(provider, "thought", way.streams, span),
        # Older langchain-openai hands them on only in what the server said of a whole answer.
        **dict([written] if known or not way.streams else []),
        "gen_ai.usage.cache_read.input_tokens": usage["prompt_tokens_details"]["cached_tokens"],
        "langchain_stream.audio_input": usage["prompt_tokens_details"]["audio_tokens"],
        "gen_ai.usage.reasoning.output_tokens": usage["completion_tokens_details"]["reasoning_tokens"],
    }


@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_the_span_says_how_the_model_was_asked(ask: Asking, provider: Provider) -> None:
    """Each class's request parameters are on the span, under one name each, and nothing is made up."""
    with capture_spans(**content_allowed(True)) as captured:  # stop sequences are content
        await ask(provider, WAYS[2], "text")
    span = model_span(captured)
    asked = {
        key.removeprefix("gen_ai.request."): value
        for key, value in span.attributes.items()
        if key.startswith("gen_ai.request.") and key != "gen_ai.request.model"
    }
    assert asked == provider.parameters


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("provider", PROVIDERS, ids=str)
async def test_offered_tools_are_told_in_one_shape(ask: Asking, provider: Provider, allowed: bool) -> None:
    """However a provider spells its tools, they are recorded the same, and only where inputs may be."""
    with capture_spans(**content_allowed(allowed)) as captured:
        await ask(provider, WAYS[0], "tool")
    span = model_span(captured)
    told = span.attributes.get("gen_ai.tool.definitions")
    assert (json.loads(told) if told else told) == (OFFERED if allowed else None)
