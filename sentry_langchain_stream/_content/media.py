"""Describes media without their data: images, audio, video and files in the formats of all providers.

The parts follow OpenTelemetry's GenAI message schema, which Sentry shows as "content of type <mime_type>": `blob` for
inline data, `uri` for a URL, `file` for a file that was uploaded to the provider before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SUBSTITUTE = "Blob substitute"
"""The placeholder for binary data that `sentry-conventions` asks for, there in square brackets."""

KINDS: dict[str, str] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "image_generation_call": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
    "file": "document",
    "input_file": "document",
    "document": "document",
    "document_url": "document",
    "container_upload": "document",
    "media": "document",
    "inline_data": "document",
    "inlineData": "document",
    "file_data": "document",
    "fileData": "document",
    "blob": "document",
    "uri": "document",
    "text-plain": "document",
}
"""Type of a content block (or its only key, if it has no type) -> modality of its media."""

# The keys under which providers put data, a URL, the id of an upload and the media type; and the keys that wrap these.
_DATA = ("base64", "data", "bytes", "b64_json", "file_data", "result", "content")
_ADDRESSES = (
    "url",
    "uri",
    "file_uri",
    "fileUri",
    "image_url",
    "audio_url",
    "video_url",
    "document_url",
    "file_url",
    "data",
    "file_data",
)
_IDS = ("file_id", "fileId")  # Gemini's ids are URLs
_TYPES = ("mime_type", "mimeType", "media_type")
_WRAPPERS = (
    "source",
    "s3Location",
    "image_url",
    "audio_url",
    "video_url",
    "input_audio",
    "file",
    "inline_data",
    "inlineData",
    "file_data",
    "fileData",
    "image",
    "audio",
    "video",
    "document",
)

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_MIME = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}")
_DATA_URL = re.compile(
    r"data:([\w.+-]{1,60}/[\w.+-]{1,60})?(?:;[\w.=+-]{1,60}){0,3};base64,[\w+/=%-]*", re.ASCII | re.IGNORECASE
)
_RUN = re.compile(  # in lines as in email, in one piece, or in the URL-safe alphabet
    r"(?:(?:[A-Za-z0-9+/]{60,76}\r?\n){3,}[A-Za-z0-9+/]*|[A-Za-z0-9+/]{200,}|[A-Za-z0-9_-]{200,})={0,2}"
)
_END = re.compile(r"[\w+/=%\r\n-]*", re.ASCII)
_DEPTH = 4

_DOCUMENTS = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
}


def described(block: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Convert a media block to a part, without its data.

    Args:
        block: The content block.
        kind: One of `KINDS`.

    Returns:
        `{"type": "blob", "modality", "mime_type"?, "content": "[Blob substitute]", "size"?}` with the size in bytes if
        the data is found, `{"type": "uri", ..., "uri"}` or `{"type": "file", ..., "file_id"}`. The URL is stripped of
        secrets, see `address`.
    """
    places = list(_places(block, _DEPTH))
    mime = _mime(places, KINDS[kind])
    data = next((data for data in _found(places, _DATA) if data and not _is_address(data)), None)
    ids = [*_found(places, _IDS)]
    if block.get("source_type") == "id":  # LangChain before 1.0
        ids.append(block.get("id"))
    uri = next((uri for uri in (*_found(places, _ADDRESSES), *ids) if _is_address(uri)), None)
    file_id = next((each for each in ids if isinstance(each, str) and each and substitute(each) is None), None)
    part: dict[str, Any]
    if isinstance(uri, str):
        part = {"type": "uri", "uri": address(uri)}
    elif file_id is not None:
        part = {"type": "file", "file_id": file_id[:200]}
    else:
        if data is None:
            data = next((data for data in _found(places, _ADDRESSES) if data), None)
        if isinstance(data, str) and mime is None and (header := _DATA_URL.match(data[:300])):
            mime = header.group(1)
        part = {"type": "blob", "content": f"[{SUBSTITUTE}]", **({} if data is None else {"size": size(data)})}
    part["modality"] = _modality(mime) or KINDS[kind]
    if mime:
        part["mime_type"] = mime
    return part


