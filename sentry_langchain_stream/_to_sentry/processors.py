"""Event processors that see the events of all requests."""

from __future__ import annotations

from collections.abc import Callable

import sentry_sdk
from sentry_sdk.scope import Scope
from sentry_sdk.types import Event, Hint

Processor = Callable[[Event, Hint], Event | None]

_added: dict[Processor, Scope] = {}


def add(processor: Processor) -> None:
    """Have a processor see every event from now on, after those of the integrations. The second time, do nothing."""
    scope = sentry_sdk.get_global_scope()  # a test may put another one in its place
    if _added.get(processor) is not scope:
        _added[processor] = scope
        scope.add_event_processor(processor)
