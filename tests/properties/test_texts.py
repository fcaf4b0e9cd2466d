"""Texts and structures: whatever goes in, what comes out fits, can be sent, and has no data in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from sentry_langchain_stream._content import encoded as in_texts
from sentry_langchain_stream._content import media
from sentry_langchain_stream._content.budget import Budget, Full, spelled
from sentry_langchain_stream._content.cutting import cut, fitted, size
from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import Limits, Policy
from tests.kit.strategies import (
    can_be_sent,
    encoded,
    in_production,
    limits,
    media_data,
    parsed,
    policies,
    quotes,
    scalars,
    texts,
    texts_of,
    values,
)

prose = st.text(st.characters(codec="utf-8", exclude_characters="+/=_-"), max_size=30)
data_urls = st.builds(
    lambda kind, data: f"data:{kind};base64,{data}",
    st.sampled_from(["image/png", "audio/wav", "application/vnd.ms-excel", "text/plain;charset=utf-8"]),
    st.one_of(media_data, st.sampled_from(["", "AA==", "R0lGODlh"])),
)


# -- Data in texts ---------------------------------------------------------------------------------------------


@given(st.lists(st.one_of(prose, media_data, data_urls), max_size=8), policies, st.booleans())
def test_a_text_keeps_to_its_limit_and_has_no_data_in_it(pieces: list[str], policy: Policy, redacts: bool) -> None:
    """A text of words and data is no longer than its limit, can be sent, and has of the data no piece in it."""
    text = " ".join(pieces)
    if redacts:
        policy = Policy(True, True, str, policy.limits)
    kept = policy.text(text)
    assert kept is not None
    assert len(kept) <= policy.limits.part
    assert can_be_sent(kept)
    for piece in pieces:
        _, _, data = piece.rpartition("base64,")
        if len(data) > 200 and " " not in data:
            assert not quotes(kept, data, 200)


@given(texts, st.integers(1, 300))
@example("data:a/b;base64,AA " * 100, 100)
def test_any_text_can_be_made_to_fit(text: str, limit: int) -> None:
    """Whatever the text, what fits is no longer than the limit and can be sent; what fits already stays."""
    kept = fitted(text, limit)
    assert len(kept) <= limit
    assert can_be_sent(kept)
    if len(text) <= min(limit, 180) and "base64," not in text and can_be_sent(text):
        assert kept == text


@given(st.lists(st.one_of(prose, media_data, data_urls, texts), max_size=6))
def test_to_scrub_twice_changes_nothing(pieces: list[str]) -> None:
    """What has no data left in it has none."""
    once = in_texts.scrubbed(" ".join(pieces))
    assert in_texts.scrubbed(once) == once


@given(prose, st.one_of(media_data, data_urls), prose)
def test_the_words_around_data_stay(before: str, data: str, after: str) -> None:
    """Of a text with data in it the words before and after it are kept as they are."""
    assume("base64," not in before + after)
    kept = in_texts.scrubbed(f"{before} {data} {after}")
    assert kept.startswith(f"{before} [{in_texts.SUBSTITUTE}")
    assert kept.endswith(f" bytes] {after}")


@given(st.binary(max_size=3_000), st.sampled_from(["plain", "url", "lines", "safe"]))
def test_the_size_told_is_the_size_of_the_data(raw: bytes, how: str) -> None:
    """However it is encoded, the size in bytes is that of the data."""
    text = base64.b64encode(raw).decode()
    if how == "url":
        text = f"data:image/png;base64,{text}"
    elif how == "lines":
        text = base64.encodebytes(raw).decode()
    elif how == "safe":
        text = base64.urlsafe_b64encode(raw).decode()
    assert in_texts.size(text) == len(raw)
    assert in_texts.size(raw) == in_texts.size(bytearray(raw)) == in_texts.size(memoryview(raw)) == len(raw)


media_names = st.sampled_from(
    sorted({*media._DATA, *media._ADDRESSES, *media._TYPES, *media._WRAPPERS, "file_id", "format", "id", "source_type"})
)
addresses = st.sampled_from(["https://user:pass@example.com/a.png?sig=SECRET#SECRET", "s3://bucket/key", "gs://b"])
media_blocks = st.dictionaries(
    media_names,
    st.recursive(
        st.one_of(scalars, media_data, data_urls, addresses, st.sampled_from(["image/png", "png", "pdf"])),
        lambda inner: st.dictionaries(media_names, inner, max_size=4),
        max_leaves=8,
    ),
    max_size=5,
)


@given(media_blocks, st.sampled_from(sorted(media.KINDS)))
def test_media_are_told_by_what_they_are(block: dict[str, Any], kind: str) -> None:
    """Whatever a block of media looks like, its part has its modality, nothing of its data, and no secret address."""
    part = media.described(block, kind)
    assert part["type"] in ("blob", "uri", "file")
    assert part["modality"] in ("image", "audio", "video", "document")
    assert ("uri" in part, "file_id" in part, "content" in part) == tuple(
        part["type"] == each for each in ("uri", "file", "blob")
    )
    told = spelled(part) + media.label(part)
    assert "SECRET" not in told
    assert "pass@" not in told
    assert len(told) < 6_000
    if part["type"] == "blob":
        assert part.get("size", 0) >= 0
        for data in texts_of(block):
            _, _, encoding = data.rpartition("base64,")
            assert not quotes(told, encoding)


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9),
    st.one_of(st.none(), st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9)),
    st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="/.-"), max_size=20),
    st.sampled_from(["", "?token=SECRET", "#SECRET", "?a=b#SECRET?"]),
)
def test_an_address_keeps_place_and_loses_secrets(host: str, user: str | None, path: str, rest: str) -> None:
    """Of a URL scheme, host and path are kept; user, password, query string and fragment are not."""
    login = "" if user is None else f"{user}:SECRET@"
    assert media.address(f"https://{login}{host}/{path}{rest}") == f"https://{host}/{path}"


@given(texts)
def test_an_address_says_nothing_that_was_not_there(text: str) -> None:
    """What is no URL gains nothing by being taken for one."""
    told = media.address(text)
    assert len(told) <= len(text)
    assert "?" not in told
    assert "#" not in told


# -- Redaction -------------------------------------------------------------------------------------------------


@given(texts, st.one_of(scalars, st.builds(ValueError)))
def test_a_redaction_may_do_anything(text: str, answer: Any) -> None:
    """Whatever `redact` returns or raises: what is recorded is its text, or nothing."""

    def redact(given_text: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with in_production():
        kept = Policy(True, True, redact).text(text)
    if in_texts.substitute(text) is not None:
        assert kept == in_texts.substitute(text)
    elif isinstance(answer, str):
        assert kept == fitted(answer, Limits().part)
    else:
        assert kept is None


@given(texts, limits)
def test_redact_sees_each_text_as_a_whole(text: str, chosen: Limits) -> None:
    """`redact` is called once, with the text itself, however long it is."""
    seen: list[str] = []

    def redact(whole: str) -> str:
        seen.append(whole)
        return whole

    Policy(True, True, redact, chosen).text(text)
    assert seen == ([] if in_texts.substitute(text) is not None else [text])


@given(st.lists(st.text(max_size=40), max_size=30), st.integers(1, 300), st.integers(100, 200))
def test_redact_sees_a_gathered_text_as_a_whole_or_not_at_all(pieces: list[str], most: int, part: int) -> None:
    """With `redact` a gathered text is all that has arrived, or only its length once it was too long; never a part."""
    gathered = Gathered(Policy(True, True, str.upper, Limits(part, 2_000, 8_000)))
    gathered.most = most
    longest = 0
    for piece in pieces:
        gathered.add(piece)
        longest = max(longest, gathered.held)
        assert gathered.held <= most
    whole = "".join(pieces)
    expected = whole if not gathered.missing else f"[... {len(whole)} characters cut ...]"
    assert gathered.text() == expected
    assert bool(gathered.missing) == (len(whole) > most)


@given(texts, st.integers(0, 400), st.integers(0, 10_000))
def test_a_cut_keeps_to_its_limit(text: str, limit: int, missing: int) -> None:
    """However much is missing already, what is left of a text is no longer than the limit."""
    assert len(cut(text, limit, missing)) <= max(limit, 0)


# -- Budget ------------------------------------------------------------------------------------------------------


@given(values(), st.integers(0, 1_500))
def test_any_structure_fits_its_room(value: Any, left: int) -> None:
    """Anything at all becomes JSON that fits its budget and can be sent, or is refused as too much."""
    budget = Budget(Policy(True, True), left)
    try:
        kept = budget.value(value)
    except Full:
        assert left < 96
        return
    told = spelled(kept)
    assert len(told) <= left
    assert len(told) <= left - budget.left + 4
    parsed(told)


@given(values(), policies)
def test_every_text_in_a_structure_is_redacted(value: Any, policy: Policy) -> None:
    """Of the texts of a structure nothing is left but what `redact` makes of them."""
    redacting = Policy(True, True, lambda text: "#", policy.limits)
    kept = Budget(redacting, 10_000).value(value)
    ours = ("[... ", "[Blob substitute", "[a number of", "[Broken]")

    def leaves(value: Any) -> None:
        if isinstance(value, Mapping):
            for each in value.values():
                leaves(each)
        elif isinstance(value, list):
            for each in value:
                leaves(each)
        elif isinstance(value, str):
            assert value == "#" or value.startswith(ours) or value.endswith("numbers left out]"), value

    leaves(kept)


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=400), st.none()), max_size=4))
def test_a_frame_takes_what_it_is_long(structure: dict[str, Any]) -> None:
    """What is structure takes its size in JSON from the budget, and is refused where nothing else would fit."""
    budget = Budget(Policy(True, True), 2_000)
    told = budget.frame(**structure)
    assert size(spelled(told)) + 2 == 2_000 - budget.left
    assert told.keys() == structure.keys()
    assert all(len(each) <= 200 for each in told.values() if isinstance(each, str))
    tight = Budget(Policy(True, True), size(spelled(told)) + 2 + 47)
    try:
        tight.frame(**structure)
    except Full:
        assert tight.left == size(spelled(told)) + 49
    else:
        raise AssertionError("there was no room left for anything else")


@given(st.integers(64, 300), st.integers(0, 10))
def test_an_embedding_is_left_out(length: int, depth: int) -> None:
    """Long lists of floats are counted, however deep they lie; those that are shorter are kept."""
    vector: Any = [0.5] * length
    short: Any = [0.5] * (length % 60)
    value: Any = {"vector": vector, "short": short}
    for _ in range(depth):
        value = [value]
    kept = Budget(Policy(True, True)).value(value)
    for _ in range(depth):
        [kept] = kept
    assert kept == {"vector": f"[{length} numbers left out]", "short": short}


def test_what_is_planted_is_planted() -> None:
    """The data that these tests look for is data: they would see a piece of it."""
    data = encoded(1, 300)
    assert quotes(f"a {data} b", data)
    assert quotes(data[120:260], data)
    assert not quotes(data[:60], data)
    assert not can_be_sent("\ud800")
    assert not can_be_sent(float("nan"))
