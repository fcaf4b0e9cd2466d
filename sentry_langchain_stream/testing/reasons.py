"""Why a span that is looked for is not among the captured ones: what the capture and the SDK know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import sentry_sdk

from .printable import printable

REPLACED = (
    "(another client was installed during the capture, by sentry_sdk.init or by a capture that overlaps with this one: "
    "what it sent is not here. Call init before the capture, and pass its options to the capture)"
)
"""The line of a capture whose client was replaced."""


def unended(names: list[str]) -> Iterator[str]:
    """Yield the line that names the runs that have not ended, if there are any."""
    if names:
        count = "1 run has" if len(names) == 1 else f"{len(names)} runs have"
        shown = printable(", ".join([*names[:10], *(["..."] if len(names) > 10 else [])]))
        yield f"({count} not ended: {shown}. Close the stream or generator, see docs/endings.md)"


def dropped(lost: Iterable[str]) -> Iterator[str]:
    """Yield the line on what the SDK has dropped, if it has.

    Args:
        lost: `"category: reason"` for each, as the SDK reports it.
    """
    counts = Counter(lost)
    if counts:
        counted = ", ".join(f"{count} {each}" for each, count in sorted(counts.items()))
        yield f"(the SDK dropped, by its options or hooks: {counted})"


def waiting() -> Iterator[str]:
    """Yield the line on the active transaction, if it has not ended."""
    active = sentry_sdk.get_current_span()
    transaction = active.containing_transaction if active is not None else None
    if transaction is not None and transaction.timestamp is None:
        yield f"(the transaction {printable(transaction.name)!r} has not ended: its spans are sent when it has)"
