"""The ways in which streams and calls end: what their consumer, their task and their model do.

What a consumer does is a function of its stream. `LEAVES` and `SYNC_LEAVES` are the ways to leave one early, and
`ENDINGS` is the table of all ways with what the model's span has to record.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._runs.kinds import Outcome
from tests.kit.helpers import collect
from tests.kit.subjects import Subject
from tests.kit.wire import ScriptedModel

Enough = Callable[[], bool]


class ConsumerError(Exception):
    """What a consumer fails with."""


def at_once() -> bool:
    """Leave at the first chunk."""
    return True


# -- async consumers -------------------------------------------------------------------------------------------


async def read(stream: AsyncIterator[Any]) -> None:
    """Read a stream to its end."""
    async for _ in stream:
        pass


async def break_off(stream: AsyncIterator[Any], enough: Enough = at_once) -> None:
    """Leave the loop over a stream, at the first chunk with which there is enough."""
    async for _ in stream:
        if enough():
            break


async def close(stream: Any, enough: Enough = at_once) -> None:
    """Leave a stream and close it."""
    await break_off(stream, enough)
    await stream.aclose()


async def fail(stream: AsyncIterator[Any], enough: Enough = at_once) -> None:
    """Fail in the loop over a stream."""
    with contextlib.suppress(ConsumerError):
        async for _ in stream:
            if enough():
                raise ConsumerError("the consumer's own")


async def cancel(stream: AsyncIterator[Any], enough: Enough = at_once) -> None:
    """Cancel the task that reads a stream."""
    arrived = asyncio.Event()

    async def consume() -> None:
        try:
            async for _ in stream:
                if enough():
                    arrived.set()
        finally:
            arrived.set()

    await cancel_when(consume(), arrived.wait())


async def cancel_when(work: Awaitable[Any], ready: Awaitable[Any]) -> None:
    """Start a task, and cancel it as soon as something else is ready."""
    task = asyncio.ensure_future(work)
    await ready
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def turns(count: int) -> None:
    """Let the event loop turn so often."""
    for _ in range(count):
        await asyncio.sleep(0)


# -- sync consumers --------------------------------------------------------------------------------------------


def read_sync(stream: Iterator[Any]) -> None:
    """Read a stream to its end."""
    for _ in stream:
        pass


def break_off_sync(stream: Iterator[Any], enough: Enough = at_once) -> None:
    """Leave the loop over a stream, at the first chunk with which there is enough."""
    for _ in stream:
        if enough():
            break


def close_sync(stream: Any, enough: Enough = at_once) -> None:
    """Leave a stream and close it."""
    break_off_sync(stream, enough)
    stream.close()


def fail_sync(stream: Iterator[Any], enough: Enough = at_once) -> None:
    """Fail in the loop over a stream."""
    with contextlib.suppress(ConsumerError):
        for _ in stream:
            if enough():
                raise ConsumerError("the consumer's own")


Leave = Callable[..., Awaitable[None]]
LEAVES: dict[str, tuple[Leave, Outcome]] = {
    "break": (break_off, "abandoned"),
    "aclose": (close, "abandoned"),
    "raise": (fail, "abandoned"),
    "cancel": (cancel, "cancelled"),
}
"""The ways to leave an async stream early, and the outcome of the model's run."""

SYNC_LEAVES: dict[str, tuple[Callable[..., None], Outcome]] = {
    "break": (break_off_sync, "abandoned"),
    "close": (close_sync, "abandoned"),
    "raise": (fail_sync, "abandoned"),
}
"""The ways to leave a sync stream early, and the outcome of the model's run."""


# -- whole endings ---------------------------------------------------------------------------------------------


class Stage:
    """Where one ending is played: the model that is held or fails, and the handler that watches."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.handler = SentryStreamHandler()
        self.config: Any = {"callbacks": [self.handler]}
        self.reached: list[asyncio.Event] = []
        self.app()  # fails at once if what it is made of is absent, and not in a task that others wait for

    def app(self, **model: Any) -> Runnable[Any, Any]:
        """The application, around a model like this."""
        return self.subject.make(ScriptedModel(**model))

    def astream(self, **model: Any) -> Any:
        """A stream of the application."""
        return self.app(**model).astream(self.subject.question, self.config)

    def stream(self, **model: Any) -> Any:
        """A sync stream of the application."""
        return self.app(**model).stream(self.subject.question, self.config)

    async def ainvoke(self, **model: Any) -> None:
        """An async call of the application."""
        await self.app(**model).ainvoke(self.subject.question, self.config)

    def invoke(self, **model: Any) -> None:
        """A call of the application."""
        self.app(**model).invoke(self.subject.question, self.config)

    def hold(self, at: int) -> dict[str, Any]:
        """Hold the model before a piece, for ever."""

        async def forever() -> None:
            self.reached.append(asyncio.Event())
            await asyncio.Event().wait()

        return {"before": lambda number: forever() if number == at else None}

    async def held(self) -> None:
        """Until every model call of the application is held."""
        while len(self.reached) < self.subject.calls:
            await asyncio.sleep(0)

    async def ended(self) -> None:
        """Until no run is live; LangChain's generators learn on later loop turns that their consumer left."""
        for turn in range(60):
            if self.handler.live_runs == 0:
                return
            if turn == 30:
                collect()
            await asyncio.sleep(0)


