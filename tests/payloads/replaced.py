"""The models of packages whose clients cannot be pointed to a local server: the lowest part that can be is replaced."""

from __future__ import annotations

from typing import Any

from tests.payloads.serving import Serving


def huggingface(chat: Any, told: dict[str, Any], server: Serving) -> Any:
    """`ChatHuggingFace` around an endpoint with the server's address: nothing is replaced."""
    from langchain_huggingface import HuggingFaceEndpoint  # type: ignore[import-not-found, unused-ignore]

    stream_usage = told.pop("stream_usage")
    return chat(llm=HuggingFaceEndpoint(**told), model_id="meta-llama/Llama-3.3-70B-Instruct", stream_usage=stream_usage)
