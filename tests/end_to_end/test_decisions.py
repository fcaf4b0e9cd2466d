"""Decision models: calls of a provider that LangChain signals as chains of the type "llm"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import sentry_sdk
from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import Limits, SentryStreamHandler, watch_runs
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.canary import Shelf
from tests.kit.wire import BOTH_MODELS, WAYS, WIRE_SHAPES, Way, content_allowed

pytest.importorskip("langchain_core.decisions", reason="needs decision models, which came with langchain-core 1.8")

from langchain_core.decisions import BaseDecisionModel, ClassifierResponse, Noul, NoulAnswer

CANARY = "canary42cd"
ASKED: Any = {"state": f"Is it late? {CANARY}", "questions": {"late": Noul(instructions=f"late? {CANARY}")}}
USAGE: Any = {"input_tokens": 77, "output_tokens": 3, "total_tokens": 80}


class Judge(BaseDecisionModel):
    """A decision model that answers, or fails."""

    model: str = "judge-1"
    fails: int = 0
    """How many of its first calls fail."""
    usage: Any = USAGE

    @property
    def _provider(self) -> str:
        return "mistralai"

    def _classify(self, state: Any, questions: Any) -> ClassifierResponse:
        if self.fails:
            self.fails -= 1
            raise TimeoutError("no decision")
        answers: Any = {name: NoulAnswer(type="noul", noul=0.25) for name in questions}
        return ClassifierResponse(model="judge-1-2026", answers=answers, usage=self.usage, request_id="req-1")


@pytest.fixture(params=WIRE_SHAPES)
def captured(request: pytest.FixtureRequest) -> Iterator[Captured]:
    """What is sent in each wire shape."""
    with capture_spans(**WIRE_SHAPES[request.param]) as found:
        yield found


def about(span: CapturedSpan) -> dict[str, Any]:
    """What a span says of the model, the tokens and the outcome."""
    names = ("provider.name", "request.model", "response.model", "response.id", "operation.name")
    tokens = ("usage.input_tokens", "usage.output_tokens", "usage.total_tokens")
    keys = (*(f"gen_ai.{name}" for name in (*names, *tokens)), "langchain_stream.outcome", "error.type")
    return {key: span.attributes[key] for key in keys if key in span.attributes}


ANSWERED = {
    "gen_ai.operation.name": "evaluate",
    "gen_ai.provider.name": "mistral_ai",
    "gen_ai.request.model": "judge-1",
    "gen_ai.response.model": "judge-1-2026",
    "gen_ai.response.id": "req-1",
    "gen_ai.usage.input_tokens": 77,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.usage.total_tokens": 80,
    "langchain_stream.outcome": "completed",
}
FAILED = {
    "gen_ai.operation.name": "evaluate",
    "gen_ai.provider.name": "mistral_ai",
    "gen_ai.request.model": "judge-1",
    "langchain_stream.outcome": "failed",
    "error.type": "TimeoutError",
}


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a chain"])
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_decision_is_a_model_call(captured: Captured, way: Way, inside: bool) -> None:
    """Its span has the provider, both models and the tokens, and is below the pipeline."""
    app: Runnable[Any, Any] = RunnableLambda(lambda asked: asked) | Judge() if inside else Judge()
    await way.run(app, ASKED, {"callbacks": [SentryStreamHandler()]})
    pipeline, decision = captured.find(op="function"), captured.find(op="gen_ai.evaluate")
    assert len(captured.spans) == 2
    assert (decision.name, decision.parent_id) == ("evaluate judge-1", pipeline.span_id)
    assert about(decision) == ANSWERED


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_decision_that_fails(captured: Captured, way: Way) -> None:
    """It is a failed call, without tokens, and one issue."""
    with pytest.raises(TimeoutError):
        await way.run(Judge(fails=1), ASKED, {"callbacks": [SentryStreamHandler()]})
    assert about(captured.find(op="gen_ai.evaluate")) == FAILED
    assert len(captured.events) == 1


def graph(judge: Judge, times: int = 1) -> Any:
    """A graph whose only node decides so many times, each time something else."""

    def decide(state: MessagesState) -> dict[str, Any]:
        for number in range(times):
            with suppress(TimeoutError):
                judge.invoke({"state": "?" * number, "questions": ASKED["questions"]})
        return {"messages": []}

    made = StateGraph(MessagesState)
    made.add_node("decide", decide)
    made.add_edge(START, "decide")
    return made.compile(name="triage")


def test_tokens_are_counted_once(captured: Captured) -> None:
    """The agent, `watch_runs` and the metrics have the tokens of a decision, each once."""
    with watch_runs() as runs:
        graph(Judge()).invoke({"messages": []}, {"callbacks": [SentryStreamHandler(metrics=True)]})
    agent = captured.find(op="gen_ai.invoke_agent")
    assert agent.attributes["gen_ai.usage.total_tokens"] == 80
    assert [(run.model_calls, run.total_tokens) for run in runs] == [(1, 80)]
    found = [item for kind, payload in captured.items if kind == "trace_metric" for item in payload["items"]]
    tokens = {each["name"].rpartition(".")[2]: each["value"] for each in found if "usage" in each["name"]}
    assert tokens == {"input_tokens": 77, "output_tokens": 3}


def test_an_unsampled_decision_has_its_metrics() -> None:
    """Where the trace is not sampled, the tokens are still in the metrics, and nothing of the content is kept."""
    seen: list[str] = []
    handler = SentryStreamHandler(metrics=True, redact=lambda text: seen.append(text) or text)  # type: ignore[func-returns-value]
    with capture_spans(traces_sample_rate=0.0, **content_allowed(True)) as captured:
        Judge().invoke(ASKED, {"callbacks": [handler]})
    found = [item for kind, payload in captured.items if kind == "trace_metric" for item in payload["items"]]
    assert 77 in [each["value"] for each in found]
    assert seen == []


def test_another_decision_is_no_further_attempt(captured: Captured) -> None:
    """A decision in the same node, after one that failed, is a retry only if it is asked the same."""
    graph(Judge(fails=1), times=2).invoke({"messages": []}, {"callbacks": [SentryStreamHandler()]})
    found = captured.find_all(op="gen_ai.evaluate")
    assert [span.attributes["langchain_stream.outcome"] for span in found] == ["failed", "completed"]
    assert not any("langchain_stream.attempt" in span.attributes for span in found)


def test_without_usage_there_are_no_tokens(captured: Captured) -> None:
    """The answers are probabilities, so there is no estimate."""
    Judge(usage=None).invoke(ASKED, {"callbacks": [SentryStreamHandler()]})
    assert not [key for key in captured.find(op="gen_ai.evaluate").attributes if "usage" in key]


@pytest.mark.parametrize("shape", BOTH_MODELS)
@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "not allowed"])
def test_content_leaves_only_if_it_may(shape: str, allowed: bool) -> None:
    """The state, the questions and the answers are recorded as Sentry shows evaluations, redacted, or not at all."""
    handler = SentryStreamHandler(redact=lambda text: text.replace(CANARY, "[hidden]"))
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        Judge().invoke(ASKED, {"callbacks": [handler]})
    found = captured.find(op="gen_ai.evaluate").attributes
    assert CANARY.encode() not in b"".join(captured.envelopes)
    if not allowed:
        assert not found.keys() & {"gen_ai.input.messages", "gen_ai.output.messages"}
        return
    asked, answered = (json.loads(found[f"gen_ai.{name}.messages"]) for name in ("input", "output"))
    questions = {"late": {"type": "noul", "instructions": "late? [hidden]"}}
    assert asked == [{"type": "evaluation", "state": "Is it late? [hidden]", "questions": questions}]
    assert answered == [{"type": "evaluation", "answers": {"late": {"type": "noul", "noul": 0.25}}}]


def test_in_the_dialect_of_2024_it_has_a_predefined_op() -> None:
    """Sentry knows no decisions there: the call has the op of its platform, and the pipeline's name."""
    with capture_spans() as captured:
        Judge().invoke(ASKED, {"callbacks": [SentryStreamHandler(dialect="ai", pipeline_name="triage")]})
    decision = captured.find(op="ai.chat_completions.create.langchain")
    assert (decision.name, decision.attributes["gen_ai.operation.name"]) == ("triage", "evaluate")


