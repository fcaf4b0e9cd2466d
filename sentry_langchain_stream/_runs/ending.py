"""The record of how a run ended, and with which failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from .._runtime.tracebacks import closed_in
from .._to_sentry.span_models import AnySpan
from .kinds import Control, Outcome, nothing

LANGCHAIN = ("langchain_core.", "langchain_classic.", "langgraph.")
"""How the modules are named whose generators are the streams of chains and models."""


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
        is_left: Which of the leavings in its tree was that of its own consumer, see `Tree.left`. It ends when what it
            reads from is closed. 0 if its consumer has not left.
        left_before: If clean-up code has started it, or a run around it: how many leavings in its tree were before
            that.
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
    is_left: int = 0
    left_before: int = 0
    is_over: bool = False
    failed: Mapping[UUID, AnySpan | None] = field(default_factory=nothing)

    _MOST_FAILED = 8

    def note_start(self, leavings: int, around: Ending) -> None:
        """The run starts in a tree of which streams have been left.

        What LangChain starts then, to read the rest of a stream, was left too. Clean-up code reads what it starts.

        Args:
            leavings: How many times streams have been left.
            around: The ending of the run's parent.
        """
        module = closed_in()
        is_in_clean_up = module is not None and not module.startswith(LANGCHAIN)
        self.left_before = leavings if is_in_clean_up else around.left_before

    def remember(self, failures: Mapping[UUID, AnySpan | None]) -> None:
        """Remember failed descendants, because the run may fail with the same exception. Only the last few are kept."""
        if failures:
            self.failed = dict([*{**self.failed, **failures}.items()][-self._MOST_FAILED :])
