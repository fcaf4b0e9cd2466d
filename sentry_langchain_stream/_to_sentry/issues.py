"""Report a failed run as an issue, once."""

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

    The exception is marked, so that nobody reports it a second time: not we, and not an integration that sees it
    afterwards. Sentry's own de-duplication remembers the last exception in a context variable; LangChain signals
    errors from a copied context, so a web framework's integration would not know.
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
            # The last processor of all: Sentry's PureEvalIntegration is one as well, and adds variables.
            scope.add_event_processor(_without_variables)
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

    if internals.add_global_event_processor is not None:
        internals.add_global_event_processor(process)


# Exceptions whose message quotes content, by the name of the class, and whether a policy allows that.
_QUOTING: dict[str, Callable[[Policy], bool]] = {
    "OutputParserException": lambda policy: policy.outputs,  # LangChain's: the answer
    "StructuredOutputError": lambda policy: policy.outputs,  # of LangChain's agents: the answer
    "ToolInvocationError": lambda policy: policy.inputs and policy.outputs,  # LangGraph's: what the model calls with
    "ValidationError": lambda policy: policy.inputs and policy.outputs,  # pydantic's: a tool's arguments, an answer
}


def _keep_private(event: Event, error: BaseException, policy: Policy) -> None:
    """Keep prompts and answers out of the messages of exceptions, as far as they can be told.

    Left out are the messages that quote them, and those that repeat such a message: what is raised because of an
    exception often does. Any other is sent, as Sentry always does, but through `redact`.
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
    """Whether this policy allows what the exception quotes, if it is of a kind that does."""
    names = [kind.__name__ for kind in type(error).__mro__]
    return all(_QUOTING[name](policy) for name in names if name in _QUOTING)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception with all that it was raised because of, and all that it groups."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead:
        each = ahead.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            ahead += (each.__cause__, each.__context__, *getattr(each, "exceptions", ()))


def _without_variables(event: Event, hint: Hint) -> Event:
    """The variables of stack frames hold prompts and answers, unredacted."""
    for exception in event.get("exception", {}).get("values", ()):
        for frame in (exception.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)
    return event
