"""Report a failed run as an issue, once."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import UUID

import sentry_sdk
from sentry_sdk.scope import add_global_event_processor
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import event_from_exception

from ..privacy import Policy
from .spans import SpanBackend


def capture_error(error: BaseException, backend: SpanBackend, span: Any | None, policy: Policy) -> None:
    """Report an exception as an issue, linked to the span that failed with it, unless it was reported already.

    The exception is marked, so that nobody reports it a second time: not we, and not an integration that sees it
    afterwards. Sentry's own de-duplication remembers the last exception in a context variable; LangChain signals
    errors from a copied context, so a web framework's integration would not know.
    """
    if _marks(error).get(_REPORTED):
        return
    _drop_reported()
    event, hint = event_from_exception(
        error, client_options=sentry_sdk.get_client().options, mechanism={"type": "langchain_stream"}
    )
    _keep_private(event, policy)
    with sentry_sdk.new_scope() as scope:
        if span is not None:
            backend.link(scope, span)
        captured = scope.capture_event(event, hint=hint)
    if captured is not None:
        _marks(error)[_REPORTED] = True


def first_failed(error: BaseException, run_id: UUID) -> UUID:
    """The run that failed with this exception first, which is this one if the exception does not say another.

    The exception itself remembers it: we must not keep it, and its identity may be that of another one later.
    """
    first: UUID = _marks(error).setdefault(_FAILED_IN, run_id)
    return first


_REPORTED = "__reported_by_sentry_langchain_stream__"
_FAILED_IN = "__failed_in_sentry_langchain_stream__"


def _marks(error: BaseException) -> dict[str, Any]:
    # Past whatever the class does with attributes: one that answers to every name would look as if it were marked.
    marks: dict[str, Any] = object.__getattribute__(error, "__dict__")
    return marks


@cache
def _drop_reported() -> None:
    """Once per process: let the SDK drop events of exceptions that were reported."""

    def process(event: Event, hint: Hint) -> Event | None:
        info = hint.get("exc_info")
        reported = info is not None and isinstance(info[1], BaseException) and _marks(info[1]).get(_REPORTED)
        return None if reported else event

    add_global_event_processor(process)


def _keep_private(event: Event, policy: Policy) -> None:
    """Keep prompts and answers out of an issue, as far as they can be told.

    The variables of stack frames hold both, unredacted. The message of LangChain's `OutputParserException` quotes the
    answer. Any other message is sent, as Sentry always does, but through `redact`.
    """
    for exception in event.get("exception", {}).get("values", ()):
        if policy.redact is not None or not (policy.inputs and policy.outputs):
            for frame in (exception.get("stacktrace") or {}).get("frames", ()):
                frame.pop("vars", None)
        if exception.get("type") == "OutputParserException" and not policy.outputs:
            exception["value"] = None
        elif policy.redact is not None and isinstance(exception.get("value"), str):
            exception["value"] = policy.text(exception["value"])
