"""A service whose provider fails for a while in every half hour: what its application sees and keeps.

It is played once with our handler and once without, each in a process of its own, see `outage`.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import logging
import platform
import sys
import threading
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType, TracebackType
from typing import Any

import langchain_core
import sentry_sdk
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from sentry_sdk.envelope import Envelope
from sentry_sdk.scope import Scope
from sentry_sdk.transport import Transport

from sentry_langchain_stream import SentryStreamHandler

from . import moved_clock
from .numbers import SPANS, resident

HALF_AN_HOUR = 1800.0
KEPT = 20
"""Exceptions that the application keeps for a page of recent errors, which is cleared each half hour."""

log = logging.getLogger("service")


class ProviderTimeout(Exception):
    """What the provider's client raises."""

    def __init__(self, message: str, request: int) -> None:
        super().__init__(message)
        self.request = request


class GivenUp(Exception):
    """What the application raises when it has waited long enough."""


class Provider:
    """The provider: up, or failing in one of its ways. It knows every exception that it has raised, weakly."""

    def __init__(self) -> None:
        self.failing = ""
        self.requests = 0
        self.half_hour = 0
        self.raised: list[tuple[int, weakref.ref[ProviderTimeout]]] = []
        self.hanging: asyncio.Event | None = None
        self._open: ProviderTimeout | None = None

    def request(self) -> None:
        """A request, which may fail."""
        self.requests += 1
        if self.failing == "times out":
            try:
                raise OSError(f"read timed out, request {self.requests}")
            except OSError as error:
                raise self._new() from error
        if self.failing == "open circuit":  # a circuit breaker that raises the failure that has opened it
            self._open = self._open or self._new()
            raise self._open

    async def arequest(self) -> None:
        """The same. One that hangs does so until it is cancelled."""
        if self.failing == "hangs" and self.hanging is not None:
            self.requests += 1
            self.hanging.set()
            await asyncio.Event().wait()
        self.request()

    def recover(self) -> None:
        """Up again."""
        self.failing, self._open = "", None

    def still_there(self) -> int:
        """How many exceptions of half hours before this one are still there."""
        self.raised = [each for each in self.raised if each[1]() is not None]
        return sum(half_hour < self.half_hour for half_hour, _ in self.raised)

    def _new(self) -> ProviderTimeout:
        error = ProviderTimeout("no answer in 600 s", self.requests)
        self.raised.append((self.half_hour, weakref.ref(error)))
        return error


PROVIDER = Provider()


class Model(BaseChatModel):
    """A model of that provider, or of another that is always up. It fails after the first piece of a stream."""

    backup: bool = False

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    def _ask(self) -> None:
        if not self.backup:
            PROVIDER.request()

    async def _aask(self) -> None:
        if not self.backup:
            await PROVIDER.arequest()

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="one "))
        self._ask()
        yield ChatGenerationChunk(message=AIMessageChunk(content="two"))

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk(content="one "))
        await self._aask()
        yield ChatGenerationChunk(message=AIMessageChunk(content="two"))

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self._ask()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("one two", id="run-1"))])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        await self._aask()
        return ChatResult(generations=[ChatGeneration(message=AIMessage("one two", id="run-1"))])


model = Model()
answer = ChatPromptTemplate.from_template("{question}") | model | StrOutputParser()
asked = {"question": "why?"}


def _look_up(question: Any, config: Any) -> list[Document]:
    return [Document(model.invoke(str(question), config).text)]


Call = Callable[[Any], Awaitable[Any]]


async def _invoke(config: Any) -> Any:
    return answer.invoke(asked, config)


async def _ainvoke(config: Any) -> Any:
    return await answer.ainvoke(asked, config)


async def _stream(config: Any) -> Any:
    return list(answer.stream(asked, config))


async def _astream(config: Any) -> Any:
    return [each async for each in answer.astream(asked, config)]


async def _first(config: Any) -> Any:
    async for each in answer.astream(asked, config):
        return each


async def _events(config: Any) -> Any:
    return [each["event"] async for each in answer.astream_events(asked, config, version="v2")]


async def _batch(config: Any) -> Any:
    limited: Any = {**config, "max_concurrency": 1}
    return [seen(each) for each in answer.batch([asked] * 2, limited, return_exceptions=True)]


async def _gathered(config: Any) -> Any:
    found = await asyncio.gather(*(model.ainvoke("why?", config) for _ in range(3)), return_exceptions=True)
    return [seen(each) for each in found]


async def _tried_again(config: Any) -> Any:
    return await answer.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).ainvoke(asked, config)


async def _with_backup(config: Any) -> Any:
    return await (model.with_fallbacks([Model(backup=True)]) | StrOutputParser()).ainvoke("why?", config)


async def _looked_up(config: Any) -> Any:
    return (await RunnableLambda(_look_up).ainvoke("why?", config))[0].page_content


CALLS: tuple[Call, ...] = (
    _invoke,
    _ainvoke,
    _stream,
    _astream,
    _first,
    _events,
    _batch,
    _gathered,
    _tried_again,
    _with_backup,
    _looked_up,
)


# -- what the application sees ----------------------------------------------------------------------------------


def seen(value: Any) -> Any:
    """A result, or an exception with all that can be seen of it, as plain values."""
    if not isinstance(value, BaseException):
        return repr(value.content if isinstance(value, AIMessage) else value)
    return [_one(each) for each in _chain(value)]


def _chain(error: BaseException) -> Iterator[BaseException]:
    known: list[BaseException] = []
    following: list[BaseException | None] = [error]
    while following:
        each = following.pop(0)
        if each is not None and all(each is not other for other in known):
            known.append(each)
            yield each
            following += [each.__cause__, each.__context__]


