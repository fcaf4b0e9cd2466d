"""What of the event of an exception may be sent: its messages, the variables of its frames, and its lines of code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .._content import error_texts
from .._content.cutting import fitted
from .._content.policy import Policy
from .._content.reading import str_of
from .._runtime import tracebacks

if TYPE_CHECKING:
    from sentry_sdk.types import Event


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
    for value in exceptions(event):
        message = value.get("value")
        if isinstance(message, str) and message:
            value["value"] = sendable(value.get("type"), message, texts, policy, passing)
    if is_allowed:
        _redact_log(event, policy)
    else:
        _keep_log_private(event, policy, record, texts)


def shorten(event: Event, policy: Policy) -> None:
    """Cut the messages of an issue of ours to the limits of content, and leave out variables where one is as long.

    Sentry refuses an event above 1 MB.
    """
    frames = [frame for value in exceptions(event) for frame in (value.get("stacktrace") or {}).get("frames") or ()]
    if any(
        len(str_of(each) or "") > policy.limits.part for frame in frames for each in (frame.get("vars") or {}).values()
    ):
        _remove_variables(event)
    for value in exceptions(event):
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
        return _redacted_text(kept, policy)
    return None


def _redacted_text(text: str | None, policy: Policy) -> str | None:
    return text if text is None or policy.redact is None else policy.text(text)


def _redact_log(event: Event, policy: Policy) -> None:
    entry: Any = event.get("logentry")
    if isinstance(entry, dict):
        for key in ("message", "formatted"):
            if isinstance(entry.get(key), str):
                entry[key] = policy.text(entry[key])
        entry["params"] = []


def _keep_log_private(event: Event, policy: Policy, record: Any, texts: list[_Text]) -> None:
    """The message of a log event is sent if it stands in the source code as a whole.

    Of one that is an exception's message, as in `logger.exception(error)`, the same is sent as of the exception's.
    """
    entry: Any = event.get("logentry")
    if not isinstance(entry, dict):
        return
    kept = _template(record)
    if kept is None or getattr(record, "args", None):
        said = {each for each in (entry.get("message"), entry.get("formatted")) if isinstance(each, str)}
        repeated = [each.sendable for each in texts if each.sendable and not said.isdisjoint(each.messages)]
        kept = _redacted_text(repeated[0], policy) if repeated else kept
    event["logentry"] = {"message": kept or error_texts.FILTERED, "params": []}


def _template(record: Any) -> str | None:
    message = getattr(record, "msg", None)
    file, function = getattr(record, "pathname", None), getattr(record, "funcName", None)
    if not (isinstance(message, str) and isinstance(file, str) and isinstance(function, str)):
        return None
    return message if tracebacks.is_written_in(message, file, function) else None


def remove_all(event: Event) -> None:
    """Remove everything that may hold content, because it is not known what it is."""
    _remove_variables(event)
    _remove_lines(event)
    for value in exceptions(event):
        value["value"] = None
    if "logentry" in event:
        event["logentry"] = {"message": error_texts.FILTERED, "params": []}


def exceptions(event: Event) -> list[dict[str, Any]]:
    """Return the exceptions of an event, the one that was reported as the last."""
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
    for holder in (*exceptions(event), *(each for each in threads if isinstance(each, dict)), event):
        trace: Any = holder.get("stacktrace")
        if isinstance(trace, dict) and trace.get("frames"):
            yield trace
