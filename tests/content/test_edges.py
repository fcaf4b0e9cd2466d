"""The edges that random examples rarely meet: exact lengths, counts and spellings of the rooms that bound content."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest

from sentry_langchain_stream._content import media
from sentry_langchain_stream._content.budget import Budget, Full, spelled
from sentry_langchain_stream._content.cutting import cut
from sentry_langchain_stream._content.gathered import Gathered
from sentry_langchain_stream._content.policy import Limits, Policy
from tests.kit.strategies import encoded, in_production

OPEN = Policy(True, True)
LONG = encoded(7, 900)
"""Base64 of 900 bytes."""


# -- Privacy ---------------------------------------------------------------------------------------------------


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


# -- Budget ------------------------------------------------------------------------------------------------------


def test_a_room_is_filled_to_the_last_character() -> None:
    """What takes just as much as there is fits; one more does not."""
    room = Budget(OPEN, 10)
    with pytest.raises(Full):
        room.take(11)
    with pytest.raises(Full):
        room.take(8, 3)
    room.take(8, 2)
    room.take(2)
    assert room.left == 0
    assert Budget(OPEN, 60).text("x" * 58) == "x" * 58
    assert "cut" in (Budget(OPEN, 60).text("x" * 59) or "")
    assert Budget(OPEN, 48).text("x" * 46) == "x" * 46
    with pytest.raises(Full):
        Budget(OPEN, 47).text("x")


def test_a_text_that_is_dropped_takes_room_too() -> None:
    """In place of a text that `redact` fails on stands `null`, which is spelled as well."""
    room = Budget(Policy(True, True, lambda text: text[1_000]), 100)
    with in_production():
        assert room.text("words") is None
    assert room.left == 94


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**127, 2**127),
        (2**128, "[a number of 129 bits]"),
        ([0.5] * 63, [0.5] * 63),
        ([0.5] * 64, "[64 numbers left out]"),
        ([0.5] * 8 + ["x"] * 56, "[64 numbers left out]"),
        ([0.5] * 7 + ["x"] * 57, [0.5] * 7 + ["x"] * 57),
        (list(range(200)), list(range(200))),
        (list(range(201)), [*range(200), "[... 1 items cut ...]"]),
    ],
    ids=["128 bits", "129 bits", "63 floats", "64 floats", "8 floats", "7 floats", "200 items", "201 items"],
)
def test_what_is_too_much_for_a_value(value: Any, expected: Any) -> None:
    """Numbers, lists and vectors are kept up to a size, and told by it beyond."""
    assert Budget(OPEN).value(value) == expected


def test_what_is_too_much_for_a_structure() -> None:
    """A mapping has 200 entries and a mark at most; below sixteen levels all is cut."""
    kept = Budget(OPEN).value({str(index): index for index in range(201)})
    assert len(kept) == 201
    assert kept["..."] == "[... cut ...]"
    assert len(Budget(OPEN).value({str(index): index for index in range(200)})) == 200
    deep: Any = {}
    for _ in range(17):
        deep = [deep]
    kept, levels = Budget(OPEN).value(deep), 0
    while isinstance(kept, list):
        [kept], levels = kept, levels + 1
    assert (kept, levels) == ("[... cut ...]", 16)


@dataclass
class Unfinished:
    """An object that lacks a field."""

    missing: int = field(init=False)
    there: int = 1


def test_a_field_that_is_missing_is_unknown() -> None:
    """An object that lacks one of its fields has the others."""
    assert Budget(OPEN).value(Unfinished()) == {"missing": None, "there": 1}


def test_what_is_structure_is_short() -> None:
    """Names, ids and types are cut at two hundred characters."""
    told = Budget(OPEN).frame(type="text", name="x" * 300, index=7)
    assert (told["type"], len(told["name"]), told["index"]) == ("text", 200, 7)


def test_what_is_counted_is_what_is_spelled() -> None:
    """A structure takes as much room as it is long, but for a few characters, and leaves room for what is around it."""
    for value in ([1, 2, 3], {"a": 1, "b": None}, {"a": [True, {"b": "x"}]}, ["x", b"12"], []):
        room = Budget(OPEN, 1_000)
        told = len(spelled(room.value(value)))
        assert told <= 1_000 - room.left <= told + 20


# -- Media -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"base64": "", "data": LONG}, {"type": "blob", "size": 900}),
        ({"base64": "https://example.com/a", "data": LONG}, {"type": "blob", "size": 900}),
        ({"fileId": "file-1"}, {"type": "file", "file_id": "file-1"}),
        ({"file_id": "f" * 300}, {"type": "file", "file_id": "f" * 200}),
        ({"file_id": ""}, {"type": "blob"}),
        ({"mime_type": "application/zip"}, {"mime_type": "application/zip", "modality": "document"}),
        ({"mime_type": "text/plain"}, {"mime_type": "text/plain", "modality": "document"}),
        ({"mime_type": "audio/wav"}, {"mime_type": "audio/wav", "modality": "audio"}),
        ({"mime_type": "model/obj"}, {"mime_type": "model/obj", "modality": "image"}),
        ({"mime_type": b"image/png", "media_type": "image/jpeg"}, {"mime_type": "image/jpeg"}),
        ({"format": b"png", "output_format": "webp"}, {"mime_type": "image/webp"}),
    ],
)
def test_what_a_block_of_media_tells(block: dict[str, Any], expected: dict[str, Any]) -> None:
    """Of several places the first that holds what is looked for counts."""
    part = media.described(block, "image")
    assert {name: part.get(name) for name in expected} == expected


def test_a_block_that_wraps_itself_is_told() -> None:
    """Wrappers are opened a few times only."""
    block: dict[str, Any] = {"data": b"123"}
    block["source"] = block["image"] = block
    assert media.described(block, "image")["size"] == 3


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (None, 0),
        (7, 0),
        ("data:text/plain,a,b", 3),
        (f"data:{'x' * 400},AAAA", 410),
        (base64.encodebytes(b"x" * 200).decode().replace("\n", "\r\n"), 200),
        ("AAA=", 2),
        ("AA==", 1),
    ],
)
def test_sizes(data: Any, size: int) -> None:
    """The size is that of the data, without what is around it; of what is no data it is nothing."""
    assert media.size(data) == size


def test_an_address_is_cut() -> None:
    """Of an address two thousand characters are looked at."""
    assert media.address("https://" + "a" * 3_000) == "https://" + "a" * 1_992
    assert media.address("a://b/c://d@e") == "a://b/c://d@e"
    assert media.address("https://user:word@example.com/a@b/c") == "https://example.com/a@b/c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LONG, "[Blob substitute: 900 bytes]"),
        (f"{LONG} words {LONG}", None),
        (f"{LONG}<end>", None),
        (f"{LONG}<end>{LONG}", "[Blob substitute: 1803 bytes]"),
        ("data:image/gif;base64,R0lG", "[Blob substitute: image/gif, 3 bytes]"),
        ("data:image/gif;base64,R0lG>", None),
        ("words", None),
        ("", None),
    ],
    ids=["data", "words between", "an end", "data at both ends", "small", "small, with an end", "words", "nothing"],
)
def test_a_text_is_data_as_a_whole(text: str, expected: str | None) -> None:
    """A text is data if both its ends are and no space is between them."""
    assert media.substitute(text) == expected


@pytest.mark.parametrize("before", ["", "word " * 60, "word\n" * 60, "x" * 85 + " "])
def test_data_is_found_behind_words(before: str) -> None:
    """Data is replaced however far down a text it stands."""
    assert media.scrubbed(f"{before}{LONG}") == f"{before}[Blob substitute: 900 bytes]"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"modality": "image", "file_id": "file-1"}, "[image: file-1]"),
        ({"modality": "image", "uri": "gs://a", "file_id": "file-1"}, "[image: gs://a]"),
        ({"modality": "image", "mime_type": "image/png", "uri": "gs://a"}, "[image/png: gs://a]"),
        ({"modality": "image"}, "[image: Blob substitute]"),
        ({"modality": "image", "size": 0}, "[Blob substitute: 0 bytes]"),
    ],
)
def test_a_part_as_a_piece_of_text(part: dict[str, Any], expected: str) -> None:
    """Where there is only text a part of media is told by its type and what is known of it."""
    assert media.label(part) == expected
