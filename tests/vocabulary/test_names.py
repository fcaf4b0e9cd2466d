"""What things are called."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._vocabulary import names, providers
from sentry_langchain_stream._vocabulary.keys import Dialect
from sentry_langchain_stream._vocabulary.names import SpanKind
from sentry_langchain_stream._vocabulary.providers import PROVIDERS, Platform

PLATFORMS = {"openai", "cohere", "langchain", "huggingface_hub"}

MODEL_OPS: dict[Dialect, set[str]] = {
    "gen_ai": {"gen_ai.chat", "gen_ai.text_completion", "gen_ai.embeddings", "gen_ai.rerank"},
    "ai": {
        f"ai.{what}.create.{platform}"
        for what in ("chat_completions", "embeddings", "rerank")
        for platform in PLATFORMS
    },
}
OTHER_OPS: dict[Dialect, dict[SpanKind, str]] = {
    "gen_ai": {
        "pipeline": "function",
        "agent": "gen_ai.invoke_agent",
        "tool": "gen_ai.execute_tool",
        "retriever": "function",
        "chain": "function",
    },
    "ai": {
        "pipeline": "ai.pipeline.langchain",
        "agent": "ai.agent.langchain",
        "tool": "ai.tool.langchain",
        "retriever": "function",
        "chain": "function",
    },
}

# ls_provider, name of the provider, platform
TABLE: list[tuple[str, str, Platform]] = [
    ("openai", "openai", "openai"),
    ("azure", "azure.ai.openai", "openai"),
    ("anthropic", "anthropic", "langchain"),
    ("google_genai", "gcp.gemini", "langchain"),
    ("google_vertexai", "gcp.vertex_ai", "langchain"),
    ("amazon_bedrock", "aws.bedrock", "langchain"),
    ("mistral", "mistral_ai", "langchain"),
    ("xai", "x_ai", "langchain"),
    ("groq", "groq", "langchain"),
    ("cohere", "cohere", "cohere"),
    ("deepseek", "deepseek", "langchain"),
    ("perplexity", "perplexity", "langchain"),
    ("ollama", "ollama", "langchain"),
    ("huggingface", "huggingface", "huggingface_hub"),
    ("fireworks", "fireworks", "langchain"),
    ("together", "together", "langchain"),
    ("openrouter", "openrouter", "langchain"),
    ("nvidia", "nvidia", "langchain"),
    # Further names that LangChain's packages give, or gave, the same providers.
    ("openai-codex", "openai", "openai"),
    ("azure_ai", "azure.ai.inference", "langchain"),
    ("google_anthropic_vertex", "gcp.vertex_ai", "langchain"),
    ("aws", "aws.bedrock", "langchain"),
    ("mistralai", "mistral_ai", "langchain"),
    ("huggingface_hub", "huggingface", "huggingface_hub"),
]


@pytest.mark.parametrize(("ls_provider", "name", "platform"), TABLE)
def test_a_known_provider(ls_provider: str, name: str, platform: Platform) -> None:
    """Each provider that LangChain names has its conventional name and its platform, however it is capitalised."""
    for spelling in (ls_provider, ls_provider.upper()):
        found = providers.find(spelling)
        assert found is not None
        assert found.name == name
        assert providers.platform_of(found) == platform


@pytest.mark.parametrize(("ls_provider", "name", "platform"), TABLE)
@pytest.mark.parametrize("kind", ["chat", "text_completion"])
def test_the_op_of_a_known_providers_model(ls_provider: str, name: str, platform: Platform, kind: SpanKind) -> None:
    """In dialect "gen_ai" the op tells the kind of call, in "ai" the platform."""
    of = providers.platform_of(providers.find(ls_provider))
    assert names.op(kind, "gen_ai", of) == f"gen_ai.{kind}"
    assert names.op(kind, "ai", of) == f"ai.chat_completions.create.{platform}"


def test_there_are_four_platforms() -> None:
    """The platforms are the four that Sentry predefines, and every row of the table uses one of them."""
    assert set(get_args(Platform)) == PLATFORMS
    assert {row.platform for row in PROVIDERS.values()} <= PLATFORMS


def test_a_provider_without_a_row_keeps_its_own_name() -> None:
    """An unknown provider is stated in lower case, on the platform "langchain"."""
    found = providers.find("Acme-AI")
    assert found is not None
    assert (found.name, providers.platform_of(found), found.integration) == ("acme-ai", "langchain", None)


@pytest.mark.parametrize(
    ("hints", "name"),
    [
        (("openai-chat",), "openai"),
        (("langchain.chat_models.openai.ChatOpenAI",), "openai"),
        (("azure-openai-chat",), "azure.ai.openai"),
        (("langchain.chat_models.azure_openai.AzureChatOpenAI",), "azure.ai.openai"),
        (("anthropic-chat",), "anthropic"),
        (("chat-google-generative-ai",), "gcp.gemini"),
        (("langchain.chat_models.vertexai.ChatVertexAI",), "gcp.vertex_ai"),
        (("langchain.llms.bedrock.BedrockLLM",), "aws.bedrock"),
        (("amazon_bedrock_converse_chat",), "aws.bedrock"),
        (("mistralai-chat",), "mistral_ai"),
        (("xai-chat",), "x_ai"),
        (("groq-chat",), "groq"),
        (("cohere-chat",), "cohere"),
        (("chat-ollama",), "ollama"),
        (("huggingface-chat-wrapper",), "huggingface"),
        ((None, "langchain.chat_models.fireworks.ChatFireworks"), "fireworks"),
        ((None, 3, ["groq"], "chat-nvidia-ai-playground"), "nvidia"),
    ],
    ids=str,
)
@pytest.mark.parametrize("ls_provider", [None, "", 3])
def test_without_a_name_hints_tell_the_provider(ls_provider: object, hints: tuple[Any, ...], name: str) -> None:
    """Where LangChain names no provider, the invocation type or the class's path tell it."""
    found = providers.find(ls_provider, *hints)
    assert found is not None
    assert found.name == name


