"""Collects the text of a streamed answer piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .cutting import cut, mark
from .policy import Policy


@dataclass(slots=True)
class Gathered:
    """Collects a text that arrives in pieces, in bounded memory.

    Without `redact`, only the beginning and the end are kept, as much as may be sent. With `redact`, the whole text is
    kept, because `redact` must see all of it. A text longer than `MOST` characters is then replaced with a mark that
    states its length: the part that was kept might contain half of a secret, which `redact` would not recognise.

    Args:
        policy: What may be recorded.
    """

    MOST: ClassVar[int] = 1_000_000
    """The maximum number of characters kept for `redact`."""

    policy: Policy
    beginning: str = ""
    missing: int = 0
    """The number of characters dropped after the beginning."""
    pieces: list[str] = field(default_factory=list)
    held: int = 0
    """The number of characters in the pieces, but for those that were put there directly: see `limit`."""
    most: int = field(init=False)
    """The maximum of `held`."""

    def __post_init__(self) -> None:
        self.most = self.MOST if self.policy.redact is not None else 2 * self.policy.limits.part

    def add(self, text: str) -> None:
        """Add a piece."""
        self.pieces.append(text)
        self.held += len(text)
        if self.held > self.most:
            self._shorten()

    def limit(self) -> int:
        """Limit what is held, with pieces that have been put there directly. Return how many characters have room."""
        self.held = sum(map(len, self.pieces))
        if self.held > self.most:
            self._shorten()
        return self.most - self.held

    def text(self) -> str:
        """Return the text that has arrived, cut if it was too long."""
        arrived = self.beginning + "".join(self.pieces)
        if not self.missing:
            return arrived
        if self.policy.redact is not None:
            return mark(self.missing + len(arrived), "characters")
        return cut(arrived, self.policy.limits.part, self.missing)

    def clear(self) -> None:
        """Discard what has arrived."""
        self.beginning, self.missing, self.held = "", 0, 0
        self.pieces.clear()

    def _shorten(self) -> None:
        arrived, limit = "".join(self.pieces), self.policy.limits.part
        kept = ""
        if self.policy.redact is None:
            if not self.beginning:
                self.beginning, arrived = arrived[:limit], arrived[limit:]
            kept = arrived[-limit:]
        self.missing += len(arrived) - len(kept)
        self.pieces[:] = [kept]  # in place: `Call.keep` is a method of this list
        self.held = len(kept)
