"""A fault of ours, or of what the user handed us, costs its own attribute and one log line, and nothing else."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._from_langchain import answers, inside, marks, requests, steps
from sentry_langchain_stream._runs import attributes, enclosing, run_spans, starts
from sentry_langchain_stream._runs.call import Call
from sentry_langchain_stream._to_sentry import active_span
from sentry_langchain_stream._to_sentry.client import choose_backend, current_client
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.async_context import is_async, needs_async_context
from tests.kit.subjects import SUBJECTS
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

pytestmark = pytest.mark.usefixtures("lenient")

TEXT = "one two three"


class OurFaultError(Exception):
    """Raised where something of ours fails; its text must never be logged, it may quote a prompt."""


def broken(*_: Any, **__: Any) -> Any:
    raise OurFaultError("a very private prompt")


async def text_of(way: Way, handler: SentryStreamHandler) -> str:
    """What the user's code receives."""
    model, config = ScriptedModel(), {"callbacks": [handler]}
    if way.name == "astream":
        return "".join([str(chunk.content) async for chunk in model.astream("Hi", config=config)])  # type: ignore[arg-type]
    if way.name == "stream":
        return "".join(str(chunk.content) for chunk in model.stream("Hi", config=config))  # type: ignore[arg-type]
    if way.name == "ainvoke":
        return str((await model.ainvoke("Hi", config=config)).content)  # type: ignore[arg-type]
    return str(model.invoke("Hi", config=config).content)  # type: ignore[arg-type]


