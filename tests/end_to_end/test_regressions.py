"""What goes wrong with handlers that do not expect streams, each measured on a real one: it must not with ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.endings import LEAVES
from tests.kit.fresh import Fresh
from tests.kit.pairwise import in_pairs
from tests.kit.subjects import SUBJECTS, Subject
from tests.kit.wire import (
    SLACK,
    WAYS,
    WIRE_SHAPES,
    ScriptedModel,
    Way,
    active_span,
    content_allowed,
    current_span_id,
    fake_model,
)


def issues(captured: Captured) -> list[dict[str, Any]]:
    """The events that would become issues, but for asyncio's own complaints of tasks that LangChain left behind."""
    return [event for event in captured.events if event.get("logger") != "asyncio"]


async def ended(handler: SentryStreamHandler) -> None:
    """Until no run is live; a consumer that left is told to LangChain's generators on later loop turns."""
    for _ in range(60):
        if handler.live_runs == 0:
            break
        await asyncio.sleep(0)
    assert handler.live_runs == 0


def holding(reached: asyncio.Event) -> ScriptedModel:
    """A model that falls silent for ever after two pieces, and says when."""

    async def silence() -> None:
        reached.set()
        await asyncio.Event().wait()

    return ScriptedModel(before=lambda number: silence() if number == 2 else None)


STREAMED = [subject for subject in SUBJECTS if subject.name in ("model", "chain")]


@in_pairs(leave=LEAVES, subject=STREAMED, shape=WIRE_SHAPES)
async def test_leaving_early_files_no_issue_and_keeps_the_partial_answer(
    leave: str, subject: Subject, shape: str
) -> None:
    """A stream that is left by break, aclose or cancellation is no error, and what had arrived is on its span."""
    handler = SentryStreamHandler()
    app = subject.make(holding(asyncio.Event()))
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        play, outcome = LEAVES[leave]
        await play(app.astream(subject.question, {"callbacks": [handler]}))
        await ended(handler)
    assert issues(captured) == []
    span = captured.find(op="gen_ai.chat")
    assert span.status in ("ok", "cancelled")
    assert span.attributes["langchain_stream.outcome"] == outcome
    assert span.attributes["langchain_stream.chunks"] >= 1
    [answer] = json.loads(span.attributes["gen_ai.output.messages"])
    assert answer["parts"][0]["content"].startswith("one ")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("leave", LEAVES)
async def test_leaving_early_loses_no_span_and_leaves_no_parent_behind(leave: str, shape: str) -> None:
    """The span of a stream that was left is sent below its own root, and a later call is a root of its own."""
    handler = SentryStreamHandler(pipeline_name="support-bot")
    config: Any = {"callbacks": [handler]}
    play, outcome = LEAVES[leave]
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        for _ in range(2):
            await play(holding(asyncio.Event()).astream("Hi", config))
            await ended(handler)
            assert current_span_id() is None
        await fake_model().ainvoke("Hi", config)
    roots = captured.find_all(name="support-bot")
    assert [(root.parent_id, root.is_root) for root in roots] == [(None, True)] * 3
    below = [[child.attributes["langchain_stream.outcome"] for child in captured.children(root)] for root in roots]
    assert below == [[outcome], [outcome], ["completed"]]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("above", [True, False], ids=["in a request", "alone"])
async def test_streams_at_the_same_time_are_siblings(above: bool, shape: str) -> None:
    """Of three streams in one event loop none is below another, and all were open at once."""
    handler = SentryStreamHandler()
    model = ScriptedModel(before=lambda number: asyncio.sleep(0))

    async def read() -> None:
        async for _ in model.astream("Hi", {"callbacks": [handler]}):
            pass

    request = active_span(shape) if above else contextlib.nullcontext()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, request as active:
        await asyncio.gather(read(), read(), read())
        assert current_span_id() == active
    spans = captured.find_all(op="gen_ai.chat")
    assert len(spans) == 3
    assert max(span.start for span in spans) < min(span.end for span in spans)
    parents = {span.parent_id for span in spans}
    assert parents == {active} if above else len(parents) == 3
    assert not parents & {span.span_id for span in spans}


TASKS = """
import asyncio, json
import sentry_sdk
from sentry_sdk.integrations.asyncio import AsyncioIntegration
from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, active_span, child_span


async def nothing():
    pass


async def main(shape):
    handler = SentryStreamHandler()
    model = ScriptedModel(pieces=("word ",) * 1_200)
    with capture_spans(**WIRE_SHAPES[shape], integrations=[AsyncioIntegration()]) as captured:
        with active_span(shape):
            await asyncio.create_task(nothing())
            async for _ in model.astream("Hi", {{"callbacks": [handler]}}):
                pass
            with child_span(shape, "query"):
                pass
    print(json.dumps([[span.name, span.attributes.get("langchain_stream.chunks")] for span in captured.spans]))


asyncio.run(main({shape!r}))
"""


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_long_stream_makes_one_span_and_crowds_out_none(shape: str, fresh: Fresh) -> None:
    """With Sentry tracing every task, 1,200 tokens are one span, and the application's own spans are all there."""
    finished = fresh.run(TASKS.format(shape=shape))
    assert finished.returncode == 0, finished.stderr
    spans = sorted(json.loads(finished.stdout))
    # LangChain ends a run in a task of its own. That the test's own task is there too shows that tasks are traced.
    ours = [span for span in spans if not span[0].startswith("AsyncCallbackManager")]
    assert ours == [["chat scripted", 1_200], ["handle", None], ["nothing", None], ["query", None]]
    assert len(spans) <= len(ours) + 1


