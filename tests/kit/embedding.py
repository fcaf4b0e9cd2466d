"""Embedding models as users write and use them, and a server that speaks the providers' protocols for embeddings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable
from langchain_core.vectorstores import InMemoryVectorStore

from tests.kit.loopback import Body, answering, json_body

PER_REQUEST = 7
"""The input tokens that the server reports for each text."""

SECRET = "canary-9f2"


class Letters(Embeddings):
    """A model of the user's own: its query method calls the other one, and its async methods are LangChain's."""

    def __init__(self, model: str = "letters-1") -> None:
        self.model = model
        self.fails: BaseException | None = None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed the texts."""
        if self.fails is not None:
            raise self.fails
        return [[float(len(text)), 1.0, 0.5] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Embed the text."""
        return self.embed_documents([text])[0]


def retrieving(model: Embeddings) -> Runnable[Any, Any]:
    """A chain with a retriever over a vector store that has no documents yet."""
    return InMemoryVectorStore(model).as_retriever() | str


UNTOLD = "not counted"
"""A text for which the server reports no tokens."""

BROKEN = "not answered"
"""A text at which the server fails."""


def _openai(asked: Any) -> dict[str, Any]:
    number = len(asked["input"]) if isinstance(asked["input"], list) else 1
    used = 0 if UNTOLD in asked["input"] else PER_REQUEST * number
    return {
        "object": "list",
        "model": "embed-that-answered",
        "data": [{"object": "embedding", "index": each, "embedding": [0.1, 0.2, 0.3]} for each in range(number)],
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _ollama(asked: Any) -> dict[str, Any]:
    number = len(asked["input"]) if isinstance(asked["input"], list) else 1
    return {
        "model": "embed-that-answered",
        "embeddings": [[0.1, 0.2, 0.3]] * number,
        "prompt_eval_count": PER_REQUEST * number,
    }


def _google(asked: Any) -> dict[str, Any]:
    number = len(asked["requests"])
    return {
        "embeddings": [{"values": [0.1, 0.2, 0.3]}] * number,
        "usageMetadata": {"promptTokenCount": PER_REQUEST * number},
    }


def _titan(asked: Any) -> dict[str, Any]:
    return {"embedding": [0.1, 0.2, 0.3], "inputTextTokenCount": PER_REQUEST}


_ROUTES = (("/embeddings$", _openai), ("/api/embed$", _ollama), (":batchEmbedContents", _google), ("/invoke$", _titan))


@contextmanager
def embedding_server() -> Iterator[tuple[str, list[str]]]:
    """A server on the loopback: its URL, and the paths that it was asked for."""
    paths: list[str] = []

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> Body:
        asked, path = json.loads(body), request.path.partition("?")[0]
        paths.append(path)
        answered = next(made for route, made in _ROUTES if re.search(route, path))(asked)
        return json_body(answered, 500 if BROKEN in asked.get("input", ()) else 200)

    with answering(answer) as url:
        yield url, paths
