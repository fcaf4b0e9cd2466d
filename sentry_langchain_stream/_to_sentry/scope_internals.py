"""Names of sentry-sdk that are not documented for users, as far as they are about scopes: see `internals`."""

from __future__ import annotations

from typing import Any

from .internals import take

_ELSEWHERE = "a run that ends in another request is sent with that request's user and tags"

use_scope = take("sentry_sdk.scope", "use_scope", off=_ELSEWHERE)
use_isolation_scope = take("sentry_sdk.scope", "use_isolation_scope", off=_ELSEWHERE)

_BESIDE = "spans of what runs inside a run are not its children"

scope_slots: tuple[str, ...] | None = take("sentry_sdk.scope", "Scope.__slots__", off=_BESIDE)
set_current_scope: Any = take("sentry_sdk.scope", "Scope.set_current_scope", off=_BESIDE)
"""Makes a scope the current one. Called only if `can_nest`."""
can_nest = set_current_scope is not None and scope_slots is not None and "_span" in scope_slots
"""Whether a scope of ours can stand in for the current one."""

take(
    "sentry_sdk.scope",
    "Scope._event_processors",
    off="a model that the user's `redact` calls in a thread is followed",
)


def last_event_id(scope: Any) -> str | None:
    """What `sentry_sdk.last_event_id()` returns in an isolation scope."""
    found = getattr(scope, "_last_event_id", None)
    return found if isinstance(found, str) else None


def set_last_event_id(scope: Any, event_id: str | None) -> None:
    """Have `sentry_sdk.last_event_id()` return the id of an event that was sent with a copy of this isolation scope."""
    if event_id is not None and scope_slots is not None and "_last_event_id" in scope_slots:
        scope._last_event_id = event_id


take(
    "sentry_sdk.scope",
    "Scope._transaction",
    off="after a transaction that was opened in a run, events of the request are named after it",
)


def event_name(scope: Any) -> tuple[Any, dict[str, Any]] | None:
    """The name of the transaction or segment that events of a scope have, and what is known of the name."""
    info = getattr(scope, "_transaction_info", None)
    return (scope._transaction, dict(info)) if isinstance(info, dict) and hasattr(scope, "_transaction") else None


def set_event_name(scope: Any, name: Any, info: dict[str, Any]) -> None:
    """Give back to events of a scope what `event_name` has returned."""
    scope._transaction, scope._transaction_info = name, info


def event_processors(scope: Any) -> Any:
    """The event processors of a scope."""
    return getattr(scope, "_event_processors", ())


merged_scopes = take(
    "sentry_sdk.scope", "Scope._merge_scopes", off="user feedback lacks the user and the tags of the current scope"
)


def scope_user(scope: Any) -> Any | None:
    """The user that was set in a scope, if that is known."""
    return getattr(scope, "_user", None)


get_propagation_context = take(
    "sentry_sdk.scope",
    "Scope.get_active_propagation_context",
    off="root spans start traces of their own, also where an incoming trace could be continued",
)

take("sentry_sdk.scope", "Scope._name", off="what goes on after the end of a request starts traces of its own")


def is_of_integration(isolation: Any) -> bool:
    """Whether an integration has made an isolation scope, for a request or a task: ASGI, WSGI, Celery and others."""
    return getattr(isolation, "_name", None) is not None