class ModelError(Exception):
    """What a model fails with."""


def failing(at: int) -> dict[str, Any]:
    """Let the model fail before a piece."""

    def before(number: int) -> None:
        if number == at:
            raise ModelError("the model failed")

    return {"before": before}


async def complete(stage: Stage) -> None:
    await read(stage.astream())


async def complete_invoke(stage: Stage) -> None:
    await stage.ainvoke()


async def cancel_streaming(stage: Stage) -> None:
    await cancel_when(read(stage.astream(**stage.hold(2))), stage.held())


async def cancel_before_the_first_chunk(stage: Stage) -> None:
    await cancel_when(read(stage.astream(**stage.hold(0))), stage.held())


async def cancel_invoke(stage: Stage) -> None:
    await cancel_when(stage.ainvoke(**stage.hold(0)), stage.held())


async def cancel_batch(stage: Stage) -> None:
    await cancel_when(stage.app(**stage.hold(0)).abatch([stage.subject.question], stage.config), stage.held())


async def time_out(stage: Stage) -> None:
    timeout: Any = getattr(asyncio, "timeout")(None)  # noqa: B009 - not in Python 3.10

    async def expire() -> None:
        await stage.held()
        timeout.reschedule(asyncio.get_running_loop().time())

    with contextlib.suppress(asyncio.TimeoutError):
        async with timeout:
            expiry = asyncio.create_task(expire())
            await read(stage.astream(**stage.hold(2)))
    await expiry


async def wait_for_invoke(stage: Stage) -> None:
    """`asyncio.wait_for` gives up on a call that runs as a task of its own."""
    task = asyncio.ensure_future(stage.ainvoke(**stage.hold(0)))
    await stage.held()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(task, timeout=0)


async def break_loop(stage: Stage) -> None:
    await break_off(stage.astream())


async def close_early(stage: Stage) -> None:
    await close(stage.astream())


async def consumer_raises(stage: Stage) -> None:
    await fail(stage.astream())


async def fail_streaming(stage: Stage) -> None:
    with contextlib.suppress(ModelError):
        await read(stage.astream(**failing(2)))


async def fail_before_the_first_chunk(stage: Stage) -> None:
    with contextlib.suppress(ModelError):
        await read(stage.astream(**failing(0)))


async def fail_invoke(stage: Stage) -> None:
    with contextlib.suppress(ModelError):
        await stage.ainvoke(**failing(0))


async def sync_complete(stage: Stage) -> None:
    read_sync(stage.stream())


async def sync_break(stage: Stage) -> None:
    break_off_sync(stage.stream())


async def sync_fail_streaming(stage: Stage) -> None:
    with contextlib.suppress(ModelError):
        read_sync(stage.stream(**failing(2)))


async def sync_fail_invoke(stage: Stage) -> None:
    with contextlib.suppress(ModelError):
        stage.invoke(**failing(0))


async def sync_interrupt(stage: Stage) -> None:
    def interrupt(number: int) -> None:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        stage.invoke(before=interrupt)


@dataclass(frozen=True)
class Ending:
    """A way of ending, and what must be recorded of it.

    Args:
        play: Plays it.
        outcome: The outcome on the model's span.
        chunks: The content chunks on it; `None` where the model is not streamed.
        streams: Whether it needs an application that hands the model's chunks on.
        newest: Whether it needs a Python newer than 3.10.
    """

    play: Callable[[Stage], Awaitable[None]]
    outcome: Outcome
    chunks: int | None = None
    streams: bool = True
    newest: bool = False

    def __str__(self) -> str:
        return self.play.__name__


ENDINGS = (
    Ending(complete, "completed", 3),
    Ending(complete_invoke, "completed", streams=False),
    Ending(cancel_streaming, "cancelled", 2),
    Ending(cancel_before_the_first_chunk, "cancelled"),
    Ending(cancel_invoke, "cancelled", streams=False),
    Ending(cancel_batch, "cancelled", streams=False),
    Ending(time_out, "cancelled", 2, newest=True),
    Ending(wait_for_invoke, "cancelled", streams=False),
    Ending(break_loop, "abandoned", 1),
    Ending(close_early, "abandoned", 1),
    Ending(consumer_raises, "abandoned", 1),
    Ending(fail_streaming, "failed", 2),
    Ending(fail_before_the_first_chunk, "failed"),
    Ending(fail_invoke, "failed", streams=False),
    Ending(sync_complete, "completed", 3),
    Ending(sync_break, "abandoned", 1),
    Ending(sync_fail_streaming, "failed", 2),
    Ending(sync_fail_invoke, "failed", streams=False),
    Ending(sync_interrupt, "cancelled", streams=False),
)
