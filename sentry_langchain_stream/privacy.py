"""What of a run's content may be recorded, decided once per run, before anything is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .containment import contained

TEXT_LIMIT = 20_000
"""Characters of one piece of text that are recorded; the middle of a longer one is cut out."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be recorded of a run.

    Args:
        inputs: Prompts and whatever else goes into a run.
        outputs: Answers and whatever else comes out of it.
        redact: Called with every whole piece of text that is recorded.
    """

    inputs: bool = False
    outputs: bool = False
    redact: Callable[[str], str] | None = None

    @classmethod
    def decide(
        cls, *, client_inputs: bool, client_outputs: bool, include_prompts: bool, redact: Callable[[str], str] | None
    ) -> Policy:
        """Content is recorded only if the client allows it and `include_prompts` does not veto it."""
        if not include_prompts:
            return NOTHING
        return cls(client_inputs, client_outputs, redact)

    def text(self, text: str) -> str | None:
        """A piece of text as it may be kept: redacted, then cut.

        Returns:
            The text, or `None` if `redact` failed: an unredacted text is dropped, not sent.
        """
        if self.redact is not None:
            redacted: object = None
            with contained("redact"):
                redacted = self.redact(text)
                if not isinstance(redacted, str):
                    raise TypeError(f"redact must return a str, not {type(redacted).__name__}")
            if not isinstance(redacted, str):
                return None
            text = redacted
        return cut(text)


NOTHING = Policy()
"""Nothing may be recorded."""


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """Cut the middle out of a text longer than `limit` characters, and say how much is missing."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}[... {len(text) - 2 * half} characters cut ...]{text[len(text) - half :]}"