IMAGE = "iVBORw0KGgo" + "A" * 200_000
PROMPT = "prompt " * 43_000
ANSWER = "answer " * 43_000
LARGE: list[Any] = [
    HumanMessage(
        [
            {"type": "text", "text": PROMPT},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
        ]
    )
]


def is_cut(text: str, whole: str) -> bool:
    """Whether a text is within its limit, and says how much of the whole is missing."""
    mark = re.search(r"\[\.\.\. (\d+) characters cut \.\.\.\]", text)
    return mark is not None and len(text) <= 20_000 and len(text) - len(mark[0]) + int(mark[1]) == len(whole)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_what_is_large_leaves_cut_and_an_image_never(way: Way, shape: str) -> None:
    """Where content is allowed, what has 300 KB leaves cut and says so; of an image it is told that there was one."""
    model = ScriptedModel(pieces=(ANSWER,))
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        await way.run(model, LARGE, {"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.chat")
    [asked] = json.loads(span.attributes["gen_ai.input.messages"])
    text, image = asked["parts"]
    assert text["content"].startswith("prompt ")
    assert is_cut(text["content"], PROMPT)
    assert image == {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": "[Blob substitute]",
        "size": len(IMAGE) * 3 // 4,
    }
    [answered] = json.loads(span.attributes["gen_ai.output.messages"])
    assert is_cut(answered["parts"][0]["content"], ANSWER)
    assert sum(map(len, captured.envelopes)) < 100_000
    assert not any(IMAGE[:100].encode() in envelope for envelope in captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("fails", [False, True], ids=["answers", "fails"])
async def test_nothing_of_the_content_leaves_by_default(fails: bool, way: Way, shape: str) -> None:
    """With the defaults of the SDK neither prompt nor answer nor image is in any envelope, also when it fails."""

    def before(number: int) -> None:
        if number == way.streams:
            raise ValueError("the model failed")

    model = ScriptedModel(pieces=(ANSWER, ANSWER), before=before if fails else None)
    with capture_spans(**WIRE_SHAPES[shape]) as captured, contextlib.suppress(ValueError):
        await way.run(model, LARGE, {"callbacks": [SentryStreamHandler()]})
    outcome = captured.find(op="gen_ai.chat").attributes["langchain_stream.outcome"]
    assert (outcome, len(issues(captured))) == (("failed", 1) if fails else ("completed", 0))
    for envelope in captured.envelopes:
        for content in (PROMPT, ANSWER, IMAGE):
            assert content[:50].encode() not in envelope


def with_retry(failing: ScriptedModel) -> Runnable[Any, Any]:
    return failing.with_retry(retry_if_exception_type=(ValueError,), wait_exponential_jitter=False)


def with_fallbacks(failing: ScriptedModel) -> Runnable[Any, Any]:
    return failing.with_fallbacks([fake_model()])


def in_a_chain(failing: ScriptedModel) -> Runnable[Any, Any]:
    return ChatPromptTemplate.from_template("{question}") | with_fallbacks(failing)


RECOVERIES: list[tuple[Callable[[ScriptedModel], Runnable[Any, Any]], Any, Way]] = [
    (recover, question, way)
    for recover, question in ((with_retry, "Hi"), (with_fallbacks, "Hi"), (in_a_chain, {"question": "Hi"}))
    for way in WAYS
    if recover is not with_retry or not way.streams  # LangChain does not retry streams
]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize(
    ("recover", "question", "way"), RECOVERIES, ids=[f"{recover.__name__}-{way}" for recover, _, way in RECOVERIES]
)
@needs_async_context(lambda recover, way: recover is with_fallbacks and is_async(way))
async def test_a_failure_that_was_recovered_from_is_no_issue(
    recover: Callable[[ScriptedModel], Runnable[Any, Any]], question: Any, way: Way, shape: str
) -> None:
    """A failure that a fallback or a retry made good is told by its span alone."""
    attempts: list[int] = []

    def before(number: int) -> None:
        attempts.append(number)
        if len(attempts) == 1:
            raise ValueError("the model failed")

    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape]) as captured, active_span(shape):
        await way.run(recover(ScriptedModel(before=before)), question, {"callbacks": [handler]})
    spans = captured.find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in spans] == ["failed", "completed"]
    assert issues(captured) == []
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("generate", ["generate", "agenerate"])
async def test_several_prompts_of_which_one_fails_are_an_issue(generate: str, shape: str) -> None:
    """A call of a model with several prompts that raises is an issue, though some of them were answered."""
    calls: list[int] = []

    def before(number: int) -> None:
        calls.append(number)
        if len(calls) == 1:
            raise ValueError("the model failed")

    handler = SentryStreamHandler()
    prompts: Any = [[HumanMessage("Hi")], [HumanMessage("Ho")]]
    model = ScriptedModel(before=before)

    async def call() -> None:
        answers: Any = getattr(model, generate)(prompts, callbacks=[handler])
        if generate == "agenerate":
            await answers

    with capture_spans(**WIRE_SHAPES[shape]) as captured, pytest.raises(ValueError, match="the model failed"):
        await call()
    (issue,) = issues(captured)
    failed = [
        span for span in captured.find_all(op="gen_ai.chat") if span.attributes["langchain_stream.outcome"] == "failed"
    ]
    assert [issue["contexts"]["trace"]["span_id"]] == [span.span_id for span in failed]
    assert handler.live_runs == 0


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("dialect", "top", "name", "chat"),
    [
        ("gen_ai", "gen_ai.invoke_agent", "invoke_agent LangGraph", "gen_ai.chat"),
        ("ai", "ai.pipeline.langchain", "support-bot", "ai.chat_completions.create.langchain"),
    ],
)
@pytest.mark.parametrize("subject", [each for each in SUBJECTS if each.name in ("graph", "agent")], ids=str)
@needs_async_context(lambda subject, way: subject.name == "agent" and is_async(way))
async def test_a_graph_has_a_span_above_its_models_however_it_is_called(
    subject: Subject, dialect: Any, top: str, name: str, chat: str, way: Way, shape: str
) -> None:
    """Streamed or not, a LangGraph graph is one span, an agent's, around the span of its model."""
    handler = SentryStreamHandler(pipeline_name="support-bot", dialect=dialect)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(subject.make(fake_model()), subject.question, {"callbacks": [handler]})
    above = captured.find(op=top, name=name)
    span = captured.find(op=chat)
    assert len(captured.spans) == 2  # Sentry's own integration opens a span around invoke and ainvoke: it is this one
    assert above.attributes["gen_ai.pipeline.name"] == span.attributes["gen_ai.pipeline.name"] == "support-bot"
    assert above.start <= span.start + SLACK
    assert span.start <= span.end <= above.end + SLACK
    assert above.is_root
    assert span.parent_id == above.span_id


