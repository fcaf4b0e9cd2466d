"""A service whose streams are open when it is told to stop, with the shutdown of docs/recipes.md, or without."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import sentry_sdk

DSN, FLUSHES, SHAPE = "STOPPING_DSN", "STOPPING_FLUSHES", "STOPPING_SHAPE"

if DSN in os.environ:  # in a server's process, not in that of the tests
    import asyncio

    from fastapi import FastAPI
    from fastapi.responses import StreamingResponse
    from sentry_sdk.integrations.fastapi import FastApiIntegration
    from sentry_sdk.integrations.starlette import StarletteIntegration

    import tests.kit.lean  # noqa: F401 -- before `sentry_sdk.init`
    from sentry_langchain_stream import SentryStreamHandler
    from tests.kit.wire import WIRE_SHAPES, ScriptedModel

    sentry_sdk.init(
        dsn=os.environ[DSN],
        traces_sample_rate=1.0,
        auto_enabling_integrations=False,
        integrations=[StarletteIntegration(), FastApiIntegration()],
        shutdown_timeout=20,  # a busy machine needs more than two seconds
        **WIRE_SHAPES[os.environ[SHAPE]],
    )
    handler = SentryStreamHandler("service")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if os.environ[FLUSHES] == "True":
            await asyncio.sleep(1)
            await asyncio.to_thread(sentry_sdk.flush)

    app = FastAPI(lifespan=lifespan)

    @app.get("/answer")
    async def answer() -> StreamingResponse:
        async def tokens() -> AsyncIterator[str]:
            pieces: Any = ScriptedModel(pieces=("word ",) * 3).astream("Hi", {"callbacks": [handler]})
            async for chunk in pieces:
                yield str(chunk.content)
                if handler.live_runs:
                    await asyncio.Event().wait()  # the rest does not come

        return StreamingResponse(tokens(), media_type="text/plain")
