"""What is known of a run, for the application itself: ids for a log line, numbers for a bill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from .._to_sentry.client import trace_page

if TYPE_CHECKING:
    from .._content.policy import Limits
    from .kinds import Outcome, RunKind


class Terms(NamedTuple):
    """What may be recorded of the output of a run that may have ended.

    Args:
        outputs: Whether content may be recorded.
        redact: The `redact` of its handler.
        limits: How much is recorded.
    """

    outputs: bool
    redact: Callable[[str], str] | None
    limits: Limits


class _Kept:
    """Holds what a `RunInfo` knows besides its fields. It is not pickled with them."""

    __slots__ = ("policy_", "redact_")

    def __copy__(self) -> _Kept:
        return self  # it never changes

    def __deepcopy__(self, memo: object) -> _Kept:
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo(_Kept):
    """What is known of a run, without content. `None` means unknown.

    The numbers are those of the model calls that have ended in the run. They are known of root runs and model calls:
    of a live run inside another one they are 0 and `None`.

    Args:
        run_id: LangChain's id of the run.
        kind: `"pipeline"`, `"agent"`, `"chain"`, `"model"`, `"tool"`, `"retriever"`, `"embeddings"` or `"rerank"`.
        name: The run's name.
        pipeline: The pipeline's name.
        conversation_id: The conversation that it belongs to.
        model: The model that answered, else the one that was asked, if the run is a model call.
        trace_id: The trace in Sentry, 32 hexadecimal digits. `None` if no span of the run is sent.
        span_id: The run's span in Sentry, 16 hexadecimal digits.
        outcome: `"completed"`, `"cancelled"`, `"abandoned"` or `"failed"`. `None` while it is running.
        error_type: The class of the exception that it failed with.
        seconds: How long it has been running. Known of root runs and model calls.
        model_calls: How many model calls have ended in it.
        input_tokens: Their input tokens. Without those of embeddings, as in `gen_ai.usage` of an agent.
        output_tokens: Their output tokens.
        total_tokens: Their tokens.
        usage_source: `"provider"`, or `"estimate"` if a number of any call is estimated.
        cost: What they cost in USD, with embeddings and with what a provider charges per request. Needs `cost=True`.
    """

    run_id: UUID
    kind: RunKind
    name: str | None
    pipeline: str
    conversation_id: str | None
    model: str | None
    trace_id: str | None
    span_id: str | None
    outcome: Outcome | None
    error_type: str | None
    seconds: float | None
    model_calls: int
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    usage_source: str | None
    cost: float | None

    def url(self, base: str | None = None) -> str | None:
        """Return the address of the run's trace in Sentry, or `None` if that is not known.

        Args:
            base: The address of your organisation, such as `"https://acme.sentry.io"`, or, self-hosted,
                `"https://sentry.example.com/organizations/acme"`. Without it, Sentry's address of the organisation
                whose number is in the client's DSN, which only a DSN of sentry.io has.

        Raises:
            TypeError: `base` is neither a `str` nor `None`.
            ValueError: `base` is no address that begins with `https://` or `http://`.
        """
        page = trace_page(base)
        if page is None or self.trace_id is None:
            return None
        return f"{page}/{self.trace_id}/?node=span-{self.span_id}"
