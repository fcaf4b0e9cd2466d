"""Reports a failed run as an issue, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from uuid import UUID

import sentry_sdk
from sentry_sdk.types import Event, Hint

from .._content.policy import Policy
from .._content.reading import text_or_type
from . import internals
from .span_models import AnySpan, SpanBackend


def capture_error(error: BaseException, backend: SpanBackend[Any], span: AnySpan | None, policy: Policy) -> None:
    """Report an exception as an issue, linked to the span that failed with it, unless it was reported already.

    The exception is marked, so that neither this package nor another integration reports it again. Sentry's own
    de-duplication stores the last exception in a context variable. LangChain signals errors from a copied context, so
    the integration of a web framework would not see that variable and would report the exception a second time.
    """
    if internals.event_from_exception is None or _marks(error).get(_REPORTED):
        return
    _drop_reported()
    event, hint = internals.event_from_exception(
        error, client_options=sentry_sdk.get_client().options, mechanism={"type": "langchain_stream"}
    )
    _keep_private(event, error, policy)
    with sentry_sdk.new_scope() as scope:
        if policy.redact is not None or not (policy.inputs and policy.outputs):
            # It must run last, because Sentry's PureEvalIntegration adds variables in an event processor too.
            scope.add_event_processor(_without_variables)
        if span is not None:
            backend.link(scope, span)
        captured = scope.capture_event(event, hint=hint)
    if captured is not None:
        _marks(error)[_REPORTED] = True


def first_failed(error: BaseException, run_id: UUID) -> UUID:
    """Return the id of the run that failed with this exception first. If there is none yet, it is this run.

    The id is stored on the exception. The exception itself must not be kept, and its `id()` may be reused later.
    """
    first: UUID = _marks(error).setdefault(_FAILED_IN, run_id)
    return first


_REPORTED = "__reported_by_sentry_langchain_stream__"
_FAILED_IN = "__failed_in_sentry_langchain_stream__"


def _marks(error: BaseException) -> dict[str, Any]:
    # Bypass the `__getattr__` of the class: an exception that has every attribute would look as if it were marked.
    marks: dict[str, Any] = object.__getattribute__(error, "__dict__")
    return marks


@cache
def _drop_reported() -> None:
    """Make the SDK drop events of exceptions that were already reported. Runs once per process."""

    def process(event: Event, hint: Hint) -> Event | None:
        info = hint.get("exc_info")
        reported = info is not None and isinstance(info[1], BaseException) and _marks(info[1]).get(_REPORTED)
        return None if reported else event

    if internals.add_global_event_processor is not None:
        internals.add_global_event_processor(process)


# Class name of an exception whose message quotes content -> whether a policy allows that content.
_QUOTING: dict[str, Callable[[Policy], bool]] = {
    "OutputParserException": lambda policy: policy.outputs,  # LangChain: quotes the answer
    "StructuredOutputError": lambda policy: policy.outputs,  # LangChain's agents: quotes the answer
    "ToolInvocationError": lambda policy: policy.inputs and policy.outputs,  # LangGraph: arguments
    "ValidationError": lambda policy: policy.inputs and policy.outputs,  # pydantic: arguments or answer
}


def _keep_private(event: Event, error: BaseException, policy: Policy) -> None:
    """Remove prompts and answers from the messages of exceptions, as far as they can be recognised.

    Two kinds of messages are removed: those of exceptions that are known to quote content, and those that repeat such a
    message, as exceptions raised from another one often do. All other messages are redacted and sent.
    """
    quoting = [each for each in _chain(error) if not _may_quote(each, policy)]
    classes = {type(each).__name__ for each in quoting}
    quotes = [quote for quote in map(text_or_type, quoting) if quote]
    for exception in event.get("exception", {}).get("values", ()):
        message = exception.get("value")
        if exception.get("type") in classes or any(quote in (message or "") for quote in quotes):
            exception["value"] = None
        elif policy.redact is not None and isinstance(message, str):
            exception["value"] = policy.text(message)


def _may_quote(error: BaseException, policy: Policy) -> bool:
    """Whether this policy allows the content that an exception quotes. `True` if the exception quotes none."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return all(_QUOTING[name](policy) for name in names if name in _QUOTING)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes and contexts, and the exceptions in its groups."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += (each.__cause__, each.__context__, *getattr(each, "exceptions", ()))


def _without_variables(event: Event, hint: Hint) -> Event:
    """Remove the variables of stack frames, because they hold unredacted prompts and answers."""
    for exception in event.get("exception", {}).get("values", ()):
        for frame in (exception.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return event
