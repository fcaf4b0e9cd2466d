"""What the hot path costs in function calls and bytes, in a process of its own: prints them as JSON.

Beside other tests a process has more: what they have registered, threads that they have left, other garbage.

    python -m tests.project.hot_path
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import sentry_sdk
from langchain_core.runnables import Runnable, RunnableLambda

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.counting import OURS, calls
from tests.kit.wire import ScriptedModel

Count = Callable[[Callable[[], object]], int]


def steps(number: int) -> Runnable[Any, Any]:
    """A chain of so many functions."""
    chain: Runnable[Any, Any] = RunnableLambda(str)
    for _ in range(number - 1):
        chain = chain | RunnableLambda(str)
    return chain


def per_token(count: Count, config: Any) -> float:
    """What a token of a stream costs: the difference of a long and a short answer."""
    said = {"model_provider": "openai"}  # as ChatOpenAI says with each chunk
    short, long = (ScriptedModel(pieces=("word ",) * number, of_each=said) for number in (100, 200))
    return (count(lambda: list(long.stream("Hi", config))) - count(lambda: list(short.stream("Hi", config)))) / 100


def per_invoke(count: Count, config: Any) -> float:
    """What a call of a model costs inside a request."""
    model = ScriptedModel()
    return count(lambda: model.invoke("Hi", config))


def per_chain(count: Count, config: Any) -> float:
    """What a further function in a chain costs."""
    return (count(lambda: steps(7).invoke("x", config)) - count(lambda: steps(3).invoke("x", config))) / 4


MEASURES = {"token": per_token, "invoke": per_invoke, "content": per_invoke, "chain": per_chain}


def allocated(work: Callable[[], object]) -> int:
    """The bytes that `work` takes inside of functions of ours, and of what they call but for the SDK's.

    The interpreter tells how many bytes are in use, not how many were taken. So it is asked at every call and return,
    and what has grown in between is added up. What is taken and given back between two of them is not seen.
    """
    found, ours, last, in_use = 0, False, 0, tracemalloc.get_traced_memory
    stack: list[bool] = []

    def seen(frame: FrameType, event: str, _: Any) -> None:
        nonlocal found, ours, last
        if ours:
            found += max(in_use()[0] - last, 0)
        if event == "call":
            stack.append(ours)
            path = frame.f_code.co_filename
            ours = path.startswith(OURS) or (ours and not path.startswith(_SDK))
        elif event == "return" and stack:
            ours = stack.pop()
        last = in_use()[0] if ours else 0

    before = sys.getprofile()
    gc.collect()
    gc.disable()
    tracemalloc.start()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
        tracemalloc.stop()
        gc.enable()
    return found


_SDK = os.path.dirname(sentry_sdk.__file__)


@contextmanager
def request(**options: Any) -> Iterator[None]:
    """A request of a web application. Sentry's own LangchainIntegration would have its share, above all without us."""
    capture = capture_spans(auto_enabling_integrations=False, **options)
    with capture, sentry_sdk.start_transaction(op="http.server", name="GET /answer"):
        yield


def measured(what: str, count: Count) -> float:
    """One of the measures, after what happens only the first time: imports and caches."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with request(send_default_pii=what == "content"):
        found = [MEASURES[what](count, config) for _ in range(3)]
    return min(found[1:])


async def held(config: Any) -> float:
    """Bytes per stream, of 200 that are live, each read by a task of its own. So many share the growth of dicts."""
    model, done, reading = ScriptedModel(pieces=("word ",) * 5), asyncio.Event(), 0

    async def read() -> None:
        nonlocal reading
        async for _ in model.astream("Hi", config):
            reading += not done.is_set()
            await done.wait()

    async def started(streams: int) -> list[asyncio.Task[None]]:
        wanted = reading + streams
        tasks = [asyncio.ensure_future(read()) for _ in range(streams)]
        while reading < wanted:
            await asyncio.sleep(0)
        gc.collect()
        return tasks

    tasks = await started(1)
    before = tracemalloc.get_traced_memory()[0]
    tasks += await started(200)
    found = (tracemalloc.get_traced_memory()[0] - before) / 200
    done.set()
    await asyncio.gather(*tasks)
    return found


def held_by_the_handler() -> float:
    """Bytes that a live stream holds because of the handler, its span included."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    with (
        capture_spans(auto_enabling_integrations=False),
        sentry_sdk.start_transaction(op="http.server", name="GET /answer"),
    ):
        tracemalloc.start()
        try:
            return min(asyncio.run(held(config)) - asyncio.run(held({})) for _ in range(4))
        finally:
            tracemalloc.stop()


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "calls": {what: measured(what, calls) for what in MEASURES},
                "allocated": {what: measured(what, allocated) for what in MEASURES},
                "held": held_by_the_handler(),
            }
        )
    )
