"""The record of how a run ended, and with which failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from .._to_sentry.span_models import AnySpan
from .kinds import Control, Outcome, nothing


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Ending:
    """How a run ended. While the run is live: what is known so far.

    Args:
        outcome: How the run ended.
        control: How it gave up control, if it did.
        error_type: The class name of the exception that it failed with.
        evicted: Why this package ended the run, if LangChain did not: `"idle"`, `"limit"` or `"exit"`.
        attempts: For a call with fallbacks, the number of attempts.
        failures: For a call with fallbacks, the number of failed attempts.
        failed: The latest failures in the run and its descendants: id of the run that failed first -> its span.
        counted: Whether the span of a descendant stands for the failure already.
        left: Whether the consumer has left a run in it.
        leaving: Which of the leavings in its tree was that of its own consumer, see `Tree.leavings`. It ends when what
            it reads from is closed. 0 if its consumer has not left.
        leavings_before: How many leavings in its tree do not concern it: the application has started it after them, or
            a run around it.
        is_over: For a call with fallbacks, whether it is over, and ends with the last of what is in it.
    """

    outcome: Outcome = "completed"
    control: Control | None = None
    error_type: str | None = None
    evicted: str | None = None
    attempts: int = 0
    failures: int = 0
    counted: bool = False
    left: bool = False
    leaving: int = 0
    leavings_before: int = 0
    is_over: bool = False
    failed: Mapping[UUID, AnySpan | None] = field(default_factory=nothing)

    _MOST_FAILED = 8

    def remember(self, failures: Mapping[UUID, AnySpan | None]) -> None:
        """Remember failed descendants, because the run may fail with the same exception. Only the last few are kept."""
        if failures:
            self.failed = dict([*{**self.failed, **failures}.items()][-self._MOST_FAILED :])
