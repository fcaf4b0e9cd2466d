"""Evaluations and user feedback of a run: at once, or later by its ids."""

from __future__ import annotations

import copy
import json
import math
import pickle
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
import sentry_sdk
from langchain_core.runnables import RunnableLambda

from sentry_langchain_stream import (
    RunInfo,
    SentryStreamHandler,
    SentryStreamIntegration,
    record_evaluation,
    record_feedback,
    track_stream,
    watch_runs,
)
from sentry_langchain_stream._to_sentry import internals, scope_internals
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, active_span, content_allowed

IDS: dict[str, Any] = {"trace_id": "a" * 32, "span_id": "b" * 16}
CANARY = "canary3f2a"


def told(captured: Captured, kind: str) -> list[Any]:
    """The payloads of one kind that left; of metrics each one."""
    found = [payload for each, payload in captured.items if each == kind]
    return [metric for each in found for metric in each["items"]] if kind == "trace_metric" else found


def hide(text: str) -> str:
    """A user's `redact`."""
    return text.replace(CANARY, "[hidden]")


def a_run(**settings: Any) -> RunInfo:
    """A run of a handler with these settings."""
    handler = SentryStreamHandler(**settings)
    with handler.watch() as runs:
        ScriptedModel().invoke("Hi", {"callbacks": [handler]})
    return runs[0]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_an_evaluation_is_a_span_in_the_trace_of_its_run(shape: str, way: Way) -> None:
    """It is a child of the run's span, wherever it is recorded, with the score, the label and metrics beside it."""
    handler = SentryStreamHandler("support-bot")
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        with handler.watch() as runs:
            await way.run(ScriptedModel(), "Hi", {"callbacks": [handler]})
        with active_span(shape, "another request"):
            record_evaluation(runs[0], name="relevance", score=4, label="relevant", explanation=CANARY)
        assert sentry_sdk.get_current_span() is None
    span = captured.find(op="gen_ai.evaluate")
    assert (span.trace_id, span.parent_id) == (runs[0].trace_id, runs[0].span_id)
    assert span.name == "evaluate relevance"
    assert span.attributes["gen_ai.operation.name"] == "evaluate"
    assert span.attributes["gen_ai.evaluation.name"] == "relevance"
    assert span.attributes["gen_ai.evaluation.score.value"] == 4.0
    assert span.attributes["gen_ai.evaluation.score.label"] == "relevant"
    assert span.attributes["gen_ai.pipeline.name"] == "support-bot"
    score, count = told(captured, "trace_metric")
    assert (score["name"], score["value"]) == ("langchain_stream.evaluation.score", 4.0)
    assert (count["name"], count["value"]) == ("langchain_stream.evaluations", 1)
    for each in (score, count):
        assert (each["trace_id"], each["span_id"]) == (span.trace_id, span.span_id)
        assert each["attributes"]["gen_ai.evaluation.score.label"]["value"] == "relevant"
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_ids_are_enough(shape: str) -> None:
    """Of another process's run the ids are known: the span and the feedback belong to them."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        record_evaluation(**IDS, name="relevance", label="relevant")
        record_feedback(**IDS, thumbs="down")
    span = captured.find(op="gen_ai.evaluate")
    (feedback,) = told(captured, "feedback")
    assert (span.trace_id, span.parent_id) == (IDS["trace_id"], IDS["span_id"])
    assert feedback["contexts"]["trace"] == IDS
    assert "gen_ai.evaluation.score.value" not in span.attributes
    assert [each["name"] for each in told(captured, "trace_metric")] == ["langchain_stream.evaluations"]


@pytest.mark.parametrize("options", [{"traces_sample_rate": 0.0}, {"traces_sample_rate": None}], ids=str)
def test_of_an_unsampled_run_the_metrics_are_recorded(options: dict[str, Any]) -> None:
    """A run without ids has no span in Sentry to be a parent, and its score counts all the same."""
    with capture_spans(**options) as captured:
        record_evaluation(a_run(), name="relevance", score=0.5)
    assert captured.spans == []
    assert len(told(captured, "trace_metric")) == 2


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_explanation_is_content(shape: str) -> None:
    """It leaves if the client and the handler of the run allow outputs, redacted by that handler and the caller."""
    evaluate: dict[str, Any] = {"name": "relevance", "label": "ok", "explanation": f"It says {CANARY} and more."}
    cases: list[tuple[bool, dict[str, Any], dict[str, Any], str | None]] = [
        (True, {}, {}, f"It says {CANARY} and more."),
        (False, {}, {}, None),
        (True, {"include_prompts": False}, {}, None),
        (True, {"redact": hide}, {}, "It says [hidden] and more."),
        (True, {"redact": hide}, {"redact": str.upper}, "IT SAYS [HIDDEN] AND MORE."),
        (True, {}, {"redact": hide}, "It says [hidden] and more."),
    ]
    for allowed, settings, more, expected in cases:
        with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
            record_evaluation(a_run(**settings), **evaluate, **more)
        span = captured.find(op="gen_ai.evaluate")
        assert span.attributes.get("gen_ai.evaluation.explanation") == expected
        messages = json.loads(span.attributes.get("gen_ai.output.messages", "null"))
        answers = {"relevance": {"type": "choice", "choice": "ok"}}
        assert messages == (None if expected is None else [{"type": "evaluation", "answers": answers}])
        if expected is None or CANARY not in expected:
            assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"score": 4}, {"type": "score", "score": 4.0}),
        ({"score": 0.9, "label": "good"}, {"type": "score", "score": 0.9, "legend": {"1": "good"}}),
        ({"score": 2.5, "label": "good"}, {"type": "score", "score": 2.5, "legend": {"3": "good"}}),
        ({"score": -2.5, "label": "bad"}, {"type": "score", "score": -2.5, "legend": {"-2": "bad"}}),
        ({"label": "good"}, {"type": "choice", "choice": "good"}),
    ],
    ids=str,
)
def test_a_score_is_shown_as_one(said: dict[str, Any], answer: dict[str, Any]) -> None:
    """Sentry's page gets a number, and the label under the number that it rounds the score to; or the label alone."""
    with capture_spans(**content_allowed(True)) as captured:
        record_evaluation(**IDS, name="relevance", **said)
    (item,) = json.loads(captured.find(op="gen_ai.evaluate").attributes["gen_ai.output.messages"])
    assert item == {"type": "evaluation", "answers": {"relevance": answer}}


