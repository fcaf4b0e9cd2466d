"""What several test files share."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import Policy
from sentry_langchain_stream._runs.call import Call, Cost, Request, Response
from sentry_langchain_stream._runs.details import Agent, Checkpoint, Handoff, McpCall, Memory, Retrieval, ToolCall
from sentry_langchain_stream._runs.estimates import Prompt, PromptBy
from sentry_langchain_stream._runs.kinds import RunKind
from sentry_langchain_stream._runs.live_runs import LiveRuns
from sentry_langchain_stream._runs.numbers import number
from sentry_langchain_stream._runs.places import Place, Tree
from sentry_langchain_stream._runs.run import Run
from sentry_langchain_stream._runs.settings import Settings
from sentry_langchain_stream._runs.texts_call import TextsCall
from sentry_langchain_stream._runs.usage import Usage
from sentry_langchain_stream._runtime import aside
from sentry_langchain_stream._to_sentry.span_models import NoSpans
from tests.kit import HANG


def collect() -> None:
    """Collect garbage, and wait for what that moves to a thread."""
    gc.collect()
    aside.finish(HANG)


def prompt_of(tokens: int | None) -> Prompt:
    """A prompt of so many tokens by the estimate, or of which there is none."""
    return PromptBy(list, lambda: tokens)


class Clock:
    """A monotonic clock that stands still until it is told to advance. Times are seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> float:
        """Let time pass, and return the new time."""
        if seconds < 0:
            raise ValueError("a monotonic clock never goes back")
        self.now += seconds
        return self.now

    def passing(self, seconds: float) -> Callable[[Any], None]:
        """A function that lets time pass when it is called, with whatever."""

        def pass_(_: Any) -> None:
            self.advance(seconds)

        return pass_


def handler_on(clock: Clock, **options: Any) -> SentryStreamHandler:
    """A handler that measures with this clock."""

    class OnClock(SentryStreamHandler):
        pass

    OnClock.clock = staticmethod(clock)
    return OnClock(**options)


def filled_request() -> Request:
    """A request with every field set."""
    return Request(
        operation="chat",
        model="gpt-4o-mini",
        provider="openai",
        platform="openai",
        function="ChatOpenAI",
        parameters={
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "max_tokens": 256,
            "seed": "7",
            "stop": ["END"],
            "frequency_penalty": 0.1,
            "presence_penalty": 0.2,
            "reasoning": "high",
        },
        messages='[{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]',
        system="Be brief.",
        tools='[{"type": "function", "name": "get_weather"}]',
        prompt=prompt_of(11),
        tier="auto",
    )


def filled_response() -> Response:
    """A response with every field set."""
    return Response(
        model="gpt-4o-mini-2024-07-18",
        id="chatcmpl-1",
        finish_reasons=("stop", "length"),
        messages='[{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}], "finish_reason": "stop"}]',
        tier="default",
    )


def filled_usage() -> Usage:
    """A provider's usage with every field set, each to a number of its own."""
    return Usage(
        input=100,
        output=50,
        total=150,
        cache_read=40,
        cache_creation=30,
        reasoning=20,
        audio_input=10,
        audio_output=5,
        cache_creation_1h=15,
        tier="default",
    )


def filled_cost() -> Cost:
    """A cost with every field set, each to a number of its own."""
    return Cost(0.5, 0.25, 0.75, cache_read=0.125, cache_creation=0.0625, reasoning=0.03125, requests=0.015625)


def filled_call() -> Call:
    """A streamed call with every field set: start at 10 s, chunks at 12, 13, 16 and 17 s, end at 20 s."""
    call = Call(
        filled_request(),
        10.0,
        text=Gathered(Policy(outputs=True)),
        streamed=True,
        by_events=True,
        payload=1,
        echoes=1,
        events=8,
        counted=7,
        reported=filled_usage(),
        cached=True,
        named="gpt-4o-mini-2024-07-18",
        repeats=True,
        cost=filled_cost(),
        response=filled_response(),
        finished=True,
        ended=20.0,
        settled=filled_usage(),
        within=(filled_usage(),),
        within_ids=("run",),
        hands_on=True,
        repeats_others=True,
        partial="[]",
        keep=str,
        room=20,
        complete=Call.make_room,
    )
    for moment, text in ((12.0, "word"), (13.0, ""), (16.0, "a text that is more than a word"), (17.0, "word")):
        call.add_chunk(moment, text)
    return call


def filled_texts() -> TextsCall:
    """A call of an embedding model and a reranker at once with every field of its own set."""
    return TextsCall(
        filled_request(),
        10.0,
        reported=filled_usage(),
        inputs=3,
        embedded='["one", "two", "three"]',
        dimensions=256,
        query="weather in Vienna",
        top=2,
        documents=2,
        found='[{"content": "Sunny."}]',
    )


def filled_tool() -> ToolCall:
    """A call of a tool with every field set."""
    mcp = McpCall("get_weather", "weather", "http")
    return ToolCall(
        "get_weather", "Tells the weather.", "call-1", '{"city": "Vienna"}', "Sunny.", 6, "ask_weather", mcp
    )


def filled_retrieval() -> Retrieval:
    """A call of a retriever with every field set."""
    return Retrieval("Shelf", "weather in Vienna", 2, '[{"page_content": "Sunny."}]')


def filled_agent() -> Agent:
    """A run of an agent with every field set."""
    return Agent(
        "scout",
        system="Be brief.",
        tools='[{"type": "function", "name": "get_weather"}]',
        messages='[{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]',
        answer='[{"role": "assistant", "parts": [{"type": "text", "content": "Hi"}]}]',
        usage=filled_usage(),
        is_created=True,
        asked_by=number(uuid4()),
    )


ENDINGS = frozenset({"outcome", "control", "error_type", "evicted"})


def run_of(call: Call | None = None, kind: RunKind | None = None, **fields: Any) -> Run:
    """A run without any span: of a model if there is a call, else of a chain, unless said otherwise.

    Args:
        call: Its model call.
        kind: What runs.
        **fields: Fields of `Run` and of its `Ending`.
    """
    own = uuid4()
    run = Run(
        id=own,
        number=number(own),
        kind=kind or ("chain" if call is None else "model"),
        pipeline="support-bot",
        policy=Policy(inputs=True, outputs=True),
        place=Place(backend=NoSpans()),
        keeper=LiveRuns(Settings(), float),
        tree=Tree(),
    )
    run.call = call
    for name, value in fields.items():
        setattr(run.ending if name in ENDINGS else run, name, value)
    return run


def filled_run(kind: RunKind = "model") -> Run:
    """A failed run of this kind with every fact known."""
    calls: dict[RunKind, Call] = {"model": filled_call(), "embeddings": filled_texts(), "rerank": filled_texts()}
    run = run_of(
        calls.get(kind),
        kind,
        agent="scout",
        attempt=2,
        fallback=1,
        conversation="thread-1",
        labels={"langchain_stream.tags": ["beta"], "langchain_stream.metadata.plan": "free"},
        outcome="failed",
        control="interrupt",
        error_type="TimeoutError",
        evicted="idle",
    )
    if kind == "tool":
        run.detail = filled_tool()
    elif kind == "retriever":
        run.detail = filled_retrieval()
    elif kind == "agent":
        run.detail = filled_agent()
    elif kind == "handoff":
        run.detail = Handoff("scout", "writer")
    elif kind == "memory":
        run.detail = Memory("search_memory", "memories/ada", "colour", "Which?", '[{"content": "red"}]', 1)
    elif kind == "checkpoint":
        run.detail = Checkpoint("InMemorySaver", "put", channels=3, writes=1)
    return run
