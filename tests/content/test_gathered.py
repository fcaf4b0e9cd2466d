"""An answer as it is gathered from a stream: both ends are kept, and its length."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sentry_langchain_stream._content.cutting import cut
from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import Limits, Policy


def gather(policy: Policy, *pieces: str) -> Gathered:
    """A text that has arrived in these pieces."""
    gathered = Gathered(policy)
    for piece in pieces:
        gathered.add(piece)
    return gathered


def test_two_parts_are_gathered() -> None:
    """Without `redact` as much is held as both ends may need; with it, a million characters."""
    assert Gathered(Policy(True, True, limits=Limits(100, 2_000, 8_000))).most == 200
    assert Gathered(Policy(True, True, str)).most == 1_000_000


def test_a_gathered_text_keeps_its_very_ends() -> None:
    """Of a text far longer than what is held the first characters and the last are kept."""
    gathered = Gathered(Policy(True, True, limits=Limits(100, 2_000, 8_000)))
    for number in range(1_000, 2_000):
        gathered.add(str(number))
    assert gathered.beginning == "".join(map(str, range(1_000, 1_050)))[: len(gathered.beginning)]
    assert gathered.text().startswith("10001001")
    assert gathered.text().endswith("19981999")


def test_however_much_was_gathered_both_ends_are_whole() -> None:
    """At every length a gathered text is recorded like one that came whole."""
    policy = Policy(True, True, limits=Limits(100, 2_000, 8_000))
    gathered, whole = Gathered(policy), ""
    for number in range(10_000, 10_200):
        gathered.add(f"{number} ")
        whole += f"{number} "
        assert cut(gathered.text(), 100) == cut(whole, 100)


def test_redact_sees_just_as_much_as_may_be_held() -> None:
    """A text of just as many characters as are held for `redact` is whole; of one more only the length is told."""
    gathered = Gathered(Policy(True, True, str))
    gathered.most = 10
    gathered.add("x" * 10)
    assert gathered.text() == "x" * 10
    gathered.add("x")
    assert gathered.text() == "[... 11 characters cut ...]"


def test_redact_is_given_a_gathered_text_as_a_whole() -> None:
    """With `redact` nothing is missing from a text, up to a million characters."""
    text = "".join(str(number) for number in range(160_000))
    assert 0.8 * Gathered.MOST < len(text) < Gathered.MOST
    assert gather(Policy(True, True, str.upper), text[:10], text[10:100_000], text[100_000:]).text() == text


def test_what_redact_cannot_see_as_a_whole_is_dropped() -> None:
    """Of a text of more than a million characters only the length is told: its parts might be redacted by half."""
    gathered = gather(Policy(True, True, str.upper), *(["word " * 100] * 4_100))
    assert gathered.text() == "[... 2050000 characters cut ...]"
    assert gathered.held <= Gathered.MOST


@settings(deadline=None)
@given(st.lists(st.text(max_size=90), max_size=60), st.integers(100, 400))
def test_a_text_that_was_gathered_is_recorded_like_one_that_came_whole(pieces: list[str], part: int) -> None:
    """However it arrives, what is recorded of a text is the same: both ends, and how much is missing between them."""
    policy = Policy(True, True, limits=Limits(part, 2_000, 8_000))
    gathered = gather(policy, *pieces)
    assert cut(gathered.text(), part) == cut("".join(pieces), part)
    assert len(gathered.beginning) + gathered.held <= 3 * part
