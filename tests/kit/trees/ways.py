"""The ways to run a runnable to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sentry_langchain_stream import SentryStreamHandler
from tests.kit.wire import HAS_V3

Run = Callable[[Any, Any, Any], Awaitable[None]]


async def invoke(runnable: Any, question: Any, config: Any) -> None:
    runnable.invoke(question, config)


async def ainvoke(runnable: Any, question: Any, config: Any) -> None:
    await runnable.ainvoke(question, config)


async def stream(runnable: Any, question: Any, config: Any) -> None:
    for _ in runnable.stream(question, config):
        pass


async def astream(runnable: Any, question: Any, config: Any) -> None:
    async for _ in runnable.astream(question, config):
        pass


async def astream_events_v2(runnable: Any, question: Any, config: Any) -> None:
    async for _ in runnable.astream_events(question, config, version="v2"):
        pass


async def astream_events_v3(runnable: Any, question: Any, config: Any) -> None:
    async for _ in await runnable.astream_events(question, config, version="v3"):
        pass


async def stream_events_v3(runnable: Any, question: Any, config: Any) -> None:
    for _ in runnable.stream_events(question, config, version="v3"):
        pass


async def batch(runnable: Any, questions: Any, config: Any) -> None:
    runnable.batch(questions, config)


async def abatch(runnable: Any, questions: Any, config: Any) -> None:
    await runnable.abatch(questions, config)


WHOLE = (invoke, ainvoke)
"""The ways that hand over the answer as a whole."""

ANY: tuple[Run, ...] = (*WHOLE, stream, astream, astream_events_v2)
"""The ways that every runnable supports."""

V3: tuple[Run, ...] = (*ANY, astream_events_v3, stream_events_v3) if HAS_V3 else ANY
"""The ways that models and graphs support."""

BATCH: tuple[Run, ...] = (batch, abatch)
"""The ways that take several questions."""


async def settled(handler: SentryStreamHandler) -> None:
    """Until no run is live: an async v3 run ends some loop turns after its stream."""
    for _ in range(60):
        if handler.live_runs == 0:
            return
        await asyncio.sleep(0)
