"""Finds binary data in texts: base64 in one piece or in lines, data URLs, and Python's repr of bytes.

A placeholder stands in place of it.
"""

from __future__ import annotations

import re
from base64 import b64decode
from itertools import islice

SUBSTITUTE = "Blob substitute"
"""The placeholder for binary data that `sentry-conventions` asks for, there in square brackets."""

HEADER = re.compile(r"data:([\w.+-]{1,60}\\{0,4}/[\w.+-]{1,60})?((?:;[\w.=+-]{1,60}){0,3}),", re.ASCII | re.IGNORECASE)
_DATA_URL = re.compile(
    r"data:([\w.+-]{1,60}\\{0,4}/[\w.+-]{1,60})?(?:;[\w.=+-]{1,60}){0,3};base64,"
    r"[\w+/=%-]*(?:(?:\\{1,4}(?:[rn/]|u00)|\r?\n(?=[\w+/]{32}))[\w+/=%-]*)*",
    re.ASCII | re.IGNORECASE,
)
_PAYLOAD = re.compile(r"[^\s\"'<>()\[\]{}\\]*")
_TAG = re.compile(r"<([a-z]{1,20})")
# Base64 in one piece or in lines. In JSON inside of the text, lines and slashes may be escaped.
_BLOCK = re.compile(
    r"(?=[A-Za-z0-9+/\\]{32})[A-Za-z0-9+/]*(?:(?:\\{1,4}(?:[rn/]|u00[23][bdf])|\r?\n)[A-Za-z0-9+/]*)*={0,2}",
    re.IGNORECASE,
)
_BREAK = re.compile(r"((?:\\{1,4}r)?\\{1,4}n|\r?\n)")
_ESCAPED = re.compile(r"\\{1,4}(?:(/)|u00(2b)|u00(2f)|u00(3d)|r)", re.IGNORECASE)
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]{200,}={0,2}")
# Python's repr of bytes, which LangChain makes of bytes that a tool returns. It may have lost its end.
_BYTES = re.compile(r"""(?<!\w)b(?:'(?:[ -&(-\[\]-~]|\\.)*'?|"(?:[ !#-\[\]-~]|\\.)*"?)""")
# Python escapes only bytes that cannot be printed. In data they touch other bytes, in prose about them they do not.
_PRINTED = r"\\{1,4}x(?:0[0-8bcef]|1[0-9a-f]|7f|[89a-f][0-9a-f])"
_TOUCHING = re.compile(rf"{_PRINTED}(?=[\w\\])|(?<=\w){_PRINTED}", re.ASCII)
# The same without its beginning, or escaped again: bytes as `\x00`, with few other characters between them.
_BYTES_RUN = re.compile(r"\\{1,4}(?=x[0-9a-f]{2})(?:[^\\\n]{1,16}\\{1,8})*(?:x[0-9a-f]{2})?", re.IGNORECASE)
_BYTE = re.compile(r"\\{1,4}x[0-9a-f]{2}", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:x[0-9a-f]{2}|.)", re.IGNORECASE)
_ESCAPE_AGAIN = re.compile(r"\\{1,4}(?:x[0-9a-f]{2}|[^x\\\n])", re.IGNORECASE)
_END = re.compile(r"[\w+/=%\r\n\\-]*", re.ASCII)
# Media types begin with one of these (IANA), so that `data:int/float,` is no data URL.
_MEDIA = (
    *("application", "audio", "chemical", "font", "haptics", "image", "message", "model", "multipart", "text", "video"),
    "x-",
)
_LEAST = 180  # a shorter run of base64 is kept
_FEWEST = 64  # fewer bytes in a repr are kept
_SHORT = 1_000  # as few slashes are a line in source code, rather than white pixels
_NARROWEST = 32  # the minimum length of a line of base64


def size(data: object) -> int:
    """Return the size of data in bytes. For base64 and data URLs it is computed from the length of the text."""
    if isinstance(data, memoryview):
        return data.nbytes
    if isinstance(data, (bytes, bytearray)):
        return len(data)
    if not isinstance(data, str):
        return 0
    length, start = len(data), 0
    if data[:5].lower() == "data:":
        start = data.find(",", 0, 300) + 1
        length -= start
        if "base64" not in data[:start].lower():
            return length - 2 * data.count("%", start)
    length -= data.count("\n", start) + data.count("\r", start)  # in lines, as in email
    if "\\" in data:  # escaped as in JSON, perhaps several times
        length -= sum(data.count(each, start) for each in ("\\", "\\n", "\\r")) + 4 * data.count("\\u00", start)
    return (length - data.count("=", -4)) * 3 // 4


