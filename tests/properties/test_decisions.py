"""What decision models are asked and answer, whatever it is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sentry_langchain_stream._content.cutting import size
from sentry_langchain_stream._content.decisions import answered, asked
from sentry_langchain_stream._content.policy import Policy
from tests.kit.strategies import PLANTED, parsed, policies, values

names = st.sampled_from(["type", "instructions", "criteria", "legend", "choice", "probabilities", "state", "questions"])
odd = values(names)
entries = st.dictionaries(
    st.text(max_size=9),
    st.fixed_dictionaries(
        {}, optional={"type": st.sampled_from(["noul", "predicate"]) | odd, "criteria": odd, "legend": odd}
    ),
    max_size=4,
)


@given(odd, odd | entries, policies)
def test_whatever_is_asked_and_answered_is_an_evaluation(state: Any, said: Any, policy: Policy) -> None:
    """Anything in place of a state, of questions and of answers yields JSON in the page's shape, within its limit."""
    for told, keys in (
        (asked(state, policy), {"type", "state", "questions"}),
        (asked({"state": state, "questions": said}, policy), {"type", "state", "questions"}),
        (answered(said, policy), {"type", "answers"}),
    ):
        assert size(told) <= policy.limits.attribute
        (item,) = parsed(told)
        assert item["type"] == "evaluation"
        assert item.keys() <= keys


@given(values(st.text(max_size=3)))
def test_a_redaction_reaches_every_text_of_a_decision(value: Any) -> None:
    """A word that `redact` removes is nowhere in what is recorded, wherever it stood, also as a type."""
    policy = Policy(True, True, lambda text: text.replace(PLANTED, "gone"))
    said = {"q": {"type": f"a {PLANTED}", "instructions": [value, PLANTED], "criteria": {"a": f"{PLANTED} b"}}}
    assert PLANTED not in asked({"state": [value, {"b": f"{PLANTED} b"}], "questions": said}, policy)
    assert PLANTED not in answered(said, policy)