def test_without_the_runs_handler_the_rules_of_the_process_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """By ids, the integration's handler decides, or the operator's veto."""
    evaluate: dict[str, Any] = {**IDS, "name": "relevance", "score": 1, "explanation": f"It says {CANARY}."}
    with capture_spans(**content_allowed(True)) as captured:
        record_evaluation(**evaluate)
    assert CANARY in captured.find(op="gen_ai.evaluate").attributes["gen_ai.evaluation.explanation"]
    for settings in ({"include_prompts": False}, {"redact": hide}):
        ours = SentryStreamIntegration(providers=False, **settings)
        with capture_spans(integrations=[ours], **content_allowed(True)) as captured:
            record_evaluation(**evaluate)
        assert CANARY.encode() not in b"".join(captured.envelopes)
    monkeypatch.setenv("SENTRY_LANGCHAIN_INCLUDE_PROMPTS", "no")
    with capture_spans(**content_allowed(True)) as captured:
        record_evaluation(**evaluate)
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_feedback_is_linked_and_has_its_scope(shape: str) -> None:
    """What a user says arrives as user feedback of the trace and the span, by the user of the current scope."""
    with capture_spans(**WIRE_SHAPES[shape], release="shop@1", before_send=lambda event, hint: None) as captured:
        run = a_run(pipeline_name="support-bot")
        sentry_sdk.set_user({"id": "7"})
        sentry_sdk.add_breadcrumb(message=CANARY)
        sent = record_feedback(run, thumbs="down", score=2, comment=" Wrong city. ", name="Ada", email="a@x.org")
        only = record_feedback(run, score=2)
    first, second = told(captured, "feedback")
    assert [first["event_id"], second["event_id"]] == [sent, only]
    assert first["type"] == "feedback"
    assert first["contexts"]["trace"] == {"trace_id": run.trace_id, "span_id": run.span_id}
    told_of = first["contexts"]["feedback"]
    assert (told_of["message"], told_of["name"], told_of["contact_email"]) == ("Wrong city.", "Ada", "a@x.org")
    assert first["tags"] == {
        "langchain_stream.thumbs": "down",
        "langchain_stream.score": "2",
        "langchain_stream.pipeline": "support-bot",
    }
    assert (first["user"], first["release"]) == ({"id": "7"}, "shop@1")
    assert second["contexts"]["feedback"]["message"] == "Score 2"
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize("settings", [{"redact": hide}, {"redact": hide, "include_prompts": False}], ids=len)
def test_a_comment_is_redacted(settings: dict[str, Any]) -> None:
    """The handler's `redact` sees the comment, also where it records no content, and so does the caller's."""
    with capture_spans() as captured:
        record_feedback(a_run(**settings), comment=f"I am {CANARY}")
        record_feedback(**IDS, comment=f"I am {CANARY}", redact=hide)
    assert [each["contexts"]["feedback"]["message"] for each in told(captured, "feedback")] == ["I am [hidden]"] * 2
    assert CANARY.encode() not in b"".join(captured.envelopes)


