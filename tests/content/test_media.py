"""Images, sounds and files: their type and size are recorded, never their data."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
)

from sentry_langchain_stream._content import encoded as in_texts
from sentry_langchain_stream._content import media
from sentry_langchain_stream._content.messages import (
    input_messages,
    output_messages,
    prompt_messages,
    retrieved_documents,
    system_instructions,
    tool_arguments,
    tool_result,
)
from sentry_langchain_stream._content.policy import Policy
from tests.kit.parts import DATA, SIGNED, blob, conforming, text, uploaded, uri
from tests.kit.strategies import encoded

OPEN = Policy(inputs=True, outputs=True)


LONG = base64.b64encode(bytes(range(256)) * 40).decode()
"""Base64 of 10,240 bytes."""
NOISE = encoded(7, 900)
"""Base64 of 900 bytes."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LONG, "[Blob substitute: 10240 bytes]"),
        (base64.encodebytes(bytes(range(256)) * 40).decode(), "[Blob substitute: 10240 bytes]"),
        (base64.urlsafe_b64encode(bytes(range(256)) * 40).decode(), "[Blob substitute: 10240 bytes]"),
        (f"data:image/png;base64,{LONG}", "[Blob substitute: image/png, 10240 bytes]"),
        (f"data:text/plain;charset=utf-8;base64,{LONG}", "[Blob substitute: text/plain, 10240 bytes]"),
        ("data:image/gif;base64,R0lGODlh", "[Blob substitute: image/gif, 6 bytes]"),
        (f"![](data:image/png;base64,{LONG}) Nice!", "![]([Blob substitute: image/png, 10240 bytes]) Nice!"),
        (f'<img src="data:image/png;base64,{LONG}">', '<img src="[Blob substitute: image/png, 10240 bytes]">'),
        (f"See {LONG} and {LONG}", "See [Blob substitute: 10240 bytes] and [Blob substitute: 10240 bytes]"),
        ("a" * 500, "a" * 500),
        ("0123456789abcdef" * 20, "0123456789abcdef" * 20),
        ("ACGT" * 100, "ACGT" * 100),
        ("The data: see base64, please", "The data: see base64, please"),
    ],
    ids=[
        "base64",
        "mail",
        "urls",
        "data url",
        "charset",
        "small",
        "markdown",
        "html",
        "two",
        "word",
        "hex",
        "dna",
        "prose",
    ],
)
@pytest.mark.parametrize("where", ["message", "argument", "result", "document", "instructions"])
def test_data_in_a_text_is_replaced(where: str, text: str, expected: str) -> None:
    """Wherever a text holds encoded data, its type and its size in bytes stand in place of it; words stay."""
    tell: dict[str, Callable[[], Any]] = {
        "message": lambda: json.loads(prompt_messages([text], OPEN))[0]["parts"][0]["content"],
        "argument": lambda: json.loads(tool_arguments({"a": text}, OPEN) or "")["a"],
        "result": lambda: tool_result(text, OPEN),
        "document": lambda: json.loads(retrieved_documents([text], OPEN) or "")[0]["content"],
        "instructions": lambda: system_instructions([("system", text)], OPEN),
    }
    assert (tell[where]() or "").strip() == expected.strip()


@pytest.mark.parametrize("before", range(0, 200, 7))
def test_short_data_is_found_wherever_it_stands(before: int) -> None:
    """A run of base64 just long enough to be one is found at any place in a text."""
    [part] = conforming(prompt_messages([f"{'x' * before} {LONG[:200]} words"], OPEN))[0]["parts"]
    assert part["content"] == f"{'x' * before} [Blob substitute: 150 bytes] words"


def test_data_that_the_cut_goes_through_is_nowhere() -> None:
    """Of data in a text that is too long to be kept, no piece is recorded."""
    recorded = prompt_messages([f"Look: ![](data:image/png;base64,{LONG * 100}) Nice!"], OPEN)
    [part] = conforming(recorded)[0]["parts"]
    assert part["content"].startswith("Look: ![]([Blob substitute: image/png, ")
    assert part["content"].endswith("bytes]) Nice!")
    assert len(part["content"]) < 200


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"base64": "", "data": NOISE}, {"type": "blob", "size": 900}),
        ({"base64": "https://example.com/a", "data": NOISE}, {"type": "blob", "size": 900}),
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
    assert in_texts.size(data) == size


