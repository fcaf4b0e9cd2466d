"""What of a run's content may be recorded and how much of it, decided once per run, before anything is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from . import media
from .containment import contained

_LEAST_ATTRIBUTE = 2_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much content is recorded, in characters.

    A character is at most 4 bytes of UTF-8, so a span's content is at most 800 kB with the defaults. Relay trims a
    span to 1 MiB and refuses one above 10 MiB (`max_span_size`, getsentry/relay#5780). An event, and with it a
    transaction together with the spans in it, it refuses above 1 MiB (`max_event_size`): where model spans are part of
    the transaction (`stream_gen_ai_spans=False`, sentry-sdk before 2.64), lower limits may be in place.

    Args:
        part: One text: a message's text block, a tool's argument, a document.
        attribute: One attribute, as the string that is sent.
        span: All attributes of a span that hold content.

    Raises:
        TypeError: A limit is no int.
        ValueError: A limit is too small to say anything, or larger than the one around it.
    """

    part: int = 20_000
    attribute: int = 100_000
    span: int = 200_000

    def __post_init__(self) -> None:
        for name, least in (("part", 100), ("attribute", _LEAST_ATTRIBUTE), ("span", 4 * _LEAST_ATTRIBUTE)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, a number of characters, not {type(value).__name__}")
            if value < least:
                raise ValueError(f"{name} must be at least {least} characters, not {value}")
        for name, around in (("part", "attribute"), ("attribute", "span")):
            if getattr(self, name) > getattr(self, around):
                raise ValueError(
                    f"{name} must be at most {around} ({getattr(self, around)} characters), not {getattr(self, name)}"
                )


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be recorded of a run.

    Args:
        inputs: Prompts and whatever else goes into a run.
        outputs: Answers and whatever else comes out of it.
        redact: Called once with every whole piece of text that is recorded.
        limits: How much is recorded.
    """

    inputs: bool = False
    outputs: bool = False
    redact: Callable[[str], str] | None = None
    limits: Limits = Limits()

    @classmethod
    def decide(
        cls,
        *,
        client_inputs: bool,
        client_outputs: bool,
        include_prompts: bool,
        redact: Callable[[str], str] | None,
        limits: Limits | None = None,
    ) -> Policy:
        """Content is recorded only if the client allows it and `include_prompts` does not veto it."""
        if not include_prompts or not (client_inputs or client_outputs):
            return NOTHING
        return cls(client_inputs, client_outputs, redact, limits or NOTHING.limits)

    def beside(self, *told: str | None, ahead: int = 0) -> Policy:
        """The policy for one more attribute of a span, so that all of them together keep to the span's limit.

        A model's span has up to four: system instructions, tools, the prompt and the answer. Each of those still to
        come is sure of a quarter of the span's limit (or of an attribute's, if that is less).

        Args:
            told: The attributes that the span has already, `None` for those that say nothing.
            ahead: How many are still to come.
        """
        if not (self.inputs or self.outputs):
            return self
        left = self.limits.span - sum(len(each) for each in told if each)
        left -= ahead * min(self.limits.attribute, self.limits.span // 4)
        attribute = max(min(self.limits.attribute, left), _LEAST_ATTRIBUTE)
        if attribute == self.limits.attribute:
            return self
        limits = replace(self.limits, part=min(self.limits.part, attribute), attribute=attribute)
        return replace(self, limits=limits)

    def text(self, text: str) -> str | None:
        """A piece of text as it may be kept: redacted, without binary data, then cut.

        `redact` sees the whole text, however long: what it looks for may stand across the cut.

        Returns:
            The text, or `None` if `redact` failed: an unredacted text is dropped, not sent.
        """
        redacted = self.redacted(text)
        return None if redacted is None else fitted(redacted, self.limits.part)

    def redacted(self, text: str) -> str | None:
        """A text as `redact` leaves it, or `None` if that failed. What is nothing but data is replaced unseen."""
        data = media.substitute(text)
        if data is not None or self.redact is None:
            return data or text
        redacted: object = None
        with contained("redact"):
            redacted = self.redact(text)
            if not isinstance(redacted, str):
                raise TypeError(f"redact must return a str, not {type(redacted).__name__}")
        return redacted if isinstance(redacted, str) else None


NOTHING = Policy()
"""Nothing may be recorded."""


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
