"""Binary data in texts, in every way that applications write it down: recorded by type and size, never itself."""

from __future__ import annotations

import base64
import json
import random
import textwrap
from collections.abc import Callable
from urllib.parse import quote

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.wire import WIRE_SHAPES, ScriptedModel, content_allowed

NOISE = random.Random(3).randbytes(3_000)
SILENCE = bytes(3_000)
HISS = bytes(random.Random(4).choice((0, 0, 0, 1, 255)) for _ in range(3_000))
"""The lowest bit of 16-bit audio."""
BLANK = {"white": b"\xff" * 3_000, "black": bytes(3_000), "grey": b"\x80" * 3_000, "dark": b"\x20" * 3_000}
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><text x="1">a drawing of a cat</text></svg>'


FILE = b"%PDF-1.7 with a title in it\n" + NOISE + b"endstream endobj\\"

REPORT = b"%PDF-1.4\n%\x93\x8c\x8b\x9e ReportLab\n" + b"3 0 obj\n<</Length 300>>\nstream\nGat=i0b0Q~>endstream\n" * 20
"""A PDF that is text but for its first line."""
LATIN = ("Größe und Höhe der Bäume wären für Vögel übrigens schön. " * 5).encode("latin-1")
WORDS = LATIN.decode("latin-1").encode()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def lines(width: int, end: str = "\n") -> str:
    return end.join(textwrap.wrap(encoded(NOISE), width))


DATA: dict[str, tuple[str, str]] = {
    "silence": (encoded(SILENCE), "[Blob substitute: 3000 bytes]"),
    "hiss": (encoded(HISS), "[Blob substitute: 3000 bytes]"),
    **{f"blank {name}": (encoded(data), "[Blob substitute: 3000 bytes]") for name, data in BLANK.items()},
    **{
        f"lines of {width}": (lines(width), "[Blob substitute: 3000 bytes]")
        for width in (32, 48, 57, 64, 76, 100, 128, 998)
    },
    "lines that end as in email": (lines(76, "\r\n"), "[Blob substitute: 3000 bytes]"),
    "JSON: lines": (json.dumps(lines(76))[1:-1], "[Blob substitute: 3000 bytes]"),
    "JSON: email": (json.dumps(lines(64, "\r\n"))[1:-1], "[Blob substitute: 3000 bytes]"),
    "JSON in JSON": (json.dumps(json.dumps(lines(76)))[3:-3], "[Blob substitute: 3000 bytes]"),
    "JSON: slashes": (encoded(NOISE).replace("/", r"\/"), "[Blob substitute: 3000 bytes]"),
    "JSON: white": (encoded(BLANK["white"]).replace("/", r"\/"), "[Blob substitute: 3000 bytes]"),
    "JSON: data URL": (
        f"data:image/png;base64,{encoded(NOISE)}".replace("/", r"\/"),
        "[Blob substitute: image/png, 3000 bytes]",
    ),
    "data URL in lines": (f"data:image/png;base64,{lines(76)}", "[Blob substitute: image/png, 3000 bytes]"),
    "percent": (f"data:image/svg+xml,{quote(SVG)}", f"[Blob substitute: image/svg+xml, {len(SVG)} bytes]"),
    "charset": (f"data:text/plain;charset=utf-8,{quote('a secret')}", "[Blob substitute: text/plain, 8 bytes]"),
    "repr": (repr(FILE), f"[Blob substitute: {len(FILE)} bytes]"),
    "repr of silence": (repr(SILENCE), "[Blob substitute: 3000 bytes]"),
    "repr of words": (repr(WORDS), f"[Blob substitute: {len(WORDS)} bytes]"),
    "repr of words in latin-1": (repr(LATIN), f"[Blob substitute: {len(LATIN)} bytes]"),
    "repr of a plain file": (repr(REPORT), f"[Blob substitute: {len(REPORT)} bytes]"),
    "repr of few": (repr(NOISE[:64]), "[Blob substitute: 64 bytes]"),
    "repr of a bytearray": (repr(bytearray(NOISE)), "bytearray([Blob substitute: 3000 bytes])"),
    "type of one's own": (f"data:x-own/type,{quote('a secret')}", "[Blob substitute: x-own/type, 8 bytes]"),
    "unknown type": (f"data:a/b;base64,{encoded(NOISE)}", "[Blob substitute: a/b, 3000 bytes]"),
    "lines of white": ("\n".join(["/" * 76] * 50), "[Blob substitute: 2850 bytes]"),
    "svg": (f"data:image/svg+xml;utf8,{SVG}", f"[Blob substitute: image/svg+xml, {len(SVG)} bytes]"),
}
"""A text of data only, and what is recorded of it."""

