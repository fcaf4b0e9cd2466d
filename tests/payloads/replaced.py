"""The models whose class takes no address: their clients are made here.

They are the real ones, but for IBM's: that one looks an account up before it asks anything.
"""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from tests.payloads.serving import Serving


def huggingface(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatHuggingFace` around an endpoint with the server's address: nothing is replaced."""
    endpoint: Any = import_module("langchain_huggingface").HuggingFaceEndpoint
    stream_usage = told.pop("stream_usage")
    return chat(
        llm=endpoint(**told), model_id="meta-llama/Llama-3.3-70B-Instruct", stream_usage=stream_usage
    )


def perplexity(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatPerplexity` with the clients that it would make, but for their address."""
    clients: Any = import_module("perplexity")
    address = {"base_url": told.pop("base_url"), "api_key": told["pplx_api_key"], "max_retries": 0}
    return chat(client=clients.Perplexity(**address), async_client=clients.AsyncPerplexity(**address), **told)


def vertexai(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatVertexAI` without an account."""
    nobody: Any = import_module("google.auth.credentials").AnonymousCredentials
    return chat(credentials=nobody(), **told)


def ibm(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatWatsonx` with a `ModelInference` that returns what IBM's SDK makes of an answer: its JSON, or its events."""
    inference: Any = import_module("ibm_watsonx_ai.foundation_models").ModelInference

    class Inference(inference):  # type: ignore[misc]
        def __init__(self) -> None:
            self.model_id, self.params = told["model_id"], None
            self._client = SimpleNamespace(default_project_id="none", default_space_id=None)

        def chat(self, **options: Any) -> Any:
            return server.sent

        def chat_stream(self, **options: Any) -> Any:
            yield from server.sent

        async def achat(self, **options: Any) -> Any:
            return server.sent

        async def achat_stream(self, **options: Any) -> Any:
            async def events() -> Any:
                for event in server.sent:
                    yield event

            return events()

    return chat(watsonx_model=Inference())
