"""The models whose class takes no address: their clients are made here.

They are the real ones, but for IBM's: that one looks an account up before it asks anything.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tests.payloads.serving import Serving


def huggingface(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatHuggingFace` around an endpoint with the server's address: nothing is replaced."""
    endpoint: Any = import_module("langchain_huggingface").HuggingFaceEndpoint
    stream_usage = told.pop("stream_usage")
    return chat(llm=endpoint(**told), model_id="meta-llama/Llama-3.3-70B-Instruct", stream_usage=stream_usage)


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

    client: Any = import_module("ibm_watsonx_ai").APIClient

    class Inference(inference):  # type: ignore[misc]
        model_id, deployment_id, params = told["model_id"], None, None

        def __init__(self) -> None:
            # An `APIClient` by its type, which pydantic asks for, that has never looked an account up.
            self._client = client.__new__(client)
            self._client.default_project_id, self._client.default_space_id = "none", None

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