KEPT = {
    "word": "a" * 500,
    "hex": "0123456789abcdef" * 20,
    "hex digests": "\n".join(["0123456789abcdef" * 4] * 40),
    "genes": "ACGTTGCAAC" * 30,
    "few bytes": repr(bytes(range(200, 240))),
    "bytes of words": repr(b"a sentence with a tab\t" * 20),
    "prose on bytes literals": (
        r"A bytes literal starts with b' and ends with a quote of the same kind. Each byte may be written \x41, \x42, "
        r"\x43 or \x44, and that is all there is to it."
    ),
    "prose on escapes": (
        r"Use `b'` for bytes. Escapes such as \x00, \x01, \x02 and \x03 stand for control characters, and it's the "
        r"closing quote that ends the literal."
    ),
    "prime numbers": "Let a' and b' be primes, and \\xi = b' - a'. " * 20,
    "colours": repr("\x1b[32mpassed\x1b[0m in 3 s " * 100),
    "rules of slashes": "\n".join(["/" * 80] * 3) + "\nnamespace a",
    "type hints": "def f(data:int/float,x=1): see data:str/None,then ok. " * 5,
    "prose": "The data: see base64, please; metadata:image/png,then. " * 5,
    "a table": "_" * 400,
    "laughter": "HaHa" * 80,
    "identifiers": "\n".join(f"aB3dE5gH7{number:03}" for number in range(60)),
    "a path": "C:\\new\\rest\\notes\\" * 20,
}


@pytest.fixture(scope="module")
def recorded() -> Callable[[str], str]:
    """What an envelope has of a prompt."""

    def record(text: str) -> str:
        with capture_spans(**content_allowed(True)) as captured:
            ScriptedModel().invoke([("user", text)], {"callbacks": [SentryStreamHandler()]})
        [message] = json.loads(captured.find(op="gen_ai.chat").attributes["gen_ai.input.messages"])
        content: str = message["parts"][0]["content"]
        return content

    return record


@pytest.mark.parametrize("around", ["{}", 'Look: "{}", please.', '{{"image": "{}"}}', "Here:\n{}\nThanks"])
@pytest.mark.parametrize("kind", DATA)
def test_data_is_recorded_by_type_and_size(kind: str, around: str, recorded: Callable[[str], str]) -> None:
    """Whatever way it is written in, and whatever is around it, the placeholder stands in place of all of it."""
    data, expected = DATA[kind]
    assert recorded(around.format(data)) == around.format(expected)


@pytest.mark.parametrize(
    "end", ["", "...", "\u2026", "\n[truncated]"], ids=["nothing", "dots", "an ellipsis", "a line"]
)
@pytest.mark.parametrize("data", [NOISE, FILE, REPORT, WORDS, LATIN], ids=["noise", "file", "report", "words", "latin"])
def test_bytes_that_have_lost_their_end_are_replaced(data: bytes, end: str, recorded: Callable[[str], str]) -> None:
    """The repr of bytes that an application cut is replaced like a whole one, whatever it put at the end."""
    said = recorded(repr(data)[:250] + end)
    assert said.startswith("[Blob substitute: ")
    assert len(said) < 50


@pytest.mark.parametrize("kind", KEPT)
def test_words_are_recorded_as_they_are(kind: str, recorded: Callable[[str], str]) -> None:
    """Long texts without spaces that are no data stay."""
    assert recorded(KEPT[kind]) == KEPT[kind]


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_block_with_a_url_that_is_not_base64(shape: str) -> None:
    """An image block with such a URL is recorded by type and size, too."""
    content = [{"type": "image_url", "image_url": {"url": f"data:image/svg+xml,{quote(SVG)}"}}]
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        ScriptedModel().invoke([{"role": "user", "content": content}], {"callbacks": [SentryStreamHandler()]})
    [message] = json.loads(captured.find(op="gen_ai.chat").attributes["gen_ai.input.messages"])
    [part] = message["parts"]
    assert (part["type"], part["mime_type"], part["size"]) == ("blob", "image/svg+xml", len(SVG))
    assert b"drawing" not in b"".join(captured.envelopes)