def test_an_address_is_cut() -> None:
    """Of an address two thousand characters are looked at."""
    assert media.address("https://" + "a" * 3_000) == "https://" + "a" * 1_992
    assert media.address("a://b/c://d@e") == "a://b/c://d@e"
    assert media.address("https://user:word@example.com/a@b/c") == "https://example.com/a@b/c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NOISE, "[Blob substitute: 900 bytes]"),
        (f"{NOISE} words {NOISE}", None),
        (f"{NOISE}<end>", None),
        (f"{NOISE}<end>{NOISE}", "[Blob substitute: 1803 bytes]"),
        ("data:image/gif;base64,R0lG", "[Blob substitute: image/gif, 3 bytes]"),
        ("data:image/gif;base64,R0lG>", None),
        ("words", None),
        ("", None),
    ],
    ids=["data", "words between", "an end", "data at both ends", "small", "small, with an end", "words", "nothing"],
)
def test_a_text_is_data_as_a_whole(text: str, expected: str | None) -> None:
    """A text is data if both its ends are and no space is between them."""
    assert in_texts.substitute(text) == expected


@pytest.mark.parametrize("before", ["", "word " * 60, "word\n" * 60, "x" * 85 + " "])
def test_data_is_found_behind_words(before: str) -> None:
    """Data is replaced however far down a text it stands."""
    assert in_texts.scrubbed(f"{before}{NOISE}") == f"{before}[Blob substitute: 900 bytes]"


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


DATA_URL = f"data:image/png;base64,{DATA}"


