"""What things are called."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._vocabulary import names, providers
from sentry_langchain_stream._vocabulary.keys import Dialect
from sentry_langchain_stream._vocabulary.names import SpanKind
from sentry_langchain_stream._vocabulary.providers import PROVIDERS, Platform

PLATFORMS = {"openai", "cohere", "langchain", "huggingface_hub"}

MODEL_OPS: dict[Dialect, set[str]] = {
    "gen_ai": {"gen_ai.chat", "gen_ai.text_completion", "gen_ai.evaluate", "gen_ai.embeddings", "gen_ai.rerank"},
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
        "handoff": "gen_ai.handoff",
        "memory": "function",
        "checkpoint": "function",
        "retriever": "function",
        "chain": "function",
    },
    "ai": {
        "pipeline": "ai.pipeline.langchain",
        "agent": "ai.agent.langchain",
        "tool": "ai.tool.langchain",
        "handoff": "function",
        "memory": "function",
        "checkpoint": "function",
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
@pytest.mark.parametrize("kind", ["chat", "text_completion", "evaluate"])
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
    ("path", "kind", "name"),
    [
        (None, "openai-chat", "openai"),
        ("langchain.chat_models.openai.ChatOpenAI", None, "openai"),
        (None, "azure-openai-chat", "azure.ai.openai"),
        ("langchain.chat_models.azure_openai.AzureChatOpenAI", None, "azure.ai.openai"),
        (None, "anthropic-chat", "anthropic"),
        (None, "chat-google-generative-ai", "gcp.gemini"),
        ("langchain.chat_models.vertexai.ChatVertexAI", None, "gcp.vertex_ai"),
        ("langchain.llms.bedrock.BedrockLLM", None, "aws.bedrock"),
        (None, "amazon_bedrock_converse_chat", "aws.bedrock"),
        (None, "mistralai-chat", "mistral_ai"),
        (None, "xai-chat", "x_ai"),
        (None, "groq-chat", "groq"),
        (None, "cohere-chat", "cohere"),
        (None, "chat-ollama", "ollama"),
        (None, "huggingface-chat-wrapper", "huggingface"),
        ("langchain.chat_models.fireworks.ChatFireworks", 3, "fireworks"),
        ("", "chat-nvidia-ai-playground", "nvidia"),
        (None, "vertexai-vision", "gcp.vertex_ai"),
    ],
    ids=str,
)
@pytest.mark.parametrize("ls_provider", [None, "", 3])
def test_without_a_name_hints_tell_the_provider(ls_provider: object, path: str | None, kind: object, name: str) -> None:
    """Where LangChain names no provider, the invocation type or the class's path tell it."""
    found = providers.find(ls_provider, path, kind)
    assert found is not None
    assert found.name == name


def test_the_more_telling_hint_wins() -> None:
    """Azure AI's inference service is told from Azure OpenAI by the class's path, and is not of platform "openai"."""
    found = providers.find(None, "langchain_azure_ai.chat_models.AzureAIChatCompletionsModel")
    assert found == PROVIDERS["azure_ai"]


# Class, as `serialized["id"]` has it; what LangChain says in `ls_provider`; name of the provider; platform. The sources
# are langchain-huggingface 1.2.3, langchain-ibm 1.1.2, langchain-google-vertexai 3.2.5, langchain-aws 1.9.1,
# langchain-azure-ai 1.2.12, langchain-qwq 0.3.5, langchain-oci 0.4.0 and langchain-community 0.4.2, and 0.3 for
# the chat models that 0.4 no longer has.
CLASSES: list[tuple[str, str, str, Platform]] = [
    # Derived from the name of the class by langchain-core.
    (
        "langchain_huggingface.llms.huggingface_endpoint.HuggingFaceEndpoint",
        "huggingfaceendpoint",
        "huggingface",
        "huggingface_hub",
    ),
    (
        "langchain_huggingface.llms.huggingface_pipeline.HuggingFacePipeline",
        "huggingfacepipeline",
        "huggingface",
        "huggingface_hub",
    ),
    ("langchain_community.llms.huggingface_hub.HuggingFaceHub", "huggingfacehub", "huggingface", "huggingface_hub"),
    ("langchain_ibm.llms.WatsonxLLM", "watsonx", "ibm.watsonx.ai", "langchain"),
    ("langchain_google_vertexai.model_garden.ChatAnthropicVertex", "anthropicvertex", "gcp.vertex_ai", "langchain"),
    ("langchain_google_vertexai.model_garden.VertexAIModelGarden", "vertexaimodelgarden", "gcp.vertex_ai", "langchain"),
    ("langchain_community.llms.vllm.VLLM", "v", "vllm", "langchain"),
    ("langchain_community.llms.vllm.VLLMOpenAI", "vllmopenai", "vllm", "langchain"),
    ("langchain.llms.openai.AzureOpenAI", "azureopenai", "azure.ai.openai", "openai"),
    ("langchain.chat_models.openai.AzureChatOpenAI", "azurechatopenai", "azure.ai.openai", "openai"),
    ("langchain.llms.bedrock.Bedrock", "bedrock", "aws.bedrock", "langchain"),
    ("langchain.chat_models.bedrock.BedrockChat", "bedrock", "aws.bedrock", "langchain"),
    ("langchain.llms.vertexai.VertexAI", "vertexai", "gcp.vertex_ai", "langchain"),
    ("langchain.chat_models.vertexai.ChatVertexAI", "vertexai", "gcp.vertex_ai", "langchain"),
    ("langchain_aws.llms.sagemaker_endpoint.SagemakerEndpoint", "sagemakerendpoint", "aws.sagemaker", "langchain"),
    (
        "langchain.chat_models.azure_inference.AzureAIChatCompletionsModel",
        "azureaichatcompletionsmodel",
        "azure.ai.inference",
        "langchain",
    ),
    (
        "langchain_azure_ai.agents._v2.base._PromptBasedAgentModel",
        "_promptbasedagentmodel",
        "azure.ai.inference",
        "langchain",
    ),
    ("langchain_community.chat_models.tongyi.ChatTongyi", "tongyi", "dashscope", "langchain"),
    ("langchain_oci.llms.oci_generative_ai.OCIGenAI", "ocigenai", "oci", "langchain"),
    # Inherited from the class of the client that they are built on.
    ("langchain_qwq.chat_models.ChatQwen", "openai", "dashscope", "langchain"),
    ("langchain_qwq.chat_models.ChatQwQ", "openai", "dashscope", "langchain"),
    ("langchain.chat_models.openai.AzureAIOpenAIApiChatModel", "openai", "azure.ai.inference", "langchain"),
    ("langchain.chat_models.anthropic.AzureAIAnthropicChatModel", "anthropic", "azure.ai.inference", "langchain"),
    ("langchain.chat_models.mistralai.VertexModelGardenMistral", "mistral", "gcp.vertex_ai", "langchain"),
    ("langchain.chat_models.openai.ChatOCIOpenAI", "openai", "oci", "langchain"),
    # The class says nothing else.
    ("langchain.chat_models.openai.ChatOpenAI", "openai", "openai", "openai"),
    ("langchain.llms.openai.OpenAI", "openai", "openai", "openai"),
    ("langchain.chat_models.anthropic.ChatAnthropic", "anthropic", "anthropic", "langchain"),
    ("langchain.chat_models.anthropic_bedrock.ChatAnthropicBedrock", "anthropic-bedrock", "aws.bedrock", "langchain"),
    ("langchain.chat_models.mistralai.ChatMistralAI", "mistral", "mistral_ai", "langchain"),
    ("langchain_cohere.llms.Cohere", "cohere", "cohere", "cohere"),
    ("langchain_cerebras.chat_models.ChatCerebras", "cerebras", "cerebras", "langchain"),
]