@pytest.mark.parametrize("shape", WIRE_SHAPES)
@pytest.mark.parametrize("dialect", ["gen_ai", "ai"])
def test_what_langchain_hands_over_is_left_as_it_is(dialect: Any, shape: str) -> None:
    """Neither parameters nor metadata nor messages nor the answer are changed by any hook."""
    handler: Any = SentryStreamHandler(dialect=dialect)
    tool = {"type": "function", "function": {"name": "weather", "description": "d" * 1_000, "parameters": {}}}
    call = {"id": "1", "name": "weather", "args": {"city": "Vienna"}}
    given: dict[str, Any] = {
        "invocation_params": {"model": "m", "_type": "openai-chat", "tools": [tool], "stop": ["END"], "temperature": 1},
        "options": {"stop": ["END"], "tools": [tool]},
        "metadata": {"ls_provider": "openai", "ls_model_name": "m", "thread_id": "t", "nested": {"deep": [1]}},
        "tags": ["seq:step:1"],
        "serialized": {"id": ["langchain", "ChatOpenAI"], "kwargs": {"model": "m"}},
        "messages": [[HumanMessage([{"type": "text", "text": PROMPT}]), AIMessage("", tool_calls=[call])]],
    }
    answer = LLMResult(
        generations=[[ChatGeneration(message=AIMessage(ANSWER, response_metadata={"finish_reason": "stop"}))]],
        llm_output={"token_usage": {"prompt_tokens": 1, "completion_tokens": 2}, "model_name": "m"},
    )
    before, answer_before = deepcopy(given), deepcopy(answer)
    run_id = uuid4()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        handler.on_chat_model_start(run_id=run_id, **given)
        handler.on_llm_end(answer, run_id=run_id)
    assert len(captured.spans) == 2
    assert given == before
    assert answer == answer_before


@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_the_newest_span_is_whole_however_large_the_others_are(shape: str) -> None:
    """Of many large calls in one trace, the last has every attribute that the first has."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured, active_span(shape):
        for _ in range(20):
            await ScriptedModel(pieces=(ANSWER,)).ainvoke(LARGE, {"callbacks": [handler]})
    first, *others = captured.find_all(op="gen_ai.chat")
    assert len(others) == 19
    assert {"gen_ai.input.messages", "gen_ai.output.messages", "ai.total_tokens"} <= set(first.attributes)
    assert {frozenset(span.attributes) for span in others} == {frozenset(first.attributes)}
    assert {span.attributes["gen_ai.input.messages"] for span in others} == {first.attributes["gen_ai.input.messages"]}
