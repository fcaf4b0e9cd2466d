"""What of a run's content may be recorded."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._content.budget import Budget, Full, spelled
from sentry_langchain_stream._content.cutting import cut, size
from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import NOTHING, Limits, Policy

PART = Limits().part


def refuse(text: str) -> str:
    """A redaction that fails."""
    raise ValueError(text)


@pytest.mark.parametrize(("inputs", "outputs", "include"), list(itertools.product([True, False], repeat=3)))
def test_content_needs_the_client_and_no_veto(inputs: bool, outputs: bool, include: bool) -> None:
    """Each direction is recorded if the client allows it and `include_prompts` does not veto both."""
    policy = Policy.decide(client_inputs=inputs, client_outputs=outputs, include_prompts=include, redact=str.upper)
    assert (policy.inputs, policy.outputs) == (inputs and include, outputs and include)
    if policy.inputs or policy.outputs:
        assert policy.redact is str.upper


@pytest.mark.parametrize("policy", [Policy(), NOTHING])
def test_nothing_is_recorded_unless_decided(policy: Policy) -> None:
    """By default neither inputs nor outputs may be recorded."""
    assert not policy.inputs
    assert not policy.outputs


@pytest.mark.parametrize("text", ["", "Hello", "größer 🙂", "x" * PART])
def test_a_text_is_kept_as_it_is(text: str) -> None:
    """Without a redaction, a text within the limit is kept unchanged."""
    assert Policy(True, True).text(text) == text


def test_redaction_sees_the_whole_text_once_before_it_is_cut() -> None:
    """`redact` is called once, with the whole text, however long; what it returns is cut."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("b", "c")

    text = "a" * PART + "b" * PART
    assert Policy(True, True, redact).text(text) == cut("a" * PART + "c" * PART, PART)
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
    """A text within the limit is unchanged; a longer one becomes no longer than the limit, from both its ends."""
    result = cut(text, limit)
    assert len(result) <= limit or result == text
    if len(text) <= limit:
        assert result == text
        return
    match = re.fullmatch(r"(.*)\[\.\.\. (\d+) characters cut \.\.\.\](.*)", result, re.DOTALL)
    if match is None:  # there is room for no mark
        assert result == text[:limit]
        return
    head, missing, tail = match.group(1), int(match.group(2)), match.group(3)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) == len(tail) == (len(text) - missing) // 2


def test_the_default_limit_applies() -> None:
    """One character over the default limit, and the middle is cut."""
    text = "a" + "m" * (PART - 1) + "z"
    result = Policy(True, True).text(text)
    assert result is not None
    assert PART - 3 <= len(result) <= PART
    assert re.fullmatch(r"am{9984}\[\.\.\. 31 characters cut \.\.\.\]m{9984}z", result)


@pytest.mark.parametrize("text", ["data:a/b;base64,AA " * 2_000, f"data:image/png;base64,{'zQ7' * 300}" + "x " * 400])
def test_what_stands_in_place_of_little_data_keeps_to_the_limit_too(text: str) -> None:
    """Where the placeholders are longer than the data that they stand for, the text is cut the more."""
    assert 50 < len(Policy(True, True, limits=Limits(100, 2_000, 8_000)).text(text) or "") <= 100


