"""Decision models: calls of a provider that LangChain signals as chains of the type "llm"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from sentry_langchain_stream import Limits, SentryStreamHandler, watch_runs
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
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
    "gen_ai.operation.name": "chat",
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
    "gen_ai.operation.name": "chat",
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
    pipeline, decision = captured.find(op="function"), captured.find(op="gen_ai.chat")
    assert len(captured.spans) == 2
    assert (decision.name, decision.parent_id) == ("chat judge-1", pipeline.span_id)
    assert about(decision) == ANSWERED


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_decision_that_fails(captured: Captured, way: Way) -> None:
    """It is a failed call, without tokens, and one issue."""
    with pytest.raises(TimeoutError):
        await way.run(Judge(fails=1), ASKED, {"callbacks": [SentryStreamHandler()]})
    assert about(captured.find(op="gen_ai.chat")) == FAILED
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
    found = captured.find_all(op="gen_ai.chat")
    assert [span.attributes["langchain_stream.outcome"] for span in found] == ["failed", "completed"]
    assert not any("langchain_stream.attempt" in span.attributes for span in found)


def test_without_usage_there_are_no_tokens(captured: Captured) -> None:
    """The answers are probabilities, so there is no estimate."""
    Judge(usage=None).invoke(ASKED, {"callbacks": [SentryStreamHandler()]})
    assert not [key for key in captured.find(op="gen_ai.chat").attributes if "usage" in key]


@pytest.mark.parametrize("shape", BOTH_MODELS)
@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "not allowed"])
def test_content_leaves_only_if_it_may(shape: str, allowed: bool) -> None:
    """The state, the questions and the answers are recorded as one message each, redacted, or not at all."""
    handler = SentryStreamHandler(redact=lambda text: text.replace(CANARY, "[hidden]"))
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        Judge().invoke(ASKED, {"callbacks": [handler]})
    found = captured.find(op="gen_ai.chat").attributes
    assert CANARY.encode() not in b"".join(captured.envelopes)
    if not allowed:
        assert not found.keys() & {"gen_ai.input.messages", "gen_ai.output.messages"}
        return
    (asked,), (answered,) = (json.loads(found[f"gen_ai.{name}.messages"]) for name in ("input", "output"))
    assert (asked["role"], answered["role"]) == ("user", "assistant")
    text = json.loads(asked["parts"][0]["content"])
    assert (text["state"], text["questions"]["late"]["instructions"]) == ("Is it late? [hidden]", "late? [hidden]")
    assert json.loads(answered["parts"][0]["content"]) == {"late": {"type": "noul", "noul": 0.25}}


def test_a_long_state_is_within_the_limits() -> None:
    """Whatever is asked, the attribute is JSON and no longer than the limit."""
    state: Any = ['"\\' * 50_000, {"images": ["x" * 9_000] * 400}]
    with capture_spans(**content_allowed(True)) as captured:
        Judge().invoke({"state": state, "questions": ASKED["questions"]}, {"callbacks": [SentryStreamHandler()]})
    found = captured.find(op="gen_ai.chat").attributes["gen_ai.input.messages"]
    assert json.loads(found)[0]["role"] == "user"
    assert len(found.encode()) <= Limits().attribute


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
    span = captured.find(op="gen_ai.chat")
    assert span.name == "chat gpt-6-luna"
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
