"""Texts that are cut to a limit, and what stands in place of what was cut."""

from __future__ import annotations

from . import media


def cut(text: str, limit: int, missing: int = 0) -> str:
    """Cut the middle out of a text longer than `limit` characters, and say how much is missing.

    What is left is no longer than `limit`, the mark included.

    Args:
        text: The text.
        limit: How long it may be.
        missing: How much of its middle has been cut already.
    """
    if len(text) <= limit:
        return text
    half = max(limit - len(mark(len(text) + missing, "characters")), 0) // 2
    if not half:
        return text[:limit]
    return f"{text[:half]}{mark(len(text) - 2 * half + missing, 'characters')}{text[-half:]}"


def fitted(text: str, limit: int) -> str:
    """A text without binary data and lone surrogates, cut to `limit` characters. Costs no more than a few limits."""
    if len(text) <= 4 * limit:
        kept = cut(media.scrubbed(text), limit)
    else:  # only what is left of it is looked at, and data in that is counted as it was cut
        room = limit
        while len(kept := media.scrubbed(cut(text, room))) > limit:  # what stands in place of little data is longer
            room = max(room - (len(kept) - limit), 0)
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode("utf-8")


def mark(count: int, what: str) -> str:
    """What stands in place of so many characters, items or parts that were cut."""
    return f"[... {count} {what} cut ...]"