# -- Limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "unit"), [("part", "characters"), ("attribute", "bytes"), ("span", "bytes")])
@pytest.mark.parametrize("value", [None, "1000", 1e5, True], ids=repr)
def test_a_limit_is_a_number(name: str, unit: str, value: Any) -> None:
    """A limit that is no int is refused, by its name."""
    with pytest.raises(TypeError, match=f"{name} must be an int, a number of {unit}, not {type(value).__name__}"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"part": 99}, "part must be at least 100 characters, not 99"),
        ({"part": -1}, "part must be at least 100 characters, not -1"),
        ({"attribute": 999}, "attribute must be at least 1000 bytes, not 999"),
        ({"span": 3_999}, "span must be at least 4000 bytes, not 3999"),
        ({"part": 3_000, "attribute": 2_000}, r"part must be at most attribute \(2000 bytes\), not 3000"),
        ({"attribute": 300_000}, r"attribute must be at most span \(200000 bytes\), not 300000"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int], message: str) -> None:
    """A limit too small to say anything, or larger than the one around it, is refused with both numbers."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        Limits(**limits)


def test_a_spans_content_is_well_within_what_sentry_takes() -> None:
    """With the defaults even a span full of characters of four bytes is below the 1 MiB that Relay trims spans to."""
    assert Limits().span * 4 < 1024 * 1024


def test_the_limits_are_decided_with_the_rest() -> None:
    """The limits are part of the policy."""
    chosen = Limits(part=500)
    decided = Policy.decide(client_inputs=True, client_outputs=True, include_prompts=True, redact=None, limits=chosen)
    assert decided.limits is chosen
    assert 490 < len(decided.text("x" * 1_000) or "") <= 500


limits = st.builds(
    lambda part, attribute, span: Limits(part, max(part, attribute), max(part, attribute, span)),
    st.integers(100, 3_000),
    st.integers(2_000, 30_000),
    st.integers(8_000, 60_000),
)


@settings(deadline=None)
@given(limits, st.lists(st.integers(0, 40_000), min_size=4, max_size=4))
def test_a_spans_attributes_share_its_limit(chosen: Limits, wanted: list[int]) -> None:
    """Whatever each attribute would take, all keep to the span's limit, and the last is sure of its quarter."""
    policy = Policy(True, True, limits=chosen)
    told: list[str | None] = []
    for ahead in (3, 2, 1, 0):
        allowed = policy.beside(*told, ahead=ahead).limits
        assert allowed.attribute >= min(chosen.attribute, chosen.span // 4)
        assert allowed.part <= chosen.part
        size = min(wanted[ahead], allowed.attribute)
        told.append("x" * size if size else None)
    assert sum(len(each or "") for each in told) <= chosen.span
    assert all(len(each or "") <= chosen.attribute for each in told)


def test_a_span_with_room_changes_nothing() -> None:
    """While a whole attribute still fits, the policy is the same."""
    policy = Policy(True, True)
    assert policy.beside("x" * 1_000, None, ahead=1) is policy


# -- Budget ------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_not_redacted() -> None:
    """Where nothing fits any more, the text is not even read."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text

    budget = Budget(Policy(True, True, redact), 40)
    with pytest.raises(Full):
        budget.text("words")
    with pytest.raises(Full):
        budget.value({"a": "words"})
    with pytest.raises(Full):
        budget.frame(type="text")
    assert seen == []


@settings(deadline=None)
@given(st.text(), st.integers(48, 400), st.integers(1, 100))
def test_a_text_fits_as_it_is_spelled(text: str, left: int, times: int) -> None:
    """A text stays within its limit as it is spelled in JSON, where a quote or a line end takes two characters."""
    budget = Budget(Policy(True, True), left)
    kept = budget.text(text * times)
    assert kept is not None
    assert size(spelled(kept)) == left - budget.left
    assert budget.left >= 0


@pytest.mark.parametrize("text", ["data:image/png;base64,iVBORw0KGgo", "aB3" * 100])
def test_redact_is_not_shown_what_is_not_kept(text: str) -> None:
    """Binary data is replaced, so there is nothing in it to redact."""
    assert (Policy(True, True, refuse).text(text) or "").startswith("[Blob substitute")


# -- A text that arrives in pieces ---------------------------------------------------------------------------------


def gather(policy: Policy, *pieces: str) -> Gathered:
    """A text that has arrived in these pieces."""
    gathered = Gathered(policy)
    for piece in pieces:
        gathered.add(piece)
    return gathered


def test_no_more_is_held_than_may_be_sent() -> None:
    """Of a long text only the ends are held, in few pieces."""
    gathered = gather(Policy(True, True), *(["word "] * 100_000))
    assert len(gathered.beginning) + sum(map(len, gathered.pieces)) <= 3 * PART
    assert f"[... {500_000 - 2 * 9_984} characters cut ...]" in gathered.text()


def test_a_gathered_text_can_be_forgotten() -> None:
    """After `clear` it is as if nothing had arrived."""
    gathered = gather(Policy(True, True), "x" * 100_000)
    gathered.clear()
    assert gathered == Gathered(Policy(True, True))


OPEN = Policy(True, True)


def test_what_is_left_of_a_spans_limit_is_an_attributes() -> None:
    """With nothing still to come an attribute has all that is left, and a part of it no more than that."""
    policy = Policy(True, True, limits=Limits(part=10_000, attribute=10_000, span=20_000))
    left = policy.beside("x" * 12_000).limits
    assert (left.part, left.attribute, left.span) == (8_000, 8_000, 20_000)


def test_what_redact_should_return_is_said() -> None:
    """What `redact` returned instead of a text is named by its type."""
    answer: Any = 7
    with pytest.raises(TypeError, match=r"^redact must return a str, not int$"):
        Policy(True, True, lambda text: answer).text("words")