def size(data: object) -> int:
    """Return the size of data in bytes. For base64 and data URLs it is computed from the length of the text."""
    if isinstance(data, memoryview):
        return data.nbytes
    if isinstance(data, (bytes, bytearray)):
        return len(data)
    if not isinstance(data, str):
        return 0
    length = len(data)
    if data[:5].lower() == "data:":
        comma = data.find(",", 0, 300) + 1
        length -= comma
        if "base64" not in data[:comma].lower():
            return length
    if "\n" in data[:80]:  # in lines, as in email
        length -= data.count("\n") + data.count("\r")
    return (length - data.count("=", -4)) * 3 // 4


def address(text: str) -> str:
    """Return a URL without what may be secret in it: user and password, query string, fragment."""
    bare = re.split(r"[?#]", text[:2_000], maxsplit=1)[0]
    start = bare.find("://") + 3 if "://" in bare else 0
    host, slash, path = bare[start:].partition("/")
    return f"{bare[:start]}{host.rpartition('@')[2]}{slash}{path}"


def substitute(text: str) -> str | None:
    """Return the placeholder for a text that is nothing but a data URL or base64; `None` for any other text.

    Checks only both ends, and that there is no space, because the text may be very large.
    """
    start = text[:300]
    data_url = _DATA_URL.match(start)
    run = None if data_url else _RUN.match(start)
    if data_url is None and (run is None or not _is_data(run.group())):
        return None
    header = start.find(",") + 1 if data_url else 0
    if " " in text or not _END.fullmatch(text[max(header, len(text) - 100) :]):
        return None
    return _placeholder(data_url.group(1) if data_url else None, size(text))


def scrubbed(text: str) -> str:
    """Replace the data URLs and the runs of base64 in a text. A placeholder can be longer than very short data."""
    if "base64," in text:
        text = _DATA_URL.sub(lambda found: _placeholder(found.group(1), size(found.group())), text)
    # A run of base64 has at least 180 characters without a space, so it contains one of these stretches entirely.
    if not any(" " not in text[start : start + 90] for start in range(0, len(text) - 89, 90)):
        return text
    return _RUN.sub(lambda run: _placeholder(None, size(run.group())) if _is_data(run.group()) else run.group(), text)


def binary(data: bytes | bytearray | memoryview) -> str:
    """Return the placeholder for bytes."""
    return _placeholder(None, size(data))


def label(part: Mapping[str, Any]) -> str:
    """Return a part made by `described` as text, for places where only text is possible."""
    mime = part.get("mime_type")
    if "size" in part:
        return _placeholder(mime, part["size"])
    return f"[{mime or part['modality']}: {part.get('uri') or part.get('file_id') or SUBSTITUTE}]"


def _placeholder(mime: str | None, length: int) -> str:
    return f"[{SUBSTITUTE}: {mime}, {length} bytes]" if mime else f"[{SUBSTITUTE}: {length} bytes]"


def _is_data(run: str) -> bool:
    """Whether a long run of letters and digits is base64: unlike words, numbers and hex digests it mixes all kinds."""
    sample = run[:200]
    return (
        any(each.islower() for each in sample)
        and any(each.isupper() for each in sample)
        and any(each.isdigit() for each in sample)
    )


def _places(block: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    yield block
    if depth:
        for name in _WRAPPERS:
            nested = block.get(name)
            if isinstance(nested, Mapping):
                yield from _places(nested, depth - 1)


def _found(places: list[Mapping[str, Any]], names: tuple[str, ...]) -> Iterator[Any]:
    for place in places:
        for name in names:
            value = place.get(name)
            if isinstance(value, (str, bytes, bytearray, memoryview)):
                yield value


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def _mime(places: list[Mapping[str, Any]], modality: str) -> str | None:
    for mime in _found(places, _TYPES):
        if isinstance(mime, str) and _MIME.fullmatch(mime):
            return mime
    for extension in _found(places, ("format", "output_format")):  # Bedrock, OpenAI: "png", "wav"
        if isinstance(extension, str) and _MIME.fullmatch(f"x/{extension}"):
            return _DOCUMENTS.get(extension) if modality == "document" else f"{modality}/{extension}"
    return None


def _modality(mime: str | None) -> str | None:
    kind = (mime or "").partition("/")[0]
    return kind if kind in ("image", "audio", "video") else "document" if kind in ("application", "text") else None
