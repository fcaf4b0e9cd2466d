"""The models whose class takes no address: their clients are made here, and are the real ones."""

from __future__ import annotations

from typing import Any

from tests.payloads.serving import Serving


def huggingface(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatHuggingFace` around an endpoint with the server's address: nothing is replaced."""
    from langchain_huggingface import HuggingFaceEndpoint  # type: ignore[import-not-found, unused-ignore]

    stream_usage = told.pop("stream_usage")
    return chat(llm=HuggingFaceEndpoint(**told), model_id="meta-llama/Llama-3.3-70B-Instruct", stream_usage=stream_usage)


def perplexity(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatPerplexity` with the clients that it would make, but for their address."""
    from perplexity import AsyncPerplexity, Perplexity  # type: ignore[import-not-found, unused-ignore]

    address = {"base_url": told.pop("base_url"), "api_key": told["pplx_api_key"], "max_retries": 0}
    return chat(client=Perplexity(**address), async_client=AsyncPerplexity(**address), **told)


def vertexai(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatVertexAI` without an account."""
    from google.auth.credentials import AnonymousCredentials  # type: ignore[import-not-found, unused-ignore]

    return chat(credentials=AnonymousCredentials(), **told)