def substitute(text: str) -> str | None:
    """Return the placeholder for a text that is nothing but a data URL or base64; `None` for any other text.

    Checks only both ends, and that there is no space, because the text may be very large.
    """
    start = text[:300]
    if start[:5].lower() == "data:":
        header = HEADER.match(start)
        if header is None or not _is_url(header):
            return None
        if not header.group(2).lower().endswith(";base64"):
            end = _payload_end(text, header.end(), {})
            return placeholder(type_of(header), size(text)) if end == len(text) else None
        mime, begin = type_of(header), header.end()
    elif len(start) < _LEAST or " " in start:
        return None
    else:
        run = _BLOCK.match(start)
        lines = _lines(run.group()) if run is not None and run.end() == len(start) else []
        if not _is_block(lines) and not (_URL_SAFE.fullmatch(start) and _is_mixed(start)):
            return None
        mime, begin = None, 0
    if " " in text or not _END.fullmatch(text[max(begin, len(text) - 100) :]):
        return None
    return placeholder(mime, size(text))


def scrubbed(text: str) -> str:
    """Replace the data URLs and the runs of base64 in a text. A placeholder can be longer than very short data."""
    if "data:" in text or "DATA:" in text:
        text = _DATA_URL.sub(lambda found: placeholder(type_of(found), size(found.group())), text)
        text = _without_plain_urls(text)
    if "\\x" in text:
        text = _BYTES.sub(lambda found: _without_bytes(found.group()), text)
        text = _BYTES_RUN.sub(lambda found: _without_run(found.group()), text)
    # A run of base64 has at least 180 characters without a space, so it contains one of these stretches entirely.
    if not any(" " not in text[start : start + 90] for start in range(0, len(text) - 89, 90)):
        return text
    text = _BLOCK.sub(lambda run: _without_blocks(run.group()), text)
    return _URL_SAFE.sub(lambda run: placeholder(None, size(run.group())) if _is_mixed(run.group()) else run[0], text)


def _without_bytes(literal: str) -> str:
    """Replace the repr of bytes, unless they are few, or a text with hardly any escapes, such as prose after `b'`."""
    body = literal[2:].removesuffix(literal[1])
    length = _count(body)
    if length < _FEWEST:
        return literal
    is_data = len(list(islice(_TOUCHING.finditer(body), 4))) == 4 or _is_escaped(body)
    return placeholder(None, length) if is_data else literal


def _without_run(run: str) -> str:
    """Replace a run of escaped bytes, unless they are few among other characters, as in coloured output."""
    is_data = len(_BYTE.findall(run)) >= _FEWEST and _is_escaped(run)
    return placeholder(None, _count(run)) if is_data else run


def _is_escaped(body: str) -> bool:
    """Whether at least half of a text are escaped bytes."""
    return 2 * sum(map(len, _BYTE.findall(body))) >= len(body)


def _count(body: str) -> int:
    """Return the number of bytes in their repr."""
    first = _BYTE.search(body)
    is_plain = first is None or not first.group().startswith("\\\\")
    escapes = (_ESCAPE if is_plain else _ESCAPE_AGAIN).findall(body)
    return len(body) - sum(map(len, escapes)) + len(escapes)


def _without_plain_urls(text: str) -> str:
    """Replace the data URLs that are not base64."""
    kept, at = "", 0
    last: dict[str, int] = {}
    for header in HEADER.finditer(text):
        begin, payload = header.span()
        if begin < at or not _is_url(header) or (begin and (text[begin - 1].isalnum() or text[begin - 1] in "_-.")):
            continue
        end = _payload_end(text, payload, last)
        if end > payload:
            kept += text[at:begin] + placeholder(type_of(header), size(text[begin:end]))
            at = end
    return kept + text[at:] if at else text


