"""The text of a streamed answer, gathered piece by piece."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from .cutting import cut, mark
from .policy import Policy


@dataclass(slots=True)
class Gathered:
    """A text that arrives in pieces; no more of it is held than may be sent.

    That is both its ends, as of any text that is too long. But `redact` has to see a text as a whole: with it all is
    held, up to `MOST` characters, and of a text that is longer only the length is told: a part of it might hold a part
    of what is to be redacted.

    Args:
        policy: What may be recorded.
    """

    MOST: ClassVar[int] = 1_000_000
    """Characters that are held for `redact` at most."""

    policy: Policy
    beginning: str = ""
    missing: int = 0
    """Characters that have been dropped after the beginning."""
    pieces: list[str] = field(default_factory=list)
    held: int = 0
    """Characters in the pieces."""
    most: int = field(init=False)
    """How many there may be."""

    def __post_init__(self) -> None:
        self.most = self.MOST if self.policy.redact is not None else 2 * self.policy.limits.part

    def add(self, text: str) -> None:
        """One more piece. This runs once per token, so it does no more than it must."""
        self.pieces.append(text)
        self.held += len(text)
        if self.held > self.most:
            self._shorten()

    def text(self) -> str:
        """What has arrived, or what is left of it."""
        arrived = self.beginning + "".join(self.pieces)
        if not self.missing:
            return arrived
        if self.policy.redact is not None:
            return mark(self.missing + len(arrived), "characters")
        return cut(arrived, self.policy.limits.part, self.missing)

    def clear(self) -> None:
        """Forget what has arrived."""
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
        self.pieces, self.held = [kept], len(kept)
