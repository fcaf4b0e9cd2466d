"""Embedding models of LangChain's packages with their real client libraries: one span a call, the provider's tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from sentry_sdk.integrations import langchain
from sentry_sdk.integrations.langchain import LangchainIntegration

from sentry_langchain_stream import SentryStreamHandler, SentryStreamIntegration, track_stream
from sentry_langchain_stream._from_langchain import client_answers
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.embedding import BROKEN, PER_REQUEST, SECRET, UNTOLD, embedding_server, retrieving
from tests.kit.wire import DEFAULT_SHAPE, WAYS, WIRE_SHAPES, Way, active_span, content_allowed

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

CALLS = [way for way in WAYS if not way.streams]
ANSWERED = "embed-that-answered"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, list[str]]]:
    """The server that speaks the protocols of the providers, and what it was asked for."""
    with embedding_server() as running:
        yield running


def openai(url: str, **more: Any) -> Embeddings:
    """OpenAI's model, which sends one text per request."""
    made: Embeddings = pytest.importorskip("langchain_openai").OpenAIEmbeddings(
        model="embed-1",
        base_url=f"{url}/v1",
        api_key="none",
        max_retries=0,
        check_embedding_ctx_length=False,
        chunk_size=1,
        **more,
    )
    return made


def azure(url: str) -> Embeddings:
    """The same model at Azure."""
    made: Embeddings = pytest.importorskip("langchain_openai").AzureOpenAIEmbeddings(
        model="embed-1",
        azure_endpoint=url,
        azure_deployment="mine",
        api_version="2024-06-01",
        api_key="none",
        max_retries=0,
        check_embedding_ctx_length=False,
    )
    return made


def ollama(url: str) -> Embeddings:
    """Ollama's model."""
    made: Embeddings = pytest.importorskip("langchain_ollama").OllamaEmbeddings(model="embed-1", base_url=url)
    return made


def google(url: str) -> Embeddings:
    """Google's model."""
    made: Embeddings = pytest.importorskip("langchain_google_genai").GoogleGenerativeAIEmbeddings(
        model="models/embed-1", google_api_key="none", base_url=url
    )
    return made


