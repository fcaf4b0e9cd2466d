"""How streams end: (application) x (way of ending), sync and async, and what must be told of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import HumanMessage

from sentry_langchain_stream import track_stream
from tests.kit import endings

from . import streams
from .streams import SoakError, application, given


@dataclass(slots=True)
class Play:
    """One stream that is played.

    Args:
        app: Name of the application.
        config: LangChain's config, with the stream's own pipeline name.
        name: That name.
        tracked: Called when a stream of `track_stream` begins; `None` where ours is left out.
        turn: A number from 0 to 11: after how many turns of the loop a task is cancelled.
        kept: Streams that are left open until the event loop, or the worker, is done.
    """

    app: str
    config: Any
    name: str
    tracked: Callable[[], None] | None
    turn: int
    kept: list[Any] = field(default_factory=list)

    def stream(self, question: str) -> Iterator[Any]:
        """Open a sync stream."""
        if self.app == "track_stream":
            if self.tracked is None:
                return streams.pieces(question, lambda: None)
            return track_stream(streams.pieces(question, self.tracked), model="soak", pipeline_name=self.name)
        return application(self.app).stream(given(self.app, question), self.config)

    def astream(self, question: str) -> AsyncIterator[Any]:
        """Open an async stream."""
        if self.app == "track_stream":
            if self.tracked is None:
                return streams.apieces(question, lambda: None)
            return track_stream(streams.apieces(question, self.tracked), model="soak", pipeline_name=self.name)
        app: Any = application(self.app)
        if self.app == "agent":
            return app.astream(given(self.app, question), self.config, stream_mode="messages")  # type: ignore[no-any-return]
        if self.app == "events":
            return application("chain").astream_events(given("chain", question), self.config, version="v2")
        return app.astream(given(self.app, question), self.config)  # type: ignore[no-any-return]


def drop(stream: Any) -> None:
    """Lose the last reference to a stream, in a cycle, so that only garbage collection finds it."""
    cycle: list[Any] = [stream]
    cycle.append(cycle)


# -- async ------------------------------------------------------------------------------------------------------


async def _exhausted(play: Play) -> None:
    await endings.read(play.astream("go"))


async def _left(play: Play) -> None:
    await endings.break_off(play.astream("go"))


async def _closed(play: Play) -> None:
    await endings.close(play.astream("go"))


async def _waiting(play: Play) -> None:
    await endings.read(play.astream("wait"))


async def _cancel(play: Play, work: Coroutine[Any, Any, Any]) -> None:
    """Begin it, and cancel it after some turns of the loop."""
    await endings.cancel_when(work, endings.turns(play.turn * 5))


async def _cancelled(play: Play) -> None:
    await _cancel(play, _waiting(play))


async def _timed_out(play: Play) -> None:
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_waiting(play), 0.001 * play.turn)


async def _source_raises(play: Play) -> None:
    with contextlib.suppress(SoakError):
        await endings.read(play.astream("raise"))


async def _one_branch_raises(play: Play) -> None:
    with contextlib.suppress(SoakError):
        await endings.read(play.astream("raise left"))


async def _consumer_raises(play: Play) -> None:
    await endings.fail(play.astream("go"))


async def _dropped(play: Play) -> None:
    stream = play.astream("go")
    await anext(stream)
    drop(stream)


async def _kept(play: Play) -> None:
    stream = play.astream("go")
    await anext(stream)
    play.kept.append(stream)


async def _invoked(play: Play) -> None:
    await application(play.app).ainvoke(given(play.app, "go"), play.config)


async def _invoked_raises(play: Play) -> None:
    with contextlib.suppress(SoakError):
        await application(play.app).ainvoke(given(play.app, "raise"), play.config)


async def _invoked_cancelled(play: Play) -> None:
    await _cancel(play, application(play.app).ainvoke(given(play.app, "wait"), play.config))


async def _batched(play: Play) -> None:
    await application(play.app).abatch([given(play.app, "go")] * 3, play.config)


async def _prompts(play: Play) -> None:
    model: Any = application("model")
    with contextlib.suppress(SoakError):
        prompts = [[HumanMessage(text)] for text in ("go", "raise" if play.turn % 2 else "go", "go")]
        await model.agenerate(prompts, **play.config)


# -- sync -------------------------------------------------------------------------------------------------------


def _sync_exhausted(play: Play) -> None:
    endings.read_sync(play.stream("go"))


def _sync_left(play: Play) -> None:
    endings.break_off_sync(play.stream("go"))


def _sync_closed(play: Play) -> None:
    endings.close_sync(play.stream("go"))


def _sync_source_raises(play: Play) -> None:
    with contextlib.suppress(SoakError):
        endings.read_sync(play.stream("raise"))


def _sync_one_branch_raises(play: Play) -> None:
    with contextlib.suppress(SoakError):
        endings.read_sync(play.stream("raise left"))


def _sync_consumer_raises(play: Play) -> None:
    endings.fail_sync(play.stream("go"))


def _sync_dropped(play: Play) -> None:
    stream = play.stream("go")
    next(stream)
    drop(stream)


def _sync_kept(play: Play) -> None:
    stream = play.stream("go")
    next(stream)
    play.kept.append(stream)


def _sync_invoked(play: Play) -> None:
    application(play.app).invoke(given(play.app, "go"), play.config)


def _sync_invoked_raises(play: Play) -> None:
    with contextlib.suppress(SoakError):
        application(play.app).invoke(given(play.app, "raise"), play.config)


def _sync_batched(play: Play) -> None:
    application(play.app).batch([given(play.app, "go")] * 3, play.config)


def _sync_prompts(play: Play) -> None:
    model: Any = application("model")
    with contextlib.suppress(SoakError):
        prompts = [[HumanMessage(text)] for text in ("go", "raise" if play.turn % 2 else "go", "go")]
        model.generate(prompts, **play.config)


# -- what is played ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """An application that ends in one way.

    Args:
        app: Name of the application.
        ending: Name of the way.
        play: Does it.
        allowed: The outcomes that its models may have.
        pipelines: How many pipelines it makes without an active span; `None` if threads decide that.
        weight: How often it is played, beside others.
    """

    app: str
    ending: str
    play: Callable[[Play], Awaitable[None] | None]
    allowed: frozenset[str]
    pipelines: int | None = 1
    weight: float = 1.0

    @property
    def pipelines_inside(self) -> int | None:
        """How many it makes below an active span: bare models, tools and retrievers need none there."""
        bare = self.app in ("model", "tool", "retriever", "track_stream")
        return 0 if bare and self.pipelines is not None else self.pipelines


_ABANDONED = "abandoned cancelled"
"""Async generators that are left, the inner ones of a chain too, are closed in tasks of the loop. If it comes to its
end meanwhile, `asyncio.run` cancels those."""

ASYNC: dict[str, tuple[Any, str]] = {
    "exhausted": (_exhausted, "completed"),
    "break": (_left, _ABANDONED),
    "aclose": (_closed, _ABANDONED),
    "cancelled": (_cancelled, "cancelled"),
    "timeout": (_timed_out, "cancelled"),
    "source raises": (_source_raises, "failed"),
    "consumer raises": (_consumer_raises, _ABANDONED),
    "dropped": (_dropped, _ABANDONED),
    "kept": (_kept, "abandoned"),
    "one branch raises": (_one_branch_raises, "failed cancelled"),
    "ainvoke": (_invoked, "completed"),
    "ainvoke raises": (_invoked_raises, "failed"),
    "ainvoke cancelled": (_invoked_cancelled, "cancelled"),
    "abatch": (_batched, "completed"),
    "agenerate": (_prompts, "completed failed"),
}

SYNC: dict[str, tuple[Any, str]] = {
    "exhausted": (_sync_exhausted, "completed"),
    "break": (_sync_left, "abandoned"),
    "close": (_sync_closed, "abandoned"),
    "source raises": (_sync_source_raises, "failed"),
    "consumer raises": (_sync_consumer_raises, "abandoned"),
    "dropped": (_sync_dropped, "abandoned"),
    "kept": (_sync_kept, "abandoned"),
    "one branch raises": (_sync_one_branch_raises, "failed cancelled"),
    "invoke": (_sync_invoked, "completed"),
    "invoke raises": (_sync_invoked_raises, "failed"),
    "batch": (_sync_batched, "completed"),
    "generate": (_sync_prompts, "completed failed cancelled"),
}

_STREAMED = ("exhausted", "break", "aclose", "close", "cancelled", "timeout", "source raises", "consumer raises")
_LEFT_OPEN = ("dropped", "kept")
_CALLED = ("ainvoke", "ainvoke raises", "ainvoke cancelled", "invoke", "invoke raises")
_ENDINGS: dict[str, tuple[float, tuple[str, ...]]] = {
    "model": (4, (*_STREAMED, *_LEFT_OPEN, *_CALLED, "abatch", "agenerate", "batch", "generate")),
    "track_stream": (4, (*_STREAMED, *_LEFT_OPEN)),
    "chain": (2, (*_STREAMED, *_LEFT_OPEN, *_CALLED)),
    "parallel": (0.5, (*_STREAMED, *_LEFT_OPEN, "one branch raises")),
    "tool": (1, _CALLED),
    "retriever": (1, _CALLED),
    "nested": (0.5, _CALLED),
    "events": (0.5, ("exhausted", "break", "aclose", "cancelled")),
    "agent": (0.3, ("exhausted", "break", "cancelled", "source raises", "ainvoke", "ainvoke cancelled", "invoke")),
}


_BESIDE = {
    "abandoned": frozenset({"abandoned", "cancelled", "completed"}),
    "cancelled": frozenset({"abandoned", "cancelled", "completed"}),
    "failed": frozenset({"failed", "cancelled", "completed"}),
}
"""What may become of a model that runs by the side of the consumer, in a branch or a background task: it may be ahead
of what ends the others, or after it."""


def scenes(ways: dict[str, tuple[Any, str]]) -> list[Scene]:
    """All scenes of these ways."""
    made = []
    for app, (weight, names) in _ENDINGS.items():
        for ending in names:
            if ending not in ways or (app == "events" and ways is SYNC):
                continue
            play, told = ways[ending]
            allowed = frozenset(told.split())
            pipelines: int | None = 3 if ending.endswith("batch") else 1
            if app in ("parallel", "nested", "agent", "events"):
                for outcome in list(allowed):
                    allowed |= _BESIDE.get(outcome, frozenset())
                # A branch that starts when what is above has ended already is a pipeline of its own.
                pipelines = 1 if allowed == {"completed"} else None
            if app == "chain" and "cancelled" in allowed and ending in _STREAMED:
                # Each chunk is fetched in a task. Between two of these the model waits to be asked, and is closed.
                allowed |= {"abandoned"}
            made.append(Scene(app, ending, play, allowed, pipelines, weight))
    return made
