"""The issue of a failed run: whoever reports the exception reports it, and what leaves is linked and kept private.

An exception that leaves a chain rises through the application, to its web framework, its task queue, or the end of the
script. Sentry's integration there reports it with every frame, and as unhandled. So nothing is reported when a run
fails. The event of the integration is changed on its way out instead: see `_process`. Only a failure that nobody
reports is reported by us: see `held_issues`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import sentry_sdk

from .._content import error_texts
from .._content.cutting import fitted
from .._content.policy import Policy
from .._content.reading import str_of
from .._runtime import tracebacks
from .._runtime.containment import contain
from . import asking, internals

if TYPE_CHECKING:
    from sentry_sdk.types import Event, Hint


class Passed(NamedTuple):
    """A run of ours that an exception has come through.

    Args:
        run_id: LangChain's id of it.
        policy: What may be recorded of it.
    """

    run_id: UUID
    policy: Policy


Find = Callable[[BaseException], Sequence[Passed]]
"""Finds the runs that an exception has come through by itself, the innermost last; causes are not looked at."""


class Told(NamedTuple):
    """What is known of an exception that somebody reports.

    Args:
        trace: The trace context of the span that failed first, if the event is to be linked to it.
        policies: What may be recorded of the runs that failed with it.
    """

    trace: dict[str, Any] | None
    policies: Sequence[Policy]


Also = Callable[[Any, BaseException], Iterable[Policy]]
"""Finds what may be recorded of what else the event of an exception may tell of, besides the runs it came through."""

Reported = Callable[[BaseException, bool], Told]
"""Is told that somebody reports an exception, and whether that is where the exception belongs."""

_find: Find | None = None
_also: list[Also] = []
_reported: Reported | None = None
_watched: object = None
_noticed: ContextVar[tuple[int, Told]] = ContextVar("sentry_langchain_stream_noticed")
"""The address of the exception whose event is being processed in this context, and what is known of it."""


def ask(find: Find) -> None:
    """From now on ask this function which runs an exception has come through."""
    global _find
    _find = find


def also(find: Also) -> None:
    """From now on ask this function, too, what may be recorded of what an event tells of."""
    if find not in _also:
        _also.append(find)


def passed(error: BaseException) -> Sequence[Passed]:
    """The runs of ours that an exception has come through, the innermost last."""
    return _find(error) if _find is not None else ()


def watch(reported: Reported) -> None:
    """Look at every event of an exception from now on. Does nothing if this has been done.

    An event is noticed before any processor drops it, as the SDK's own does with one that was seen before: whoever
    reports an exception and wants no event of it wants none of ours. It is changed after all those of the SDK and its
    integrations: the processors of the global scope run after those that integrations add, as PureEvalIntegration does.
    """
    global _watched, _reported
    _reported = reported
    internals.process_first(_notice)
    scope = sentry_sdk.get_global_scope()
    if _watched is not scope:
        _watched = scope
        scope.add_event_processor(_process)


def _error_of(event: Event, hint: Hint) -> BaseException | None:
    """The exception that an event is made of, if it is an error event."""
    info = hint.get("exc_info")
    error = info[1] if isinstance(info, tuple) and len(info) == 3 else None
    return error if isinstance(error, BaseException) and event.get("type") is None else None


def _notice(event: Event, hint: Hint) -> Event:
    """Tell who waits for it that somebody reports an exception."""
    error = _error_of(event, hint)
    try:
        # The user's `redact` reports a failure of its own, which has the run's among its contexts. It is not the run's.
        if error is not None and _reported is not None and not asking.is_asking():
            _noticed.set((id(error), _reported(error, not _is_elsewhere(event, hint))))
    except Exception as failure:
        contain("issue", failure)
    return event


def _is_elsewhere(event: Event, hint: Hint) -> bool:
    """Whether an exception is reported wherever garbage is collected: of a task that nobody has awaited, for one."""
    record = hint.get("log_record")
    return getattr(record, "name", None) == "asyncio" or mechanism(event) == "unraisablehook"


def mechanism(event: Event) -> str | None:
    """The name of who has reported the exception of an event."""
    found = [value.get("mechanism") or {} for value in _values(event)[-1:]]
    return found[0].get("type") if found else None


def _told(event: Event, hint: Hint, error: BaseException) -> Told:
    known = _noticed.get(None)
    if known is None or known[0] != id(error):  # the SDK has no such list of processors
        _notice(event, hint)
        known = _noticed.get(None)
    return known[1] if known is not None and known[0] == id(error) else Told(None, ())


def _process(event: Event, hint: Hint) -> Event:
    """Link the event of an exception that has come through a run of ours, and remove what may not be recorded.

    So it is removed from an exception that is reported inside of one: by a tool that catches it, for one.
    """
    error = _error_of(event, hint)
    if error is None:
        return event
    try:
        policies = [each.policy for part in error_texts.chain(error) for each in passed(part)]
        if not _is_elsewhere(event, hint):
            policies += [each for find in _also for each in find(event, error)]
        if asking.is_asking():
            if policies:  # `redact` would be called for this event too, and so on without end
                keep_private(event, error, Policy(), record=hint.get("log_record"))
            return event
        told = _told(event, hint, error)
        policies += told.policies
        if policies:
            keep_private(event, error, reduce(Policy.and_, policies), record=hint.get("log_record"))
            if told.trace is not None:
                event.setdefault("contexts", {})["trace"] = told.trace
    except Exception as failure:
        _remove_all(event)
        contain("issue", failure)
    return event


def keep_private(event: Event, error: BaseException, policy: Policy, record: Any = None) -> None:
    """Remove from an event what its policy does not allow: variables of stack frames, and parts of messages.

    Of code that was made at run time, perhaps by a model, the lines are removed, too.

    Args:
        event: The event of an exception.
        error: The exception.
        policy: What may be recorded.
        record: The log record that the event was made of, if it was.
    """
    is_allowed = policy.inputs and policy.outputs
    if is_allowed and policy.redact is None:
        return
    _remove_variables(event)
    _remove_lines(event)
    sendable = _redacted if is_allowed else _without_content
    parts = error_texts.chain(error)
    parts.reverse()  # causes first: what passes there may be repeated
    passing: list[str] = []
    texts = [] if is_allowed else [_Text.of(part, policy, passing) for part in parts]
    for value in _values(event):
        message = value.get("value")
        if isinstance(message, str) and message:
            value["value"] = sendable(value.get("type"), message, texts, policy, passing)
    _keep_log_private(event, policy, record, is_allowed=is_allowed)


def shorten(event: Event, policy: Policy) -> None:
    """Cut the messages of an issue of ours to the limits of content, and leave out variables where one is as long.

    Sentry refuses an event above 1 MB.
    """
    frames = [frame for value in _values(event) for frame in (value.get("stacktrace") or {}).get("frames") or ()]
    if any(
        len(str_of(each) or "") > policy.limits.part for frame in frames for each in (frame.get("vars") or {}).values()
    ):
        _remove_variables(event)
    for value in _values(event):
        message = value.get("value")
        if isinstance(message, str):
            value["value"] = fitted(message, policy.limits.part, policy.limits.attribute)


def _redacted(_: Any, message: str, *rest: Any) -> str | None:
    policy: Policy = rest[1]
    return policy.text(message)


class _Text(NamedTuple):
    """An exception, what may be its message in an event, and what of that may be sent."""

    part: BaseException
    messages: list[str]
    sendable: str | None

    @classmethod
    def of(cls, part: BaseException, policy: Policy, passing: list[str]) -> _Text:
        """Ask an exception for its message, once: that runs code of the application."""
        messages = error_texts.messages(part)
        quoting = [
            error_texts.QUOTING[each.__name__] for each in type(part).__mro__ if each.__name__ in error_texts.QUOTING
        ]
        if not messages or any(not policy.outputs or (need == "both" and not policy.inputs) for need in quoting):
            return cls(part, messages, None)
        return cls(part, messages, error_texts.sendable(part, messages[0], passing))


def _without_content(name: Any, message: str, texts: list[_Text], policy: Policy, passing: list[str]) -> str | None:
    """What may be sent of a message in an event, which is of one of these exceptions. Notes are part of the message."""
    for part, own, kept in texts:
        start = next((each for each in own if message.startswith(each)), None)
        if start is None or name not in (type(part).__qualname__, type(part).__name__):
            continue
        if kept is not None and len(message) > len(start):
            notes = error_texts.sendable(part, message[len(start) :].strip("\n"), passing)
            kept = f"{kept}\n{notes or error_texts.FILTERED}"
        return kept if kept is None or policy.redact is None else policy.text(kept)
    return None


def _keep_log_private(event: Event, policy: Policy, record: Any, *, is_allowed: bool) -> None:
    """The message of a log event. Without content it is sent if it stands in the source code as a whole."""
    entry: Any = event.get("logentry")
    if not isinstance(entry, dict):
        return
    if is_allowed:
        for key in ("message", "formatted"):
            if isinstance(entry.get(key), str):
                entry[key] = policy.text(entry[key])
        entry["params"] = []
        return
    event["logentry"] = {"message": _template(record) or error_texts.FILTERED, "params": []}


def _template(record: Any) -> str | None:
    message = getattr(record, "msg", None)
    file, function = getattr(record, "pathname", None), getattr(record, "funcName", None)
    if not (isinstance(message, str) and isinstance(file, str) and isinstance(function, str)):
        return None
    return message if tracebacks.is_written_in(message, file, function) else None


def _remove_all(event: Event) -> None:
    """Remove everything that may hold content, because it is not known what it is."""
    _remove_variables(event)
    _remove_lines(event)
    for value in _values(event):
        value["value"] = None
    if "logentry" in event:
        event["logentry"] = {"message": error_texts.FILTERED, "params": []}


def _values(event: Event) -> list[dict[str, Any]]:
    values = (event.get("exception") or {}).get("values") or ()
    return [each for each in values if isinstance(each, dict)]


class _Frame(dict[str, Any]):
    """A stack frame that takes no variables: processors that run later, those of the request's scope, may add some."""

    def __setitem__(self, key: str, value: Any) -> None:
        if key != "vars":
            super().__setitem__(key, value)


def _remove_variables(event: Event) -> None:
    for trace in _traces(event):
        trace["frames"] = [_Frame(each) for each in trace["frames"] if each.pop("vars", None) or True]


def _remove_lines(event: Event) -> None:
    """Remove the lines of code that is no source code."""
    for trace in _traces(event):
        for frame in trace["frames"]:
            if not tracebacks.is_source_file(str(frame.get("abs_path") or "")):
                for key in ("pre_context", "context_line", "post_context"):
                    frame.pop(key, None)


def _traces(event: Event) -> Iterator[dict[str, Any]]:
    """Yield the stack traces of an event that have frames."""
    threads = (event.get("threads") or {}).get("values") or ()
    for holder in (*_values(event), *(each for each in threads if isinstance(each, dict)), event):
        trace: Any = holder.get("stacktrace")
        if isinstance(trace, dict) and trace.get("frames"):
            yield trace
