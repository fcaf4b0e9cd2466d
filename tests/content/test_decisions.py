"""What decision models are asked and answer, in the shape that Sentry's page of an evaluation reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentry_langchain_stream._content.decisions import answered, asked
from sentry_langchain_stream._content.policy import Limits, Policy

ALLOWED = Policy(True, True)


def question(policy: Policy = ALLOWED, **fields: Any) -> Any:
    """A question as it is recorded."""
    return json.loads(asked({"state": "s", "questions": {"q": fields}}, policy))[0]["questions"]["q"]


def answer(policy: Policy = ALLOWED, **fields: Any) -> Any:
    """An answer as it is recorded."""
    return json.loads(answered({"q": fields}, policy))[0]["answers"]["q"]


def test_a_question_has_no_null() -> None:
    """A field without a value is left out, and an option without a description has an empty one."""
    assert question(type="noul", instructions="?", criteria=None) == {"type": "noul", "instructions": "?"}
    assert question(type="choice", criteria={"a": None, "b": "B"})["criteria"] == {"a": "", "b": "B"}
    assert question(type="score", criteria=["low", None])["criteria"] == ["low", ""]


def test_an_answer_has_no_null() -> None:
    """A field without a value is left out, and a level of a score is named by a text."""
    assert answer(type="box", box={"top": 0.5}, confidence=None) == {"type": "box", "box": {"top": 0.5}}
    assert answer(type="score", score=0.2, legend={0: None, 1: "high"})["legend"] == {"0": "", "1": "high"}


def test_openais_words_become_those_of_the_page() -> None:
    """What `OpenAIDecisions` calls an input is the state, and a predicate is a boolean."""
    (item,) = json.loads(asked({"input": "s", "questions": {"q": {"type": "predicate"}}}, ALLOWED))
    assert item == {"type": "evaluation", "state": "s", "questions": {"q": {"type": "boolean"}}}
    assert answer(type="predicate", probability=0.9) == {"type": "boolean", "probability": 0.9}


def test_every_text_is_redacted_but_a_known_type() -> None:
    """The type is structure, by which the page reads the rest; a type that is not known may be anybody's words."""
    policy = Policy(True, True, lambda text: "[hidden]")
    assert question(policy, type="choice", instructions="?", criteria={"a": "A"}) == {
        "type": "choice",
        "instructions": "[hidden]",
        "criteria": {"a": "[hidden]"},
    }
    assert answer(policy, type="choice", choice="a", probabilities={"a": 1.0}) == {
        "type": "choice",
        "choice": "[hidden]",
        "probabilities": {"a": 1.0},
    }
    assert question(policy, type="my secret")["type"] == "[hidden]"
    assert json.loads(asked({"state": {"type": "noul"}}, policy))[0]["state"] == {"type": "[hidden]"}


@pytest.mark.usefixtures("lenient")
def test_a_text_that_could_not_be_redacted_is_left_out() -> None:
    """Where `redact` fails, the question stays, without the text."""

    def redact(text: str) -> str:
        raise ValueError

    assert question(Policy(True, True, redact), type="noul", instructions="?") == {"type": "noul"}


def test_a_long_state_leaves_the_questions_and_their_marks() -> None:
    """The questions are kept beside a state that is too long, and a mark stands for what was cut of either."""
    policy = Policy(True, True, limits=Limits(part=2_000, attribute=2_000, span=8_000))
    state, options = "s" * 9_000, {f"option {number}": "o" * 100 for number in range(50)}
    (item,) = json.loads(asked({"state": state, "questions": {"q": {"type": "noul", "instructions": "?"}}}, policy))
    assert "characters cut" in item["state"]
    assert item["questions"] == {"q": {"type": "noul", "instructions": "?"}}
    (item,) = json.loads(asked({"state": "s", "questions": {"q": {"type": "choice", "criteria": options}}}, policy))
    assert item["state"] == "s"
    assert item["questions"]["q"]["criteria"]["..."] == "[... cut ...]"


@pytest.mark.parametrize("inputs", ["said", ["said"], {"anything": "said"}], ids=str)
def test_any_other_input_is_the_state(inputs: Any) -> None:
    """What has neither a state nor an input is recorded as it is."""
    assert json.loads(asked(inputs, ALLOWED)) == [{"type": "evaluation", "state": inputs}]


def test_questions_alone_have_no_state() -> None:
    """Where an input has questions and nothing else, they are recorded once, and there is no state and no null."""
    assert json.loads(asked(None, ALLOWED)) == [{"type": "evaluation"}]
    questions = {"q": {"type": "noul", "instructions": "?"}}
    assert json.loads(asked({"questions": questions}, ALLOWED)) == [{"type": "evaluation", "questions": questions}]
