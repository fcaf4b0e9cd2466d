"""Keeps a span in the conversation that its run started in.

Workaround: as an AI span ends, the SDK gives it the conversation that its scope has by then (sentry-sdk 2.51 to 2.75).
If the application has gone on to another conversation in the same scope, a prompt would land in that one. So such a
span ends with a copy of its scope that has the conversation of the start. Can go when the SDK leaves a span the
conversation that it has.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from sentry_sdk.scope import Scope
from sentry_sdk.tracing import Span

from .._vocabulary.keys import CONVERSATION, AttributeValue
from . import internals


def scope_conversation_id(scope: Any) -> str | None:
    """Return the id of a scope's conversation, or `None`. Scopes have conversations since sentry-sdk 2.51."""
    get = getattr(scope, "get_conversation_id", None)
    found = get() if get is not None else None
    return found if isinstance(found, str) and found else None


def ending_scope(span: Span, attributes: dict[str, AttributeValue], *, is_root: bool) -> Scope | None:
    """Return the scope to end a span of a transaction with, or `None` if the SDK's choice is right.

    Args:
        span: The span.
        attributes: Its attributes.
        is_root: Whether it is the transaction.
    """
    scope: Scope = (span.scope if is_root else None) or Scope.get_current_scope()
    return _other_conversation(scope, attributes)


def keep_conversation(span: Any, attributes: dict[str, AttributeValue]) -> None:
    """Make a streamed span, which is about to end, keep the conversation in its attributes."""
    scope = internals.scope_of_streamed(span)
    other = _other_conversation(scope, attributes) if scope is not None else None
    if other is not None:
        internals.set_scope_of_streamed(span, other)


def _other_conversation(scope: Scope, attributes: dict[str, AttributeValue]) -> Scope | None:
    """Return a copy of a scope with the conversation in these attributes, or `None` if the scope may stay."""
    present = scope_conversation_id(scope)
    if present is None:
        return None
    wanted = attributes.get(CONVERSATION)
    if present == wanted:
        return None
    other = copy(scope)
    if isinstance(wanted, str):
        other.set_conversation_id(wanted)
    else:
        other.remove_conversation_id()
    return other
