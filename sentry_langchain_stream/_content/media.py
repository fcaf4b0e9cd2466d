"""Describes media without their data: images, audio, video and files in the formats of all providers.

The parts follow OpenTelemetry's GenAI message schema, which Sentry shows as "content of type <mime_type>": `blob` for
inline data, `uri` for a URL, `file` for a file that was uploaded to the provider before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from .encoded import HEADER, SUBSTITUTE, placeholder, size, substitute, type_of

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

_PLACES = frozenset({*_DATA, *_ADDRESSES, *_IDS, *_WRAPPERS, "source_type"})

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_MIME = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,60}")
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
        if isinstance(data, str) and mime is None and (header := HEADER.match(data[:300])):
            mime = type_of(header)
        part = {"type": "blob", "content": f"[{SUBSTITUTE}]", **({} if data is None else {"size": size(data)})}
    part["modality"] = _modality(mime) or KINDS[kind]
    if mime:
        part["mime_type"] = mime
    return part


def is_media(block: Mapping[str, Any], kind: str) -> bool:
    """Whether a block has its data, URL or id where providers put it. `{"type": "file", "path": "a.py"}` has not."""
    # A tool may return the text of files under this key. Data in it is found like in any text.
    places = _PLACES - {"content"} if kind in ("file", "document") else _PLACES
    return kind in KINDS and not places.isdisjoint(block)


def address(text: str) -> str:
    """Return a URL without what may be secret in it: user and password, query string, fragment."""
    bare = re.split(r"[?#]", text[:2_000], maxsplit=1)[0]
    start = bare.find("://") + 3 if "://" in bare else 0
    host, slash, path = bare[start:].partition("/")
    return f"{bare[:start]}{host.rpartition('@')[2]}{slash}{path}"


def label(part: Mapping[str, Any]) -> str:
    """Return a part made by `described` as text, for places where only text is possible."""
    mime = part.get("mime_type")
    if "size" in part:
        return placeholder(mime, part["size"])
    return f"[{mime or part['modality']}: {part.get('uri') or part.get('file_id') or SUBSTITUTE}]"


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
