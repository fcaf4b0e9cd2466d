"""What the handler does for many calls below one run grows with their number, not with its square."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda

import sentry_langchain_stream
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import ScriptedModel

ROOT = str(Path(sentry_langchain_stream.__file__).parent)


def refuse(_: int) -> None:
    raise ConnectionError


CALLS: dict[str, Callable[[], Any]] = {
    "a model": ScriptedModel,
    "with_retry": lambda: ScriptedModel().with_retry(),
    "with_fallbacks": lambda: ScriptedModel().with_fallbacks([ScriptedModel()]),
    "with_fallbacks, after a failure": lambda: ScriptedModel(before=refuse).with_fallbacks([ScriptedModel()]),
}


def lines(call: Any, number: int) -> int:
    """How many lines of ours run for so many calls at once, below one run."""
    counted = [0]

    def local(frame: FrameType, event: str, argument: object) -> Any:
        counted[0] += event == "line"
        return local

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        return local if frame.f_code.co_filename.startswith(ROOT) else None

    async def many(_: object) -> Any:
        return await asyncio.gather(*(call.ainvoke("Hi") for _ in range(number)))

    handler = SentryStreamHandler()
    with capture_spans():
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            asyncio.run(RunnableLambda(many).ainvoke("all", {"callbacks": [handler]}))
        finally:
            sys.settrace(before)
    assert handler.live_runs == 0
    return counted[0]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="without an async context each call is a run of its own")
@pytest.mark.parametrize("kind", CALLS)
def test_many_calls_below_one_run_are_linear(kind: str) -> None:
    """Four times the calls take at most five times the lines."""
    call = CALLS[kind]()
    lines(call, 2)  # what is done once
    few, many = lines(call, 20), lines(call, 80)
    assert many < 5 * few