@pytest.mark.parametrize(("path", "ls_provider", "name", "platform"), CLASSES, ids=lambda each: each.rpartition(".")[2])
def test_the_provider_of_a_class(path: str, ls_provider: str, name: str, platform: Platform) -> None:
    """A name that is derived from the class or inherited from its client gives way to what the class says."""
    found = providers.find(ls_provider, path, "openai-chat")
    assert found is not None
    assert (found.name, found.platform) == (name, platform)


@pytest.mark.parametrize(
    ("path", "ls_provider", "name"),
    [
        ("langchain.chat_models.openai.ChatOpenAI", "deepseek", "deepseek"),
        ("shop.models.VertexAIOnGroq", "groq", "groq"),
        ("shop.models.VLLMGateway", "acme", "acme"),
        ("shop.vertexai.Gateway", "gateway", "gateway"),
        ("shop.models.ConvertextLLM", "convertext", "convertext"),
        ("shop.models.OpenAICompatible", "openaicompatible", "openaicompatible"),
        ("shop.models.QwenOnOpenAI", "openai", "openai"),
    ],
)
def test_langchains_word_goes_before_the_class(path: str, ls_provider: str, name: str) -> None:
    """A name that the class gives by itself wins, and somebody's own class or module is no evidence by a likeness."""
    found = providers.find(ls_provider, path, "vllm")
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("kind", [None, "", 42], ids=str)
@pytest.mark.parametrize("path", [None, "", "my.own.FakeModel"], ids=str)
def test_where_nothing_tells_there_is_no_provider(path: str | None, kind: object) -> None:
    """Without any hint there is no provider, and the platform is "langchain"."""
    assert providers.find(None, path, kind) is None
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
    st.none() | st.text(max_size=20) | st.sampled_from([path for path, *_ in CLASSES]),
    anything,
    st.sampled_from(["chat", "text_completion", "evaluate"]),
    st.sampled_from(["gen_ai", "ai"]),
)
def test_whatever_the_provider_the_op_is_predefined(
    ls_provider: object, path: str | None, type_: object, kind: SpanKind, dialect: Dialect
) -> None:
    """No provider string and no hint makes up an op: it is always one that Sentry predefines for this dialect."""
    of = providers.platform_of(providers.find(ls_provider, path, type_))
    assert of in PLATFORMS
    assert names.op(kind, dialect, of) in MODEL_OPS[dialect]
    for other, op in OTHER_OPS[dialect].items():
        assert names.op(other, dialect, of) == op


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_every_kind_has_its_op(dialect: Dialect) -> None:
    """Every kind of span has an op in either dialect, and none but a model's is that of a model call."""
    assert {"chat", "text_completion", "evaluate", "embeddings", "rerank", *OTHER_OPS[dialect]} == set(
        get_args(SpanKind)
    )
    assert MODEL_OPS[dialect].isdisjoint(OTHER_OPS[dialect].values())


def test_every_predefined_op_occurs() -> None:
    """The closed set of ops is used up by the table: none of it is idle."""
    dialects: tuple[Dialect, ...] = get_args(Dialect)
    kinds: tuple[SpanKind, ...] = ("chat", "text_completion", "evaluate", "embeddings", "rerank")
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
        ("evaluate", "gen_ai", "judge-1", "evaluate judge-1"),
        ("evaluate", "ai", "judge-1", "support-bot"),
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
