"""Report a failed run as an issue, once."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

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
    if getattr(error, _REPORTED, False):
        return
    _drop_reported()
    event, hint = event_from_exception(
        error, client_options=sentry_sdk.get_client().options, mechanism={"type": "langchain_stream"}
    )
    if not (policy.inputs and policy.outputs):
        _forget_variables(event)
    with sentry_sdk.new_scope() as scope:
        if span is not None:
            backend.link(scope, span)
        captured = scope.capture_event(event, hint=hint)
    if captured is not None:
        with suppress(Exception):  # an exception class may refuse new attributes
            setattr(error, _REPORTED, True)


_REPORTED = "__reported_by_sentry_langchain_stream__"


@cache
def _drop_reported() -> None:
    """Once per process: let the SDK drop events of exceptions that were reported."""

    def process(event: Event, hint: Hint) -> Event | None:
        info = hint.get("exc_info")
        return None if info and getattr(info[1], _REPORTED, False) else event

    add_global_event_processor(process)


def _forget_variables(event: Event) -> None:
    """Take the variables out of the stack frames: they hold prompts and answers."""
    for exception in event.get("exception", {}).get("values", ()):
        for frame in (exception.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