def _one(error: BaseException) -> dict[str, Any]:
    frames: list[str] = []
    entry = error.__traceback__
    while entry is not None:
        frames.append(f"{entry.tb_frame.f_code.co_name}:{entry.tb_lineno}")
        entry = entry.tb_next
    return {
        "type": type(error).__qualname__,
        "text": str(error),
        "args": repr(error.args),
        "vars": repr(vars(error)),
        "notes": repr(getattr(error, "__notes__", None)),
        "cause": type(error.__cause__).__qualname__,
        "context": type(error.__context__).__qualname__,
        "suppressed": error.__suppress_context__,
        "depth": len(frames),
        "frames": hashlib.sha1(" ".join(frames).encode()).hexdigest(),
    }


async def _patiently(call: Call, config: Any) -> Any:
    """A call that is given up when it hangs."""
    PROVIDER.hanging = hanging = asyncio.Event()
    task = asyncio.ensure_future(call(config))
    waiting = asyncio.ensure_future(hanging.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not task.done():
        task.cancel()
        moved_clock.advance(600)
        try:
            await task
        except asyncio.CancelledError as error:
            raise GivenUp("waited for 600 s") from error
    return await task


class Application:
    """Makes calls one after the other, and does with their failures what applications do."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self._recent: deque[BaseException] = deque(maxlen=KEPT)
        self.story: list[Any] = []
        """What it saw: each call's name, what the provider did, and the result or the exception."""

    async def half_hour(self, number: int, calls: int) -> None:
        """Some calls while the provider is up, some while it fails in each of its ways, and some after that."""
        PROVIDER.half_hour = number
        for failing in ("", "times out", "hangs", "open circuit", ""):
            PROVIDER.recover()
            PROVIDER.failing = failing
            for turn in range(calls):
                await self.serve(CALLS[turn % len(CALLS)], turn // len(CALLS) + turn)
        PROVIDER.recover()

    def let_go(self) -> None:
        """Forget the exceptions that it has kept."""
        self._recent.clear()

    async def serve(self, call: Call, turn: int) -> None:
        """Every other call is a request with a task and an isolation scope of its own."""
        if turn % 2:
            await self._answered(call, turn)
        else:
            with sentry_sdk.isolation_scope():
                await asyncio.create_task(self._answered(call, turn))

    async def _answered(self, call: Call, turn: int) -> None:
        try:
            saw = seen(await _patiently(call, self._config))
        except Exception as error:
            if turn % 5 == 0:
                self._recent.append(error)
            elif turn % 5 == 1:
                log.exception("no answer")
            elif turn % 5 == 2:
                sentry_sdk.capture_exception(error)
            saw = seen(error)
        self.story.append([call.__name__, PROVIDER.failing, saw])


# -- what stays of it ---------------------------------------------------------------------------------------------


def measure() -> dict[str, Any]:
    """What is there when nothing is running."""
    gc.collect()
    gc.collect()
    objects = gc.get_objects()
    kinds = Counter(f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
    return {
        "old": PROVIDER.still_there(),
        "exceptions": sum(issubclass(type(each), BaseException) for each in objects),
        "tracebacks": sum(type(each) is TracebackType for each in objects),
        "frames": sum(type(each) is FrameType for each in objects),
        "scopes": sum(issubclass(type(each), Scope) for each in objects),
        "spans": sum(issubclass(type(each), SPANS) for each in objects),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "objects": len(objects),
        "memory": resident(),
        "kinds": kinds,
    }


async def _settled() -> None:
    """Let the loop do what it has been told to do: generators that were left are closed in tasks of their own."""
    for _ in range(20):
        await asyncio.sleep(0)


async def play(handler: SentryStreamHandler | None, half_hours: int, calls: int) -> AsyncIterator[dict[str, Any]]:
    """Play it, and yield after each half hour what is left, and what was seen."""
    application = Application({"callbacks": [] if handler is None else [handler]})
    for number in range(half_hours):
        await application.half_hour(number, calls)
        await _settled()
        moved_clock.advance(HALF_AN_HOUR)
        await application.serve(_ainvoke, 0)  # what is idle is ended when others start
        await _settled()
        PROVIDER.half_hour += 1  # nothing is of now any more
        kept = measure()
        application.let_go()
        live = 0 if handler is None else handler.live_runs
        yield {"kept": kept, **measure(), "story": application.story, "live": live}
        application.story = []


def main(with_handler: bool, half_hours: int, calls: int) -> None:
    """Play it, and print a line of JSON for each half hour."""
    sent: Counter[str] = Counter()

    class Sink(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.update(str(item.type) for item in envelope.items)

    logging.getLogger("service").addHandler(logging.NullHandler())
    log.propagate = False
    sentry_sdk.init(
        dsn="http://soak@127.0.0.1:9/1",
        transport=Sink,
        traces_sample_rate=1.0,
        auto_enabling_integrations=False,
        max_breadcrumbs=10,
        include_source_context=False,  # takes the SDK most of the time, and leaves nothing
    )
    handler = SentryStreamHandler() if with_handler else None

    async def run() -> None:
        # One thread for sync work, started here: as long as it lives it keeps the scope in which it was started.
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        await loop.run_in_executor(None, gc.collect)
        async for row in play(handler, half_hours, calls):
            print(json.dumps({**row, "issues": sent["event"], "sent": sent.total()}), flush=True)

    asyncio.run(run())
    versions = {"python": platform.python_version(), "langchain-core": langchain_core.__version__}
    print(json.dumps({**versions, "sentry-sdk": sentry_sdk.VERSION}), file=sys.stderr)