def test_the_more_telling_hint_wins() -> None:
    """Azure AI's inference service is told from Azure OpenAI by the class's path, and is not of platform "openai"."""
    found = providers.find(None, "langchain_azure_ai.chat_models.AzureAIChatCompletionsModel")
    assert found == PROVIDERS["azure_ai"]


def test_langchains_word_goes_before_any_hint() -> None:
    """`ls_provider` wins over what hints would tell."""
    found = providers.find("deepseek", "openai-chat", "langchain.chat_models.openai.ChatOpenAI")
    assert found is not None
    assert found.name == "deepseek"


@pytest.mark.parametrize("hints", [(), (None,), ("my.own.FakeModel",), ("",), (42,)], ids=str)
def test_where_nothing_tells_there_is_no_provider(hints: tuple[Any, ...]) -> None:
    """Without any hint there is no provider, and the platform is "langchain"."""
    assert providers.find(None, *hints) is None
    assert providers.platform_of(None) == "langchain"


def test_every_row_names_its_provider() -> None:
    """Every row of the table has a name, and is found by its key."""
    for key, row in PROVIDERS.items():
        assert key == key.lower()
        assert row.name
        assert providers.find(key) == row


anything = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.sampled_from([*PROVIDERS, "{platform}", "openai\n", "gen_ai", "../x", "Azure", "OPENAI"]),
)


@settings(deadline=None, max_examples=300)
@given(
    anything,
    st.lists(anything, max_size=3),
    st.sampled_from(["chat", "text_completion"]),
    st.sampled_from(["gen_ai", "ai"]),
)
def test_whatever_the_provider_the_op_is_predefined(
    ls_provider: object, hints: list[object], kind: SpanKind, dialect: Dialect
) -> None:
    """No provider string and no hint makes up an op: it is always one that Sentry predefines for this dialect."""
    of = providers.platform_of(providers.find(ls_provider, *hints))
    assert of in PLATFORMS
    assert names.op(kind, dialect, of) in MODEL_OPS[dialect]
    for other, op in OTHER_OPS[dialect].items():
        assert names.op(other, dialect, of) == op


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_every_kind_has_its_op(dialect: Dialect) -> None:
    """Every kind of span has an op in either dialect, and none but a model's is that of a model call."""
    assert {"chat", "text_completion", "embeddings", "rerank", *OTHER_OPS[dialect]} == set(get_args(SpanKind))
    assert MODEL_OPS[dialect].isdisjoint(OTHER_OPS[dialect].values())


def test_every_predefined_op_occurs() -> None:
    """The closed set of ops is used up by the table: none of it is idle."""
    dialects: tuple[Dialect, ...] = get_args(Dialect)
    kinds: tuple[SpanKind, ...] = ("chat", "text_completion", "embeddings", "rerank")
    for dialect in dialects:
        used = {names.op(kind, dialect, row.platform) for kind, row in itertools.product(kinds, PROVIDERS.values())}
        assert used == MODEL_OPS[dialect]


@pytest.mark.parametrize(
    ("kind", "dialect", "what", "expected"),
    [
        ("chat", "gen_ai", "gpt-4o-mini", "chat gpt-4o-mini"),
        ("chat", "gen_ai", None, "chat"),
        ("text_completion", "gen_ai", "davinci", "text_completion davinci"),
        ("text_completion", "gen_ai", "", "text_completion"),
        ("chat", "ai", "gpt-4o-mini", "support-bot"),
        ("text_completion", "ai", None, "support-bot"),
        ("pipeline", "gen_ai", None, "support-bot"),
        ("pipeline", "gen_ai", "gpt-4o-mini", "support-bot"),
        ("pipeline", "ai", None, "support-bot"),
        ("agent", "gen_ai", "scout", "invoke_agent scout"),
        ("agent", "ai", "scout", "invoke_agent scout"),
        ("tool", "gen_ai", "get_weather", "execute_tool get_weather"),
        ("tool", "ai", "get_weather", "execute_tool get_weather"),
        ("retriever", "gen_ai", "Shelf", "retrieve Shelf"),
        ("retriever", "ai", "Shelf", "retrieve Shelf"),
        ("chain", "gen_ai", "StrOutputParser", "StrOutputParser"),
        ("chain", "ai", "StrOutputParser", "StrOutputParser"),
    ],
)
def test_span_names(kind: SpanKind, dialect: Dialect, what: str | None, expected: str) -> None:
    """A span is named after its kind and what it is done to; pipelines, and models of "ai", after the pipeline."""
    assert names.span_name(kind, dialect, "support-bot", what) == expected


SOURCES = ("configured", "metadata", "sentry", "run")


@pytest.mark.parametrize("present", list(itertools.product([True, False], repeat=4)), ids=str)
@pytest.mark.parametrize("absent", [None, ""])
def test_the_pipelines_name_by_precedence(present: tuple[bool, ...], absent: str | None) -> None:
    """Argument, run metadata, Sentry's context, root run, "langchain": the first that is there names the pipeline."""
    configured, in_metadata, from_sentry, run_name = (
        source if there else absent for source, there in zip(SOURCES, present, strict=True)
    )
    expected = next((source for source, there in zip(SOURCES, present, strict=True) if there), "langchain")
    assert names.pipeline(configured=configured, metadata=in_metadata, sentry=from_sentry, run=run_name) == expected
