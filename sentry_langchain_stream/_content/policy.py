"""Decides which content of a run may be recorded, and how much. Decided once per tree, before content is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from .._runtime.containment import contained
from . import encoded
from .cutting import fitted, size

_LEAST_ATTRIBUTE = 1_000
_BYTES = frozenset({"attribute", "span"})


@dataclass(frozen=True, slots=True)
class Limits:
    """How much content is recorded.

    Sentry's limits are in bytes. Relay trims a span to 1 MiB and rejects a span above 10 MiB (`max_span_size`,
    getsentry/relay#5780). It rejects an event above 1 MiB (`max_event_size`), and a transaction with its spans is one
    event: see `_to_sentry.transaction_size`.

    Args:
        part: One text: a message's text block, a tool's argument, a document. In characters.
        attribute: One attribute, as the string that is sent, in bytes of UTF-8.
        span: All attributes of a span that hold content, in bytes of UTF-8.

    Raises:
        TypeError: A limit is not an `int`.
        ValueError: A limit is below its minimum, or larger than the next one (`part`, `attribute`, `span`).
    """

    part: int = 20_000
    attribute: int = 100_000
    span: int = 200_000

    def __post_init__(self) -> None:
        for name, least in (("part", 100), ("attribute", _LEAST_ATTRIBUTE), ("span", 4 * _LEAST_ATTRIBUTE)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, a number of {_unit(name)}, not {type(value).__name__}")
            if value < least:
                raise ValueError(f"{name} must be at least {least} {_unit(name)}, not {value}")
        for name, around in (("part", "attribute"), ("attribute", "span")):
            if getattr(self, name) > getattr(self, around):
                raise ValueError(
                    f"{name} must be at most {around} ({getattr(self, around)} bytes), not {getattr(self, name)}"
                )

    def within(self, longest: int | None) -> Limits:
        """Return these limits, lowered so that the SDK cuts no attribute.

        Args:
            longest: The SDK's limit of a text in bytes (`max_value_length`), or `None`. Below 1,000 it cuts.
        """
        if longest is None or longest >= self.attribute:
            return self
        attribute = max(longest, _LEAST_ATTRIBUTE)
        return Limits(min(self.part, attribute), attribute, max(min(self.span, 4 * attribute), 4 * _LEAST_ATTRIBUTE))


def _unit(name: str) -> str:
    return "bytes" if name in _BYTES else "characters"


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be recorded of a run.

    Args:
        inputs: Whether prompts and other inputs may be recorded.
        outputs: Whether answers and other outputs may be recorded.
        redact: Called once with each whole text before it is recorded.
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
        longest: int | None = None,
    ) -> Policy:
        """Allow content only if the client allows it and `include_prompts` is `True`. For `longest` see `Limits`."""
        if not include_prompts or not (client_inputs or client_outputs):
            return NOTHING
        return cls(client_inputs, client_outputs, redact, (limits or NOTHING.limits).within(longest))

    def and_(self, nearer: Policy) -> Policy:
        """Return the policy for a run that two handlers see: each of their vetoes holds.

        Args:
            nearer: The policy of the handler that records the run. Its limits hold.
        """
        redacts = tuple(dict.fromkeys(each.redact for each in (self, nearer) if each.redact is not None))
        return Policy(
            self.inputs and nearer.inputs,
            self.outputs and nearer.outputs,
            redacts[0] if len(redacts) == 1 else _one_after_another(*redacts) if redacts else None,
            nearer.limits,
        )

    def beside(self, *recorded: str | None, ahead: int = 0) -> Policy:
        """Return the policy for the next attribute of a span, so that all its attributes stay within the span's limit.

        A model's span has up to four: system instructions, tools, the prompt and the answer. For each one still to come
        a quarter of the span's limit is reserved, or an attribute's limit if that is less.

        Args:
            recorded: The attributes that the span has already. `None` stands for an attribute that is left out.
            ahead: How many attributes are still to come after this one.
        """
        if not (self.inputs or self.outputs):
            return self
        left = self.limits.span - sum(size(each) for each in recorded if each)
        left -= ahead * min(self.limits.attribute, self.limits.span // 4)
        attribute = max(min(self.limits.attribute, left), _LEAST_ATTRIBUTE)
        if attribute == self.limits.attribute:
            return self
        limits = replace(self.limits, part=min(self.limits.part, attribute), attribute=attribute)
        return replace(self, limits=limits)

    def text(self, text: str) -> str | None:
        """Return a text as it may be recorded: redacted, without binary data, then cut.

        `redact` is called with the whole text, even if it is long, because a secret may lie across the cut.

        Returns:
            The text, or `None` if `redact` failed: an unredacted text is dropped.
        """
        redacted = self.redacted(text)
        return None if redacted is None else fitted(redacted, self.limits.part, self.limits.attribute)

    def redacted(self, text: str) -> str | None:
        """Return the redacted text, or `None` if `redact` failed. A text of binary data only becomes a placeholder."""
        data = encoded.substitute(text)
        if data is not None or self.redact is None:
            return data or text
        redacted: object = None
        with contained("redact"):
            redacted = self.redact(text)
            if not isinstance(redacted, str):
                raise TypeError(f"redact must return a str, not {type(redacted).__name__}")
        return redacted if isinstance(redacted, str) else None


def _one_after_another(first: Callable[[str], str], second: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: second(first(text))


NOTHING = Policy()
"""Nothing may be recorded."""
