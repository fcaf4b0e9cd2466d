"""The failure of a root run, as plain data, while it is not known whether somebody reports it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from .._content.policy import Policy
from . import reports
from .client import Scopes
from .span_models import AnySpan, SpanBackend

HOLD = 5.0
"""Seconds for which an issue is held."""
LONGEST = 60.0
"""Seconds for which it is held at most, while calls go on that were under way when the run failed: `batch` and the
executor of a block wait for all their calls before they raise the exception of one."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class Failure:
    """The failure of a root run.

    Args:
        run_id: The root run.
        first: The run that failed first.
        backend: The span model of the tree.
        span: The span of the run that failed first.
        scopes: The scopes in which the tree started.
        client: The client at that time.
        started: When the tree started, in seconds of the monotonic clock.
        policy: What may be recorded.
        has_company: Whether calls of the same request go on that started before a time.
        traits: What it has in common with reports of it.
        failed: When it failed.
        event: The issue, as long as it may have to be sent.
        copies: The scopes as they were when it failed: the application goes on to other work, for another user.
        context: The context in which it failed, for what the application adds to the event.
        last_event: What `sentry_sdk.last_event_id()` returned then.
        extended: Until when it is held, if calls went on after `HOLD` seconds.
    """

    run_id: UUID
    first: UUID
    backend: SpanBackend[Any]
    span: AnySpan | None
    scopes: Scopes | None
    client: Any
    started: float
    policy: Policy
    has_company: Callable[[float], bool]
    traits: reports.Traits = reports.UNKNOWN
    failed: float = field(default_factory=time.monotonic)
    event: Any = None
    copies: Scopes | None = None
    context: Context = field(default_factory=copy_context)
    last_event: str | None = None
    extended: float = 0.0

    @property
    def due(self) -> float:
        """When it is sent, unless somebody reports it."""
        return max(self.failed + HOLD, self.extended)

    def waits(self, now: float) -> bool:
        """Whether it is held for longer, because calls go on that it may belong to."""
        if now - self.failed >= LONGEST or not self.has_company(self.failed + HOLD):
            return False
        self.extended = now + HOLD
        return True