MEDIA: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("openai", {"type": "image_url", "image_url": {"url": SIGNED, "detail": "low"}}, uri("image")),
    ("openai, short", {"type": "image_url", "image_url": SIGNED}, uri("image")),
    ("openai, data", {"type": "image_url", "image_url": {"url": DATA_URL}}, blob("image", "image/png")),
    (
        "openai audio",
        {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
        blob("audio", "audio/wav"),
    ),
    (
        "openai file",
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{DATA}", "filename": "cv.pdf"}},
        blob("document", "application/pdf"),
    ),
    ("openai upload", {"type": "file", "file": {"file_id": "file-1"}}, uploaded("document")),
    ("responses", {"type": "input_image", "image_url": DATA_URL}, blob("image", "image/png")),
    ("responses, upload", {"type": "input_image", "file_id": "file-1"}, uploaded("image")),
    ("responses, file", {"type": "input_file", "file_url": SIGNED}, uri("document")),
    (
        "anthropic",
        {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": DATA}},
        blob("image", "image/jpeg"),
    ),
    ("anthropic, url", {"type": "image", "source": {"type": "url", "url": SIGNED}}, uri("image")),
    ("anthropic, upload", {"type": "document", "source": {"type": "file", "file_id": "file-1"}}, uploaded("document")),
    ("anthropic, container", {"type": "container_upload", "file_id": "file-1"}, uploaded("document")),
    (
        "anthropic, text",
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        text("words"),
    ),
    ("google", {"type": "media", "mime_type": "video/mp4", "data": b"12345"}, blob("video", "video/mp4", 5)),
    (
        "google, uri",
        {"type": "media", "mime_type": "audio/mp3", "file_uri": "gs://bucket/a.mp3"},
        uri("audio", "gs://bucket/a.mp3", mime_type="audio/mp3"),
    ),
    (
        "google, upload",
        {"type": "file", "file_id": SIGNED, "mime_type": "application/pdf"},
        uri("document", mime_type="application/pdf"),
    ),
    ("data for an id", {"type": "image", "file_id": DATA_URL, "base64": DATA}, blob("image", None)),
    ("google, inline", {"inline_data": {"mime_type": "image/png", "data": b"123"}}, blob("image", "image/png", 3)),
    (
        "google, file",
        {"file_data": {"mime_type": "application/pdf", "file_uri": SIGNED}},
        uri("document", mime_type="application/pdf"),
    ),
    ("bedrock", {"image": {"format": "png", "source": {"bytes": b"123"}}}, blob("image", "image/png", 3)),
    (
        "bedrock, s3",
        {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://bucket/a.mp4"}}}},
        uri("video", "s3://bucket/a.mp4", mime_type="video/mp4"),
    ),
    (
        "bedrock, document",
        {"document": {"format": "pdf", "name": "cv", "source": {"bytes": b"123"}}},
        blob("document", "application/pdf", 3),
    ),
    ("mistral", {"type": "document_url", "document_url": SIGNED}, uri("document")),
    ("ollama", {"type": "image_url", "image_url": DATA}, blob("image", None)),
    ("standard image", {"type": "image", "base64": DATA, "mime_type": "image/png"}, blob("image", "image/png")),
    ("standard audio", {"type": "audio", "url": SIGNED, "mime_type": "audio/wav"}, uri("audio", mime_type="audio/wav")),
    ("standard video", {"type": "video", "file_id": "file-1"}, uploaded("video")),
    (
        "standard file",
        {"type": "file", "base64": DATA, "mime_type": "application/pdf"},
        blob("document", "application/pdf"),
    ),
    (
        "langchain 0",
        {"type": "image", "source_type": "base64", "data": DATA, "mime_type": "image/png"},
        blob("image", "image/png"),
    ),
    ("langchain 0, upload", {"type": "file", "source_type": "id", "id": "file-1"}, uploaded("document")),
    ("langchain 0, url", {"type": "image", "source_type": "url", "url": SIGNED}, uri("image")),
    (
        "nothing",
        {"type": "image"},
        {"type": "blob", "content": "[Blob substitute]", "modality": "image"},
    ),
]


@pytest.mark.parametrize(("block", "expected"), [each[1:] for each in MEDIA], ids=[each[0] for each in MEDIA])
def test_media_are_told_by_what_they_are(block: dict[str, Any], expected: dict[str, Any]) -> None:
    """Data becomes its type and its size in bytes, an address loses what may be secret in it, an upload has its id."""
    message = HumanMessage([{"type": "text", "text": "Look"}, block])
    recorded = input_messages([message], OPEN) or ""
    assert conforming(recorded) == [{"role": "user", "parts": [text("Look"), expected]}]
    for secret in (DATA, "signature", "word@"):
        assert secret not in recorded


HIDDEN: list[dict[str, Any]] = [
    {"type": "redacted_thinking", "data": DATA},
    {"type": "non_standard", "value": {"data": DATA}},
    {"type": "image", "source": {"type": "base64", "data": DATA}},
    {"type": "input_image", "image_url": DATA},
    {"type": "audio", "base64": DATA},
    {"type": "media", "data": DATA},
    {"type": "video", "url": DATA},
    {"image": {"source": {"bytes": DATA.encode()}}},
]
"""Blocks that hold data where their type does not say so."""


@pytest.mark.parametrize("block", [*HIDDEN, *(block for _, block, _ in MEDIA)], ids=repr)
@pytest.mark.parametrize("kind", [HumanMessage, AIMessage, SystemMessage])
def test_no_data_of_a_block_is_recorded(kind: type[BaseMessage], block: dict[str, Any]) -> None:
    """Of an image, a sound or a file the type and the size are recorded, never its data, in any role."""
    message = kind(content=[{"type": "text", "text": "Look:"}, block])
    for recorded in (
        input_messages([message], OPEN) or "",
        output_messages([(message, "stop")], OPEN),
        system_instructions([message], OPEN) or "",
    ):
        assert DATA not in recorded
        assert DATA.encode().hex() not in recorded
    assert json.loads(output_messages([(message, "stop")], OPEN))[0]["parts"][0] == text("Look:")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (SIGNED, "https://example.com/cat.png"),
        ("example.com/cat.png?signature=abc", "example.com/cat.png"),
        ("user:word@example.com/cat@night.png", "example.com/cat@night.png"),
        ("page 7", "page 7"),
        ("", ""),
    ],
)
def test_an_address_is_bare(told: str, expected: str) -> None:
    """Of an address the login, the query string and the fragment are left out, and nothing is added to it."""
    assert media.address(told) == expected
