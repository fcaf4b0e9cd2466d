"""What of a run's content may be recorded."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream.privacy import NOTHING, TEXT_LIMIT, Policy, cut


def refuse(text: str) -> str:
    """A redaction that fails."""
    raise ValueError(text)


@pytest.mark.parametrize(("inputs", "outputs", "include"), list(itertools.product([True, False], repeat=3)))
def test_content_needs_the_client_and_no_veto(inputs: bool, outputs: bool, include: bool) -> None:
    """Each direction is recorded if the client allows it and `include_prompts` does not veto both."""
    policy = Policy.decide(client_inputs=inputs, client_outputs=outputs, include_prompts=include, redact=str.upper)
    assert (policy.inputs, policy.outputs) == (inputs and include, outputs and include)
    if include:
        assert policy.redact is str.upper


@pytest.mark.parametrize("policy", [Policy(), NOTHING])
def test_nothing_is_recorded_unless_decided(policy: Policy) -> None:
    """By default neither inputs nor outputs may be recorded."""
    assert not policy.inputs
    assert not policy.outputs


@pytest.mark.parametrize("text", ["", "Hello", "größer 🙂", "x" * TEXT_LIMIT])
def test_a_text_is_kept_as_it_is(text: str) -> None:
    """Without a redaction, a text within the limit is kept unchanged."""
    assert Policy(True, True).text(text) == text


def test_redaction_sees_the_whole_text_once_before_it_is_cut() -> None:
    """`redact` is called once, with the whole text, however long; what it returns is cut."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("b", "c")

    text = "a" * TEXT_LIMIT + "b" * TEXT_LIMIT
    assert Policy(True, True, redact).text(text) == cut("a" * TEXT_LIMIT + "c" * TEXT_LIMIT)
    assert seen == [text]


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("answer", [None, 3, b"bytes", ["text"]])
def test_a_redaction_that_returns_no_text_drops_it(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """If `redact` returns something else than a str, the text is dropped, and that is said."""
    assert Policy(True, True, lambda text: answer).text("the prompt") is None
    assert "redact failed with TypeError" in caplog.text


@pytest.mark.usefixtures("lenient")
def test_a_redaction_that_raises_drops_the_text(caplog: pytest.LogCaptureFixture) -> None:
    """If `redact` raises, the text is dropped, not sent, and the log does not quote it."""
    assert Policy(True, True, refuse).text("the prompt") is None
    assert "redact failed with ValueError" in caplog.text
    assert "the prompt" not in caplog.text


def test_a_redaction_that_raises_is_not_hidden_from_our_tests() -> None:
    """When strict, what `redact` raises is raised."""
    with pytest.raises(ValueError, match="the prompt"):
        Policy(True, True, refuse).text("the prompt")


def test_an_empty_redaction_is_a_text() -> None:
    """A text redacted to nothing is empty, not dropped."""
    assert Policy(True, True, lambda text: "").text("the prompt") == ""


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(0, 70))
def test_cutting_keeps_both_ends_and_says_how_much_is_missing(text: str, limit: int) -> None:
    """A text within the limit is unchanged; of a longer one at most `limit` characters remain, from both ends."""
    result = cut(text, limit)
    if len(text) <= limit:
        assert result == text
        return
    half = limit // 2
    missing = len(text) - 2 * half
    tail = text[len(text) - half :]
    assert result == f"{text[:half]}[... {missing} characters cut ...]{tail}"


def test_the_default_limit_applies() -> None:
    """One character over the default limit, and the middle is cut."""
    text = "a" + "m" * (TEXT_LIMIT - 1) + "z"
    result = Policy(True, True).text(text)
    assert result is not None
    assert re.fullmatch(r"am{9999}\[\.\.\. 1 characters cut \.\.\.\]m{9999}z", result)
