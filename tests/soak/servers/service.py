"""The HTTP service of the soak: `/{side}/{kind}` streams an answer, `/{side}/invoke` sends it at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sentry_sdk

from . import books

if books.BOOK in os.environ:  # in a server's process
    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from sentry_sdk.integrations.fastapi import FastApiIntegration
    from sentry_sdk.integrations.starlette import StarletteIntegration

    from .calls import CONFIGS, chain

    books.init(StarletteIntegration(middleware_spans=False), FastApiIntegration(middleware_spans=False))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """The shutdown of docs/recipes.md."""
        yield
        await asyncio.to_thread(sentry_sdk.flush)

    app = FastAPI(lifespan=lifespan)

    @app.get("/{side}/invoke")
    async def invoke(side: str) -> str:
        answer = await chain("quick").ainvoke("Hi", CONFIGS[side])
        return str(answer.content)

    @app.get("/{side}/{kind}")
    async def answer(side: str, kind: str) -> StreamingResponse:
        async def tokens() -> AsyncIterator[str]:
            chunks: Any = chain(kind).astream("Hi", CONFIGS[side])
            async for chunk in chunks:
                if chunk.content:
                    yield str(chunk.content)

        return StreamingResponse(tokens(), media_type="text/plain")