def bedrock(url: str) -> Embeddings:
    """Amazon's Titan, which takes one text per request."""
    made: Embeddings = pytest.importorskip("langchain_aws").BedrockEmbeddings(
        model_id="amazon.titan-embed-1",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    return made


PROVIDERS: dict[str, tuple[Callable[[str], Embeddings], str, str, str]] = {
    "openai": (openai, "openai", "embed-1", ANSWERED),
    "azure": (azure, "azure.ai.openai", "embed-1", ANSWERED),
    "ollama": (ollama, "ollama", "embed-1", ANSWERED),
    "google": (google, "gcp.gemini", "embed-1", "embed-1"),
    "bedrock": (bedrock, "aws.bedrock", "amazon.titan-embed-1", "amazon.titan-embed-1"),
}
"""How the model is made, its provider, the model asked for and the one that answered."""


def ai_spans(captured: Captured) -> list[CapturedSpan]:
    """Every span of a model."""
    return [span for span in captured.spans if str(span.op).startswith(("gen_ai.", "ai."))]


def top(request: CapturedSpan, captured: Captured) -> str | None:
    """The span that a request is below of. Requests that threads send at the same time may be below each other."""
    parents = {each.span_id: each.parent_id for each in captured.spans if each.op == "http.client"}
    parent = request.parent_id
    while parent in parents:
        parent = parents[parent]
    return parent


def step(model: Embeddings) -> Any:
    """A step that embeds three documents."""

    def sync(question: str) -> int:
        return len(model.embed_documents([question] * 3))

    async def asynchronous(question: str) -> int:
        return len(await model.aembed_documents([question] * 3))

    return RunnableLambda(sync, asynchronous)


def reads_google_tokens() -> bool:
    """Whether Google's client library hands the tokens of embeddings on. Python 3.10 has none that does."""
    types: Any = pytest.importorskip("google.genai.types")
    return "usage_metadata" in types.EmbedContentResponse.model_fields


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("way", CALLS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_tokens_are_the_providers(server: tuple[str, list[str]], shape: str, way: Way, provider: str) -> None:
    """The tokens of all requests of a call are added up; model and provider are named; requests hang below the span."""
    if provider == "google" and not reads_google_tokens():
        pytest.skip("needs google-genai 3")
    make, name, asked_for, answered = PROVIDERS[provider]
    model = make(server[0])
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(step(model), "Where is it?", {"callbacks": [SentryStreamHandler()]})
    (span,) = ai_spans(captured)
    expected = {
        "gen_ai.request.model": asked_for,
        "gen_ai.response.model": answered,
        "gen_ai.provider.name": name,
        "gen_ai.usage.input_tokens": 3 * PER_REQUEST,
        "gen_ai.usage.total_tokens": 3 * PER_REQUEST,
        "langchain_stream.usage_source": "provider",
        "langchain_stream.inputs": 3,
    }
    assert {key: span.attributes.get(key) for key in expected} == expected
    assert {top(each, captured) for each in captured.spans if each.op == "http.client"} <= {span.span_id}


def test_a_request_without_tokens_makes_the_sum_an_estimate(server: tuple[str, list[str]]) -> None:
    """A sum of which a part is missing is not the provider's."""
    model = openai(server[0])
    chain: Any = RunnableLambda(lambda text: len(model.embed_documents([text, UNTOLD])))
    with capture_spans() as captured:
        chain.invoke("Where?", {"callbacks": [SentryStreamHandler()]})
    (span,) = ai_spans(captured)
    assert span.attributes["langchain_stream.usage_source"] == "estimate"
    assert span.attributes["gen_ai.usage.input_tokens"] == 2 + 3


def test_the_tokens_of_the_requests_before_a_failure_are_kept(server: tuple[str, list[str]]) -> None:
    """Of two requests the second fails: the failed call has the tokens that the first one reported."""
    model = openai(server[0])
    chain: Any = RunnableLambda(lambda text: len(model.embed_documents([text, BROKEN])))
    with capture_spans() as captured, pytest.raises(pytest.importorskip("openai").InternalServerError):
        chain.invoke("Where?", {"callbacks": [SentryStreamHandler(capture_errors=False)]})
    (span,) = ai_spans(captured)
    assert span.attributes["langchain_stream.outcome"] == "failed"
    assert span.attributes["gen_ai.usage.input_tokens"] == PER_REQUEST
    assert span.attributes["langchain_stream.usage_source"] == "provider"


@pytest.mark.parametrize(("counts", "told"), [((3.0, 4.0), (7, "provider")), ((3.0, None), (4, "estimate"))], ids=str)
def test_vertex_counts_each_text(
    counts: tuple[float | None, ...], told: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokens of Vertex AI's answer are the sum of its embeddings', and an estimate if one of them has no number."""
    models: Any = pytest.importorskip("google.genai.models").Models

    def embed_content(self: Any) -> Any:
        each = [SimpleNamespace(statistics=SimpleNamespace(token_count=count)) for count in counts]
        return SimpleNamespace(embeddings=each)

    class Vertex(Embeddings):
        model = "embed-1"
        client = object()

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            models.embed_content(None)
            return [[0.1] for _ in texts]

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    client_answers.uninstall()
    monkeypatch.setattr(models, "embed_content", embed_content)
    try:
        with capture_spans() as captured:
            chain: Any = RunnableLambda(lambda text: len(Vertex().embed_documents([text, text])))
            chain.invoke("Where?", {"callbacks": [SentryStreamHandler()]})
    finally:
        client_answers.uninstall()
    (span,) = ai_spans(captured)
    assert (span.attributes["gen_ai.usage.input_tokens"], span.attributes["langchain_stream.usage_source"]) == told


def _by_hand() -> list[Any]:
    return [pytest.importorskip("sentry_sdk.integrations.openai").OpenAIIntegration()]


ACTIVE: dict[str, Callable[[], dict[str, Any]]] = {
    "defaults": dict,
    "langchain integration": lambda: {"integrations": [LangchainIntegration()]},
    "openai integration": lambda: {"integrations": _by_hand()},
    "openai integration alone": lambda: {
        "integrations": _by_hand(),
        "disabled_integrations": [LangchainIntegration],
    },
    "our integration": lambda: {"integrations": [SentryStreamIntegration(redact=_redact)]},
}


def _redact(text: str) -> str:
    return text.replace(SECRET, "[gone]")


@pytest.mark.parametrize("active", ACTIVE)
@pytest.mark.parametrize("way", CALLS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_whoever_is_active_there_is_one_span_and_nothing_passes_redact(
    server: tuple[str, list[str]], shape: str, way: Way, active: str
) -> None:
    """Sentry's own integrations are silent in a call that we record: one span, the tokens once, redacted texts."""
    options = {**WIRE_SHAPES[shape], **content_allowed(True), **ACTIVE[active]()}
    config = {} if active == "our integration" else {"callbacks": [SentryStreamHandler(redact=_redact)]}
    with capture_spans(**options) as captured:
        await way.run(retrieving(openai(server[0])), f"Where is {SECRET}?", config)
    (span,) = ai_spans(captured)
    assert span.attributes["gen_ai.usage.input_tokens"] == PER_REQUEST
    assert span.attributes["gen_ai.embeddings.input"] == '["Where is [gone]?"]'
    assert SECRET not in b"".join(captured.envelopes).decode()


@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("active", ["our integration", "ours and langchain's"])
async def test_with_our_integration_a_lone_call_is_one_span(
    server: tuple[str, list[str]], active: str, asynchronous: bool
) -> None:
    """Outside of every run our integration's handler records the call, and Sentry's are silent."""
    more = [LangchainIntegration()] if active != "our integration" else []
    model = openai(server[0])
    with capture_spans(integrations=[SentryStreamIntegration(), *more]) as captured, active_span("transaction"):
        if asynchronous:
            await model.aembed_query("Hi")
        else:
            model.embed_query("Hi")
    (span,) = ai_spans(captured)
    assert span.attributes["langchain_stream.usage_source"] == "provider"


@pytest.mark.skipif(
    not hasattr(langchain, "_patch_embeddings_provider"), reason="LangchainIntegration has no embeddings"
)
@pytest.mark.parametrize("asynchronous", [True, False], ids=["async", "sync"])
async def test_with_a_handler_alone_a_lone_call_is_sentrys(server: tuple[str, list[str]], asynchronous: bool) -> None:
    """Outside of every run a handler changes nothing: LangchainIntegration makes its spans as without us."""
    SentryStreamHandler()
    model = openai(server[0])
    options = {**WIRE_SHAPES[DEFAULT_SHAPE], "integrations": [LangchainIntegration()]}
    with capture_spans(**options) as captured, active_span("transaction"):
        if asynchronous:
            await model.aembed_query("Hi")
        else:
            model.embed_query("Hi")
    assert {span.attributes["sentry.origin"] for span in ai_spans(captured)} == {"auto.ai.langchain"}


def test_a_raw_call_is_not_ours(server: tuple[str, list[str]]) -> None:
    """The client library's methods, which we read, do nothing more outside of an embedding model's call."""
    url = f"{server[0]}/v1"
    client = pytest.importorskip("openai").OpenAI(base_url=url, api_key="none", max_retries=0)
    with capture_spans() as captured:
        chain: Any = RunnableLambda(lambda text: len(client.embeddings.create(model="embed-1", input=text).data))
        chain.invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert [span for span in ai_spans(captured) if span.attributes["sentry.origin"] == "auto.ai.langchain_stream"] == []


def test_the_source_of_a_tracked_stream_may_embed(server: tuple[str, list[str]]) -> None:
    """Embeddings that a raw client is asked for inside the source have the span of Sentry's integration, once."""
    library = pytest.importorskip("openai")
    integration = pytest.importorskip("sentry_sdk.integrations.openai").OpenAIIntegration
    client = library.OpenAI(api_key="x", base_url=f"{server[0]}/v1")

    @track_stream(model="m")
    def answer() -> Iterator[str]:
        client.embeddings.create(model="text-embedding-3-small", input="Hi", encoding_format="float")
        yield "one"

    with capture_spans(integrations=[integration()], disabled_integrations=[LangchainIntegration]) as captured:
        assert list(answer()) == ["one"]
    (span,) = captured.find_all(op="gen_ai.embeddings")
    assert span.parent_id == captured.find(op="gen_ai.chat").span_id