def test_a_long_state_is_within_the_limits() -> None:
    """Whatever is asked, the attribute is JSON and no longer than the limit."""
    state: Any = ['"\\' * 50_000, {"images": ["x" * 9_000] * 400}]
    with capture_spans(**content_allowed(True)) as captured:
        Judge().invoke({"state": state, "questions": ASKED["questions"]}, {"callbacks": [SentryStreamHandler()]})
    found = captured.find(op="gen_ai.evaluate").attributes["gen_ai.input.messages"]
    assert json.loads(found)[0]["questions"]["late"]["type"] == "noul"
    assert len(found.encode()) <= Limits().attribute


def test_in_a_large_transaction_it_is_kept_as_a_model_call_is() -> None:
    """Where a transaction is too large for Sentry, documents give way before what a decision model was asked."""
    config: Any = {"callbacks": [SentryStreamHandler()]}
    shelf = Shelf(holds=Document("word " * 4_000))
    state: Any = ["long " * 4_000] * 4
    with (
        capture_spans(stream_gen_ai_spans=False, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(50):
            shelf.invoke("Where?", config=config)
        Judge().invoke({"state": state, "questions": ASKED["questions"]}, config)
    found = [span.attributes.get("langchain_stream.found", "") for span in captured.spans]
    assert any("characters cut" in each for each in found)
    (asked,) = json.loads(captured.find(op="gen_ai.evaluate").attributes["gen_ai.input.messages"])
    assert asked["state"] == state


@pytest.mark.filterwarnings("ignore:The class `OpenAIDecisions` is in beta")
@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_the_decisions_of_openai(captured: Captured, way: Way) -> None:
    """The answer of `OpenAIDecisions` is another class, and is read the same way."""
    decisions = pytest.importorskip("langchain_openai.decisions", reason="needs langchain-openai 1.7.4")
    compat: Any = pytest.importorskip("langchain_openai._compat")
    httpx = compat.httpx
    answer = {
        "model": "gpt-6-luna-2026",
        "answers": [{"type": "predicate", "name": "late", "probability": 0.9}],
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=answer, headers={"x-request-id": "req-9"}))
    with httpx.Client(transport=transport) as client:
        async with httpx.AsyncClient(transport=transport) as async_client:
            model = decisions.OpenAIDecisions(
                model="gpt-6-luna", api_key="none", http_client=client, http_async_client=async_client
            )
            asked = {"input": "Is it late?", "questions": {"late": decisions.Predicate(instructions="late?")}}
            await way.run(model, asked, {"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.evaluate")
    assert span.name == "evaluate gpt-6-luna"
    assert about(span) == {
        **ANSWERED,
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-6-luna",
        "gen_ai.response.model": "gpt-6-luna-2026",
        "gen_ai.response.id": "req-9",
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.total_tokens": 7,
    }


def test_a_decision_that_gives_way_is_still_an_evaluation() -> None:
    """What replaces its content has the shape of the content, so that Sentry's page shows it as one."""
    asked: Any = {**ASKED, "state": "word " * 3_800}
    with (
        capture_spans(stream_gen_ai_spans=False, **content_allowed(True)) as captured,
        sentry_sdk.start_transaction(name="request", op="http.server"),
    ):
        for _ in range(70):
            Judge().invoke(asked, {"callbacks": [SentryStreamHandler()]})
    spans = captured.find_all(op="gen_ai.evaluate")
    found = [json.loads(str(span.attributes["gen_ai.input.messages"])) for span in spans]
    assert {each["type"] for (each,) in found} == {"evaluation"}
    assert any("characters cut" in each["state"] for (each,) in found)