def seen_by_two(first: dict[str, Any], second: dict[str, Any]) -> RunInfo:
    """A run that two handlers see."""
    with watch_runs() as runs:
        ScriptedModel().invoke("Hi", {"callbacks": [SentryStreamHandler(**first), SentryStreamHandler(**second)]})
    return runs[0]


def of_a_stream(**_: Any) -> RunInfo:
    """The run of a tracked stream, for which the client's integration speaks too."""
    stream = track_stream(iter(["one "]), model="m")
    list(stream)
    assert stream.run_info is not None
    return stream.run_info


@pytest.mark.parametrize("allowed", [True, False], ids=["content allowed", "content forbidden"])
@pytest.mark.parametrize(
    ("make", "ours"),
    [
        (partial(seen_by_two, {"redact": hide}, {}), {}),
        (partial(seen_by_two, {}, {"redact": hide}), {}),
        (of_a_stream, {"redact": hide}),
    ],
    ids=["first handler", "second handler", "integration"],
)
def test_every_redact_of_a_run_sees_what_is_said_of_it(make: Any, ours: dict[str, Any], allowed: bool) -> None:
    """Whoever's it is: that of another handler which saw the run, or of the integration."""
    integrations = [SentryStreamIntegration(providers=False, **ours)] if ours else []
    with capture_spans(integrations=integrations, **content_allowed(allowed)) as captured:
        run = make()
        record_evaluation(run, name="relevance", score=1, explanation=f"It says {CANARY}.")
        record_feedback(run, comment=f"I am {CANARY}")
    assert [each["contexts"]["feedback"]["message"] for each in told(captured, "feedback")] == ["I am [hidden]"]
    assert CANARY.encode() not in b"".join(captured.envelopes)


def test_what_is_said_of_a_stream_inside_a_run_is_redacted_as_that_run() -> None:
    """The handler of the run around a tracked stream has its say."""
    runs: list[RunInfo] = []
    with capture_spans(**content_allowed(True)) as captured:
        chain: Any = RunnableLambda(lambda _: runs.append(of_a_stream()))
        chain.invoke("Hi", {"callbacks": [SentryStreamHandler(redact=hide)]})
        record_evaluation(runs[0], name="relevance", score=1, explanation=f"It says {CANARY}.")
        record_feedback(runs[0], comment=f"I am {CANARY}")
    assert captured.find(op="gen_ai.evaluate").attributes["gen_ai.evaluation.explanation"] == "It says [hidden]."
    assert CANARY.encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, replace, lambda run: pickle.loads(pickle.dumps(run))],
    ids=["copy", "deepcopy", "replace", "pickle"],
)
@pytest.mark.parametrize("settings", [{"redact": hide}, {"include_prompts": False}], ids=["redact", "no content"])
def test_a_copy_of_a_run_keeps_the_vetoes_of_its_handler(settings: dict[str, Any], copied: Any) -> None:
    """In the process where the run was, its id tells whose it is."""
    with capture_spans(**content_allowed(True)) as captured:
        record_evaluation(copied(a_run(**settings)), name="relevance", score=1, explanation=f"It says {CANARY}.")
    assert captured.find(op="gen_ai.evaluate")
    assert CANARY.encode() not in b"".join(captured.envelopes)


def test_settings_that_cannot_be_read_forbid_content_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistyped variable of the operator's is named, and what is no content is recorded all the same."""
    monkeypatch.setenv("SENTRY_LANGCHAIN_INCLUDE_PROMPTS", "wrong")
    with capture_spans(**content_allowed(True)) as captured:
        record_evaluation(**IDS, name="relevance", score=1, explanation=CANARY)
        assert record_feedback(**IDS, thumbs="up") is not None
    assert captured.find(op="gen_ai.evaluate").attributes["gen_ai.evaluation.score.value"] == 1.0
    assert CANARY.encode() not in b"".join(captured.envelopes)
    assert "SENTRY_LANGCHAIN_INCLUDE_PROMPTS" in caplog.text


