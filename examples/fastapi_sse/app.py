"""A service that streams answers as server-sent events, once with LangChain and once without.

`uvicorn --factory examples.fastapi_sse.app:service` serves it; it reads OPENAI_API_KEY and SENTRY_DSN.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import sentry_sdk
from fastapi import FastAPI
from fastapi.responses import FileResponse
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from sse_starlette import EventSourceResponse, ServerSentEvent

from sentry_langchain_stream import SentryStreamHandler, track_stream

MODEL = "gpt-4o-mini"
PAGE = Path(__file__).with_name("page.html")


def service() -> FastAPI:
    """Set up Sentry, then the service."""
    sentry_sdk.init(traces_sample_rate=1.0)
    return create_app()


def create_app() -> FastAPI:
    """The service. Sentry is to be set up before: it prepares FastAPI to open a transaction for each request."""
    app = FastAPI(title="Answers, streamed")
    handler = SentryStreamHandler(pipeline_name="support-bot")  # one for all requests
    prompt = ChatPromptTemplate.from_messages([("system", "Answer in a few sentences."), ("user", "{question}")])
    # Asking for the usage makes the token counts the provider's own; without it they are estimates.
    chain = prompt | ChatOpenAI(model=MODEL, stream_usage=True) | StrOutputParser()
    client = AsyncOpenAI()

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(PAGE)

    @app.get("/chain")
    async def from_chain(question: str) -> EventSourceResponse:
        async def texts() -> AsyncIterator[str]:
            async for text in chain.astream({"question": question}, config={"callbacks": [handler]}):
                yield text

        return as_events(texts())

    @app.get("/plain")
    async def from_plain_generator(question: str) -> EventSourceResponse:
        async def texts() -> AsyncIterator[str]:
            tracked = track_stream(
                ask(client, question),
                model=MODEL,
                provider="openai",
                pipeline_name="support-bot",
                prompt=question,
                text=text_of,
            )
            # Whoever stops reading also stops the model: closing the stream hangs up on the provider.
            async with aclosing(tracked):
                async for chunk in tracked:
                    if chunk.usage is not None:
                        usage = chunk.usage
                        tracked.set_usage(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)
                    yield text_of(chunk)

        return as_events(texts())

    return app


async def ask(client: AsyncOpenAI, question: str) -> AsyncIterator[ChatCompletionChunk]:
    """OpenAI's chunks that have text in them, and the last one, which has the usage."""
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        stream=True,
        stream_options={"include_usage": True},
    )
    async with stream:
        async for chunk in stream:
            if text_of(chunk) or chunk.usage is not None:
                yield chunk


def text_of(chunk: ChatCompletionChunk) -> str:
    """What a chunk adds to the answer."""
    return chunk.choices[0].delta.content or "" if chunk.choices else ""


def as_events(texts: AsyncIterator[str]) -> EventSourceResponse:
    """An answer as events: the trace it belongs to, its pieces, and an end, without which a browser would ask again.

    When the reader leaves, the response cancels what it waits for, or closes the generator where it stands. There is
    nothing to do for the span: it says `cancelled` or `abandoned`, with what had arrived, and there is no issue.
    """

    async def events() -> AsyncIterator[ServerSentEvent]:
        trace_id, _, _ = (sentry_sdk.get_traceparent() or "").partition("-")
        yield ServerSentEvent(trace_id, event="trace")
        async for text in texts:
            if text:
                yield ServerSentEvent(text)
        yield ServerSentEvent("done", event="end")

    return EventSourceResponse(events())