def _payload_end(text: str, start: int, last: dict[str, int]) -> int:
    """Return where the data of a URL that is not base64 ends: at its closing tag, else at a space, quote or bracket.

    Args:
        text: The text that the URL is in.
        start: Where the data starts.
        last: Where each closing tag is found last. It is filled here, so that a text is not searched again and again.
    """
    if tag := _TAG.match(text, start, start + 30):
        closing = f"</{tag.group(1)}>"
        if start < last.setdefault(closing, text.rfind(closing)):
            return text.index(closing, start) + len(closing)
    found = _PAYLOAD.match(text, start)
    return found.end() if found else start


def _is_url(header: re.Match[str]) -> bool:
    """Whether it is the header of a data URL rather than a word with a colon: it has a parameter or a media type."""
    kind = header.group(1) or ""
    return bool(header.group(2)) or kind.partition("/")[0].rstrip("\\").lower().startswith(_MEDIA)


def type_of(header: re.Match[str]) -> str | None:
    """Return the media type in the header of a data URL."""
    return header.group(1).replace("\\", "") if header.group(1) else None


def _lines(run: str) -> list[str]:
    """Return the lines of a run of base64, without escapes and padding."""
    return [_plain(line) for line in _BREAK.split(run)[::2]]


def _plain(line: str) -> str:
    if "\\" in line:
        line = _ESCAPED.sub(lambda found: "/" if found[1] or found[3] else "+" if found[2] else "", line)
    return line.rstrip("=")


def _without_blocks(run: str) -> str:
    """Replace the base64 in a run of lines. All lines of one piece of data have the same length but the last one."""
    if len(run) < _LEAST:
        return run
    pieces = _BREAK.split(run)
    lines = [_plain(line) for line in pieces[::2]]
    kept, index = "", 0
    while index < len(lines):
        end, width = index + 1, len(lines[index])
        while end < len(lines) and len(lines[end]) == width:
            end += 1
        group, total = end, width * (end - index)
        if end < len(lines) and 0 < len(lines[end]) < width and _ends(total + len(lines[end]), pieces[2 * end]):
            end += 1
        if _is_block(lines[index:end]):
            data = "".join(pieces[2 * index : 2 * end - 1])
            kept += placeholder(None, size(data))
        else:
            end = group
            kept += "".join(pieces[2 * index : 2 * end - 1])
        kept += pieces[2 * end - 1] if 2 * end - 1 < len(pieces) else ""
        index = end
    return kept


def _ends(length: int, line: str) -> bool:
    """Whether base64 of this length may end with this line. If not, the line is a word that follows."""
    return (length + len(line) - len(line.rstrip("="))) % 4 == 0


def _is_block(lines: list[str]) -> bool:
    length = sum(map(len, lines))
    if not lines or length < _LEAST or (length < _SHORT and not "".join(lines).strip("/")):
        return False
    width = len(lines[0])
    if len(lines) == 1:
        return width >= 200 and _is_data(lines[0])
    in_shape = width >= _NARROWEST and all(len(line) == width for line in lines[1:-1]) and len(lines[-1]) <= width
    return in_shape and _is_data("".join(lines[:7]))


def binary(data: bytes | bytearray | memoryview) -> str:
    """Return the placeholder for bytes."""
    return placeholder(None, size(data))


def placeholder(mime: str | None, length: int) -> str:
    """Return the placeholder for data of a type, if that is known, and a size in bytes."""
    return f"[{SUBSTITUTE}: {mime}, {length} bytes]" if mime else f"[{SUBSTITUTE}: {length} bytes]"


def _is_data(run: str) -> bool:
    """Whether a long run of letters and digits is base64, rather than a word, a number or a sequence of genes."""
    return _is_mixed(run) or _is_still(run[:200])


def _is_mixed(run: str) -> bool:
    """Whether a run has small and capital letters and digits, unlike words, numbers and hex digests."""
    sample = run[:200]
    return (
        any(each.islower() for each in sample)
        and any(each.isupper() for each in sample)
        and any(each.isdigit() for each in sample)
    )


def _is_still(sample: str) -> bool:
    """Whether it is base64 of silence or of a blank image: hardly any other bytes than zeros, or than one or two."""
    try:
        data = b64decode(sample[: len(sample) // 4 * 4])
    except ValueError:
        return False
    return len(set(data)) <= 2 or 2 * sum(map(data.count, (0x00, 0x80, 0xFF))) >= len(data)