FAULTS: dict[str, tuple[Any, str, set[str]]] = {
    "the model's name": (requests, "model", {"gen_ai.request.model", "ai.model_id", "gen_ai.response.model"}),
    "the provider": (requests, "provider", {"gen_ai.provider.name"}),
    "the input estimate": (requests, "_estimate", {"gen_ai.usage.input_tokens"}),
    "the whole request": (requests, "request", {"gen_ai.request.model", "gen_ai.input.messages"}),
    "the prompt's text": (requests, "input_messages", {"gen_ai.input.messages"}),
    "the answer's text": ((answers, run_spans), "output_messages", {"gen_ai.output.messages"}),
    "all attributes": (attributes, "describe", {"langchain_stream.outcome", "gen_ai.usage.input_tokens"}),
}
"""What fails, and the attributes that it costs."""


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_failing_part_costs_its_own_attributes(
    shape: str, fault: str, way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The user's stream is whole, the span is there and ended, and what failed is missing from it."""
    where, name, costs = FAULTS[fault]
    for module in where if isinstance(where, tuple) else (where,):
        monkeypatch.setattr(module, name, broken)
    handler = SentryStreamHandler("support-bot")
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        assert await text_of(way, handler) == TEXT
    span = captured.find(op="gen_ai.chat")
    assert costs.isdisjoint(span.attributes)
    if fault != "all attributes":
        assert span.attributes["pipeline_name"] == "support-bot"
        assert span.attributes["langchain_stream.outcome"] == "completed"
    assert handler.live_runs == 0
    assert captured.events == []
    assert "a very private prompt" not in caplog.text


STEPS: dict[str, tuple[str, str, str, str]] = {
    "a tool's arguments": ("tool_arguments", "tool", "execute_tool ask", "gen_ai.tool.call.arguments"),
    "a tool's result": ("tool_result", "tool", "execute_tool ask", "gen_ai.tool.call.result"),
    "a retriever's documents": ("retrieved_documents", "retriever", "retrieve _Retriever", "langchain_stream.found"),
    "an agent's question": ("agent_question", "agent", "invoke_agent LangGraph", "gen_ai.input.messages"),
    "an agent's answer": ("agent_answer", "agent", "invoke_agent LangGraph", "gen_ai.output.messages"),
}
"""What fails, the function and the application that it fails in, the span, and the attribute that it costs."""


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("fault", STEPS)
async def test_a_failing_part_of_a_step_costs_its_own_attribute(
    fault: str, way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tool, a retriever and an agent of which something cannot be read keep their spans, and what is below them."""
    name, app, wanted, cost = STEPS[fault]
    original = getattr(steps, name)
    subject = next(subject for subject in SUBJECTS if subject.name == app)
    trees: list[str] = []
    told: list[bool] = []

    def unreadable(*given: Any) -> Any:
        allowed = given[-1]
        return broken() if allowed.inputs or allowed.outputs else original(*given)

    for function in (original, unreadable):
        monkeypatch.setattr(steps, name, function)
        handler = SentryStreamHandler()
        with capture_spans(**content_allowed(True)) as captured:
            await way.run(subject.make(ScriptedModel()), subject.question, {"callbacks": [handler]})
        trees.append(captured.tree())
        told.append(cost in captured.find(name=wanted).attributes)
        assert handler.live_runs == 0
    assert trees[0] == trees[1]
    assert told == [True, False]
    assert "a very private prompt" not in caplog.text


class Unreadable:
    """What nobody can make a text of."""

    def __str__(self) -> str:
        return str(broken())


@pytest.mark.parametrize("odd", [{"tags": [3]}, {"metadata": {"thread_id": Unreadable()}}], ids=["tags", "metadata"])
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_odd_tags_and_metadata_cost_nothing_else(subject: Any, odd: dict[str, Any]) -> None:
    """Tags and ids of the user's that are no texts are left out; every span is where it would be without them."""
    trees = []
    for config in ({}, odd):
        with capture_spans(**content_allowed(True)) as captured:
            subject.make(ScriptedModel()).invoke(subject.question, {"callbacks": [SentryStreamHandler()], **config})
        trees.append(captured.tree())
    assert trees[0] == trees[1]


class Untouchable(Unreadable):
    """What fails whatever it is asked, as a proxy does whose request is over."""

    def __getattr__(self, name: str) -> Any:
        broken()


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_tool_that_returns_what_cannot_be_touched_ends(shape: str) -> None:
    """Whatever a tool returns its run ends when it does, and not when somebody looks for what was left open."""
    handler = SentryStreamHandler()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        for event, given in (("start", ({"name": "odd"}, "x")), ("end", (Untouchable(),))):
            getattr(handler, f"on_tool_{event}")(*given, run_id=UUID(int=1))
        assert handler.live_runs == 0
    span = captured.find(op="gen_ai.execute_tool")
    assert span.attributes["langchain_stream.outcome"] == "completed"
    assert span.attributes["gen_ai.tool.call.result"] == '"[Untouchable]"'


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(("module", "function"), [(active_span, "enter"), (active_span, "leave"), (inside, "find")])
@needs_async_context(lambda subject, way: subject.name in ("agent", "tool") and is_async(way))
async def test_what_cannot_be_made_active_is_recorded_all_the_same(
    module: Any, function: str, subject: Any, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the active span of a run cannot be found, the spans of runs are there all the same."""
    monkeypatch.setattr(module, function, broken)
    handler = SentryStreamHandler()
    with capture_spans() as captured:
        await way.run(subject.make(ScriptedModel()), subject.question, {"callbacks": [handler]})
    outcomes = [span.attributes["langchain_stream.outcome"] for span in captured.find_all(op="gen_ai.chat")]
    assert outcomes == ["completed"] * subject.calls
    assert handler.live_runs == 0


@pytest.mark.parametrize("where", ["request", "parameters", "response", "usage", "timing", "content"])
def test_a_failing_group_of_attributes_leaves_the_others(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group of attributes stands for itself: the span keeps what the other groups state."""
    groups = [(group, broken if tell.__name__ == where else tell) for group, tell in attributes._CALL]
    monkeypatch.setitem(attributes._OF, Call, tuple(groups))
    with capture_spans(**content_allowed(True)) as captured:
        for _ in ScriptedModel().stream("Hi", {"callbacks": [SentryStreamHandler()]}, temperature=0.5):
            pass
    told = captured.find(op="gen_ai.chat").attributes
    present = {
        "request": "gen_ai.request.model" in told,
        "parameters": "gen_ai.request.temperature" in told,
        "response": "gen_ai.response.streaming" in told,
        "usage": "gen_ai.usage.output_tokens" in told,
        "timing": "langchain_stream.chunks" in told,
        "content": "gen_ai.output.messages" in told,
    }
    assert [name for name, there in present.items() if not there] == [where]


@pytest.mark.parametrize("argument", ["redact", "token_counter"])
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_failing_function_of_the_users(
    shape: str, way: Way, argument: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A `redact` that raises drops the texts, a `token_counter` that raises its numbers; said once each, no text."""
    options: dict[str, Any] = {argument: broken}
    handler = SentryStreamHandler(**options)
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        for _ in range(3):
            assert await text_of(way, handler) == TEXT
    for span in captured.find_all(op="gen_ai.chat"):
        assert span.attributes["langchain_stream.outcome"] == "completed"
        recorded = span.attributes.get("gen_ai.output.messages", "")
        assert ("one" in recorded) is (argument == "token_counter")
    said = [record.getMessage() for record in caplog.records if record.name == "sentry_langchain_stream"]
    assert said
    assert len(said) == len(set(said))
    assert "a very private prompt" not in caplog.text
    assert b"a very private prompt" not in b"".join(captured.envelopes)


@pytest.mark.parametrize("part", ["start", "finish", "current", "recording"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_failing_backend_leaves_the_stream_alone(
    part: str, way: Way, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of Sentry's SDK fails, the stream is whole, no run stays live, and it is said once."""
    with capture_spans() as captured:
        backend = choose_backend(current_client())
        monkeypatch.setattr(type(backend), part, broken)
        handler = SentryStreamHandler()
        for _ in range(3):
            assert await text_of(way, handler) == TEXT
    assert handler.live_runs == 0
    assert captured.events == []
    assert 1 <= len([record for record in caplog.records if record.name == "sentry_langchain_stream"]) <= 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes(error: type[BaseException]) -> None:
    """Ctrl-C and the like are no failures of ours: they go through even when they hit our own code."""

    def interrupted(_: str) -> str:
        raise error

    handler = SentryStreamHandler(redact=interrupted)
    with capture_spans(**content_allowed(True)), pytest.raises(error):
        ScriptedModel().invoke("Hi", config={"callbacks": [handler]})
    assert handler.live_runs == 0


@pytest.mark.parametrize("fault", [(marks, "read_start"), (starts.Starts, "start")], ids=["read", "start"])
@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_a_start_that_fails_leaves_nothing_behind(
    subject: Any, fault: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id of a run that could not be started is given back, wherever its start has failed."""
    monkeypatch.setattr(*fault, broken)
    handler, before = SentryStreamHandler(), dict(enclosing.claims)
    with capture_spans() as captured:
        subject.make(ScriptedModel()).invoke(subject.question, {"callbacks": [handler]})
    assert handler.live_runs == 0
    assert captured.find_all(op="gen_ai.chat") == []
    assert enclosing.claims == before


def test_nothing_of_ours_reaches_sentry_as_an_issue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own complaint is a warning, which Sentry's logging integration does not turn into an issue."""
    monkeypatch.setattr(starts.Starts, "start", broken)
    logging.getLogger("sentry_langchain_stream").setLevel(logging.DEBUG)
    captured: Captured
    with capture_spans() as captured:
        ScriptedModel().invoke("Hi", config={"callbacks": [SentryStreamHandler()]})
    assert captured.events == []
