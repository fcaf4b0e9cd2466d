"""The public API as users write it. Checked by mypy and pyright (`make lint`), and never run.

A line with `type: ignore` is a mistake that both must find: both also report an ignored line without one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import sentry_sdk
from langchain_core.runnables import Runnable
from langchain_mcp_adapters.client import MultiServerMCPClient

import sentry_langchain_stream
from sentry_langchain_stream import (
    AsyncTrackedStream,
    Dialect,
    Limits,
    RunInfo,
    SentryStreamHandler,
    SentryStreamIntegration,
    TrackedStream,
    WatchedRuns,
    current_stream,
    record_evaluation,
    record_feedback,
    trace_mcp,
    track_stream,
    watch_runs,
)
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans

if TYPE_CHECKING:
    from typing_extensions import assert_type


def handlers(chain: Runnable[str, str]) -> None:
    """A handler has all arguments, and no others."""
    dialect: Dialect = "ai"
    handler = SentryStreamHandler(
        "support-bot",
        dialect=dialect,
        include_prompts=False,
        redact=str.lower,
        token_counter=len,
        capture_errors=False,
        max_live_runs=10,
        max_idle_seconds=1,
        cost=True,
        metrics=True,
        chains=True,
        nesting=False,
        metadata_keys=["tenant"],
        limits=Limits(part=1_000),
    )
    chain.invoke("Hello", config={"callbacks": [handler]})
    assert_type(handler.live_runs, int)
    assert_type(handler.run_info(uuid4()), RunInfo | None)
    with handler.watch() as runs:
        assert_type(runs, WatchedRuns)
    SentryStreamHandler(dialct="ai")  # type: ignore[call-arg]
    SentryStreamHandler(dialect="old")  # type: ignore[arg-type]
    SentryStreamHandler("support-bot", "ai")  # type: ignore[call-arg]


def integrations() -> None:
    """The integration has the handler's arguments, and says which of Sentry's integrations it enables."""
    made = SentryStreamIntegration("support-bot", providers=["openai"], dialect="ai", limits=None, redact=str.lower)
    sentry_sdk.init(integrations=[made, SentryStreamIntegration()])
    assert_type(made.handler, SentryStreamHandler)
    SentryStreamIntegration(dialct="ai")  # type: ignore[call-arg]
    SentryStreamIntegration(dialect="old")  # type: ignore[arg-type]
    SentryStreamIntegration(include_prompts="no")  # type: ignore[arg-type]


def streams(chunks: Iterator[bytes], chunks_to_come: AsyncIterator[bytes]) -> None:
    """A tracked stream has the items of its source."""
    tracked = track_stream(chunks, model="gpt-4o-mini", text=lambda chunk: chunk.decode(), prompt="Hello")
    assert_type(tracked, TrackedStream[bytes])
    tracked.set_usage(input_tokens=1, output_tokens=2)
    assert_type(track_stream(chunks_to_come, model="gpt-4o-mini"), AsyncTrackedStream[bytes])
    track_stream(chunks)  # type: ignore[call-overload]
    track_stream(chunks, model="gpt-4o-mini", promt="Hello")  # type: ignore[call-overload]


@track_stream(model="gpt-4o-mini", prompt=lambda question: question)
def decorated(question: str) -> Iterator[str]:
    """A decorated generator function keeps its arguments."""
    if (stream := current_stream()) is not None:
        stream.set_usage(output_tokens=1)
    yield question


def decorators() -> None:
    """Its calls return tracked streams."""
    assert_type(decorated("Hello"), TrackedStream[str])
    decorated(1)  # type: ignore[arg-type]


def watches() -> None:
    """What is known of a run has a type each."""
    with watch_runs() as runs:
        pass
    for run in runs:
        assert_type(run, RunInfo)
        assert_type(run.total_tokens, int | None)
        assert_type(run.url("https://acme.sentry.io"), str | None)
        run.total_tokens = 1  # type: ignore[misc]


def evaluations(run: RunInfo) -> None:
    """A run may be given as it is, or by its ids."""
    record_evaluation(run, name="helpful", score=0.9, label="good", explanation="Short.")
    record_feedback(trace_id="a" * 32, span_id="b" * 16, thumbs="up", comment="Thanks")
    record_evaluation(run, name="helpful", scor=0.9)  # type: ignore[call-arg]


def servers(client: MultiServerMCPClient) -> None:
    """The same client is returned."""
    assert_type(trace_mcp(client, propagate=["weather"]), MultiServerMCPClient)
    trace_mcp(client, propagte=False)  # type: ignore[call-arg]


def captures() -> None:
    """The testing tools have types too."""
    with capture_spans(traces_sample_rate=1.0) as captured:
        assert_type(captured, Captured)
    assert_type(captured.find(op="gen_ai.chat"), CapturedSpan)
    assert_type(captured.tree(), str)
    assert_type(sentry_langchain_stream.__version__, str)
