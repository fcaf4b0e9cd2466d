"""Where a run is: the tree that it belongs to, and its position in Sentry's trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from .._runtime.locks import PatientLock
from .._to_sentry.client import Scopes
from .._to_sentry.span_models import AnySpan, SpanBackend
from .kinds import nothing
from .usage import Usage
from .watches import WatchedRuns


def no_client() -> None:
    """Stands for a weak reference to a client that is gone."""


@dataclass(slots=True, eq=False, repr=False)
class Tree:
    """What the runs of one tree share.

    Args:
        scopes: The Sentry scopes in which the tree started. They belong to its request, wherever the tree ends.
        client: Returns the client that was current then, and for which was decided what may be recorded.
        outside: What the tree's issues are linked to if its runs have no spans: a span of another library.
        touched: When a run of the tree last started or ended.
        started: When the tree started, in seconds of the system's monotonic clock.
        watches: The blocks in which it started, to which its root runs are added when they end.
        calls: How many model calls have ended in it.
        usage: Their summed usage, without that of embeddings.
        cost: What they cost in USD, as far as that is known.
        unpriced: Whether one of them has used tokens whose price is not known.
        conversation: The id of the conversation that was set with Sentry's `set_conversation_id` when the tree started.
        overruled: The id of a conversation that a config has whose call has another one in its metadata.
        sampling: What the user's `traces_sampler` gets besides the attributes of the root span.
        batch: Identifies the call with several prompts at its root, while more prompts are expected.
        leavings: How many times the consumer of one of its sync streams has left.
        root: The span that has no parent in this process, if it is one of ours.
        is_over: Whether that has ended, or is about to: then it takes no span of a transaction along.
        lock: Held while a run of the tree starts or ends, but not while what is to be sent of it is handed to the SDK.
            Garbage collection may end a run at any point.
    """

    scopes: Scopes | None = None
    client: Callable[[], object | None] = no_client
    outside: AnySpan | None = None
    touched: float = 0.0
    started: float = field(default_factory=monotonic)
    watches: tuple[WatchedRuns, ...] = ()
    calls: int = 0
    usage: Usage | None = None
    cost: float | None = None
    unpriced: bool = False
    conversation: str | None = None
    overruled: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=nothing)
    batch: tuple[int, int] | None = None
    leavings: int = 0
    root: AnySpan | None = None
    is_over: bool = False
    lock: PatientLock = field(default_factory=PatientLock)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Place:
    """The position of a run in Sentry's trace.

    Args:
        backend: The span model of the tree.
        anchor: The parent span for the run's children: its own span, else its parent's, else the one that was active.
        is_ours: Whether the anchor is a span of this package, rather than one of the application's.
        recording: Whether anything of the run is sent. It is `False` if the trace is not sampled.
        nests: Whether the run's span is the active one for the code inside the run.
        span: The run's own span, if it has one.
    """

    backend: SpanBackend[Any]
    anchor: AnySpan | None = None
    is_ours: bool = False
    recording: bool = False
    nests: bool = True
    span: AnySpan | None = None

    def below(self, *, nests: bool) -> Place:
        """Return the place of a run below this one. It has no span yet."""
        return Place(
            backend=self.backend, anchor=self.anchor, is_ours=self.is_ours, recording=self.recording, nests=nests
        )
