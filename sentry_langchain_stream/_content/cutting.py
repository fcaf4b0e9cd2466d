"""Cuts texts to a limit, and puts a mark in place of the part that was cut."""

from __future__ import annotations

from . import encoded


def cut(text: str, limit: int, missing: int = 0) -> str:
    """Replace the middle of a text longer than `limit` characters with a mark. The mark states how much is missing.

    The result, including the mark, is no longer than `limit`.

    Args:
        text: The text.
        limit: The maximum length.
        missing: How many characters of its middle have been cut already.
    """
    if len(text) <= limit:
        return text
    half = max(limit - len(mark(len(text) + missing, "characters")), 0) // 2
    if not half:
        return text[:limit]
    return f"{text[:half]}{mark(len(text) - 2 * half + missing, 'characters')}{text[-half:]}"


def size(text: str) -> int:
    """Return the length of a text in bytes of UTF-8, which is what the SDK and Sentry count."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def fitted(text: str, limit: int, most: int | None = None) -> str:
    """Cut a text, without binary data and lone surrogates. The time depends on `limit` only.

    Args:
        text: The text.
        limit: The maximum length in characters.
        most: The maximum size in bytes of UTF-8, if there is one.
    """
    kept = _cleaned(text, limit)
    while most is not None and (length := size(kept)) > most:
        limit = min(limit * most // length, limit - 1)
        kept = _cleaned(text, limit)
    return kept


def _cleaned(text: str, limit: int) -> str:
    if len(text) <= 4 * limit:
        kept = cut(encoded.scrubbed(text), limit)
    else:  # cut first, then scrub only what is left; the size in a placeholder is that of the data after the cut
        allowed = limit
        while len(kept := encoded.scrubbed(cut(text, allowed))) > limit:  # a placeholder can be longer than its data
            allowed = max(allowed - (len(kept) - limit), 0)
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode("utf-8")


def mark(count: int, what: str) -> str:
    """Return the mark for `count` characters, items or parts that were cut."""
    return f"[... {count} {what} cut ...]"
