"""The failure of a root run, as plain data, while it is not known whether somebody reports it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from .._content.policy import Policy
from .._runtime.interpreter import running_loop
from . import reports
from .client import Scopes
from .span_models import AnySpan, SpanBackend

HOLD = 5.0
"""Seconds for which an issue is held."""
LONGEST = 60.0
"""Seconds for which it is held at most, while calls go on that were under way when the run failed: `batch` and the
executor of a block wait for all their calls before they raise the exception of one."""

_TURNS = 10
"""So often an event loop comes round before an exception has certainly left: each `finally` on its way may wait."""
_SHORTLY = 0.2
"""Seconds after which the loop is looked at again."""


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
        came_through: The runs that its exception has come through.
        traits: What it has in common with reports of it.
        failed: When it failed.
        held: Since when its issue is held, which takes some time to make.
        event: The issue, as long as it may have to be sent.
        copies: The scopes as they were when it failed: the application goes on to other work, for another user.
        context: The context in which it failed, for what the application adds to the event.
        last_event: What `sentry_sdk.last_event_id()` returned then.
        is_reported: Whether somebody has reported it.
        extended: Until when it is held, if calls went on after `HOLD` seconds.
        loop: The event loop in which it failed.
        turns: How often that loop has yet to come round after `HOLD` seconds, before nobody can be about to report it.
            `None` until then.
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
    came_through: frozenset[UUID] = frozenset()
    traits: reports.Traits = reports.UNKNOWN
    failed: float = field(default_factory=time.monotonic)
    held: float = 0.0
    event: Any = None
    copies: Scopes | None = None
    context: Context = field(default_factory=copy_context)
    last_event: str | None = None
    is_reported: bool = False
    extended: float = 0.0
    loop: asyncio.AbstractEventLoop | None = field(default_factory=running_loop)
    turns: int | None = None

    @property
    def due(self) -> float:
        """When it is sent, unless somebody reports it."""
        return max(self.failed + HOLD, self.held + HOLD, self.extended)

    def waits(self, now: float) -> bool:
        """Whether it is held for longer, because calls go on that it may belong to."""
        if now - self.failed >= LONGEST:
            return False
        if self.has_company(self.failed + HOLD):
            self.extended = now + HOLD
        elif self._is_loop_behind():
            self.extended = now + _SHORTLY
        else:
            return False
        return True

    def _is_loop_behind(self) -> bool:
        """Whether its event loop has been so busy that the exception may still be on its way to who reports it."""
        if self.loop is None or not self.loop.is_running():
            return False
        if self.turns is None:
            self.turns = _TURNS
            try:
                self.loop.call_soon_threadsafe(self._turn, context=Context())
            except RuntimeError:  # it has been closed meanwhile
                return False
        return self.turns > 0

    def _turn(self) -> None:
        self.turns = (self.turns or 0) - 1
        if self.turns > 0 and self.loop is not None:
            self.loop.call_soon(self._turn, context=Context())