def test_any_real_number_is_a_score() -> None:
    """Also one of another library's types, as those of numpy."""
    with capture_spans() as captured:
        record_evaluation(**IDS, name="relevance", score=Fraction(1, 4))  # type: ignore[arg-type]
    assert captured.find(op="gen_ai.evaluate").attributes["gen_ai.evaluation.score.value"] == 0.25


def test_a_tracked_stream_can_be_evaluated() -> None:
    """The run of a stream of any library is a run too."""
    with capture_spans() as captured:
        stream = track_stream(iter(["one "]), model="gpt-4o-mini")
        list(stream)
        record_evaluation(stream.run_info, name="relevance", score=1)
    assert captured.find(op="gen_ai.evaluate").parent_id == captured.find(op="gen_ai.chat").span_id


def test_a_run_info_can_be_stored() -> None:
    """A copy and a pickled one are equal and have the ids; what the handler allows does not travel."""
    with capture_spans():
        run = a_run(redact=lambda text: text)
    for other in (copy.copy(run), pickle.loads(pickle.dumps(run))):
        assert other == run
        assert other.span_id == run.span_id


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name must not be empty"),
    ({"name": 3}, "name must be a str, not int"),
    ({"score": "4"}, "score must be an int or a float, not str"),
    ({"score": True}, "score must be an int or a float, not bool"),
    ({"score": math.nan}, "score must be a finite number"),
    ({"score": 10**400}, "score must be a finite number"),
    ({"label": 1}, "label must be a str, not int"),
    ({"score": None}, "score or label is needed"),
    ({"explanation": b"x"}, "explanation must be a str or None, not bytes"),
    ({"redact": "x"}, "redact must be a callable"),
    ({"trace_id": None}, "trace_id is missing: pass run, or trace_id and span_id"),
    ({"span_id": 7}, "span_id must be a str of 16 hexadecimal digits, not int"),
    ({"trace_id": "xyz"}, "trace_id must be 32 hexadecimal digits that are not all 0, not 'xyz'"),
    ({"span_id": "0" * 16}, "span_id must be 16 hexadecimal digits that are not all 0"),
    ({"run": object()}, "run must be a RunInfo"),
]
WRONG_FEEDBACK: list[tuple[dict[str, Any], str]] = [
    ({"thumbs": "sideways"}, "thumbs must be 'up' or 'down', not 'sideways'"),
    ({"thumbs": None}, "thumbs, score or comment is needed"),
    ({"comment": 1}, "comment must be a str or None, not int"),
    ({"email": 1}, "email must be a str or None, not int"),
    ({"score": math.inf}, "score must be a finite number"),
]


def test_wrong_arguments_are_named() -> None:
    """An argument that cannot be sent raises and is named, with or without a client, and nothing is sent."""
    with capture_spans() as captured:
        for wrong, message in WRONG:
            with pytest.raises((TypeError, ValueError), match=message):
                record_evaluation(**{**IDS, "name": "relevance", "score": 1, **wrong})
        for wrong, message in WRONG_FEEDBACK:
            with pytest.raises((TypeError, ValueError), match=message):
                record_feedback(**{**IDS, "thumbs": "up", **wrong})
        with pytest.raises(TypeError, match="trace_id and span_id must be left out"):
            record_evaluation(a_run(), **IDS, name="relevance", score=1)
    assert told(captured, "trace_metric") == told(captured, "feedback") == []


def test_ids_may_be_spelled_in_any_way() -> None:
    """An id from a form or a header may have upper case and spaces: it is the same id."""
    with capture_spans() as captured:
        spelled: dict[str, Any] = {name: f" {value.upper()}\n" for name, value in IDS.items()}
        assert record_feedback(**spelled, thumbs="up")
    (sent,) = told(captured, "feedback")
    trace = sent["contexts"]["trace"]
    assert (trace["trace_id"], trace["span_id"]) == (IDS["trace_id"], IDS["span_id"])


def test_without_a_client_nothing_happens() -> None:
    """Without Sentry both functions do nothing."""
    record_evaluation(**IDS, name="relevance", score=1)
    assert record_feedback(**IDS, thumbs="up") is None


def test_an_event_processor_may_drop_feedback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application's event processors see feedback; without the SDK's private names it is sent all the same."""
    with capture_spans() as captured:
        monkeypatch.setattr(internals, "serialize", None)
        monkeypatch.setattr(scope_internals, "merged_scopes", None)
        assert record_feedback(**IDS, thumbs="up")
        sentry_sdk.get_current_scope().add_event_processor(lambda event, hint: None)
        assert record_feedback(**IDS, thumbs="up") is None
    assert len(told(captured, "feedback")) == 1
