"""The service: an SSE route that relays a model's stream chunk by chunk."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI
from langchain_core.language_models import BaseChatModel
from sse_starlette import EventSourceResponse, ServerSentEvent

from .. import SentryStreamHandler


def create_app(model: BaseChatModel, handler: SentryStreamHandler) -> FastAPI:
    """Make the service for a model.

    Call this after `sentry_sdk.init`, which patches FastAPI to open a transaction for each request.

    Args:
        model: The model that answers.
        handler: The handler for all requests, including concurrent ones.
    """
    app = FastAPI(title="Answers, streamed")

    async def relay(question: str) -> AsyncIterator[ServerSentEvent]:
        async for chunk in model.astream(question, config={"callbacks": [handler]}):
            if chunk.text:
                yield ServerSentEvent(chunk.text)

    @app.get("/answer")
    async def answer(question: str) -> EventSourceResponse:
        return EventSourceResponse(relay(question))

    return app
