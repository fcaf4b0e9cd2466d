"""What of an exception's message may be sent where content may not be recorded.

A message may quote anything: an answer that a parser refuses, the arguments of a tool. No list of classes that do so is
ever complete. So the rule is about where the words come from. What stands in the source code of the function that
raised, or of the exception's class, is sent, and so is what the operating system or the interpreter says. What was
filled in at run time is replaced by `[Filtered]`. A cause whose message passed may be repeated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

from .._runtime import tracebacks
from . import interpreter_texts
from .reading import field, text_or_type

FILTERED = "[Filtered]"
"""What the SDK itself writes in place of a value that it removes."""

QUOTING: Mapping[str, str] = {
    "OutputParserException": "outputs",  # LangChain: quotes the answer
    "StructuredOutputError": "outputs",  # LangChain's agents: quotes the answer
    "OpenAIRefusalError": "outputs",  # langchain-openai: is the answer
    "ToolInvocationError": "both",  # LangGraph: arguments
    "ValidationError": "both",  # pydantic: arguments or answer
}
"""Classes whose whole message is content, and what has to be allowed for it to be sent."""

_MOST = 4_000
_SHORTEST = 8
_FIELDS = re.compile(r"%(?:\([^()]{0,100}\))?[-#0 +]{0,5}\d{0,5}(?:\.\d{1,5})?[a-zA-Z]|\{[^{}]{0,200}\}")
_HARMLESS = re.compile(r"[\s!-/:-@\[-`{-~]{0,9}")
"""Punctuation between two known texts. A number or an emoji may be the model's."""
_NOTE = re.compile(r"During task with name '[^'\n]{1,100}' and id '[0-9a-f-]{1,40}'")
"""The note that LangGraph adds: the name of a node, which is the developer's."""
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{2,60}")


def sendable(error: BaseException, text: str, passed: list[str]) -> str | None:
    """Return an exception's message without what may be content, or `None` if nothing is left.

    Args:
        error: The exception.
        text: Its message, as it would be sent.
        passed: Texts that may be sent: the messages of its causes. A message that passes as a whole is added.
    """
    text = text[:_MOST]
    kept = text if text in passed else _interpreters(error, text) or _from_source(text, _fragments(error), passed)
    if kept is not None and FILTERED not in kept:
        passed.append(kept)
        return kept
    status = _status(error)
    if status is not None and status not in (kept or ""):
        return f"{kept or FILTERED} ({status})"
    return kept


def _from_source(text: str, fragments: list[str], passed: list[str]) -> str | None:
    if not text.strip() or text in fragments or _NOTE.fullmatch(text):
        return text or None
    prose = {each for each in (*fragments, *passed) if len(each.strip()) >= _SHORTEST and " " in each.strip()}
    known = bytearray(len(text))
    for fragment in prose:
        at = text.find(fragment)
        while at >= 0:
            known[at : at + len(fragment)] = b"\1" * len(fragment)
            at = text.find(fragment, at + 1)
    if not any(known):
        return None
    kept, start = "", 0
    while start < len(text):
        end = start
        while end < len(text) and known[end] == known[start]:
            end += 1
        part = text[start:end]
        kept += part if known[start] or _HARMLESS.fullmatch(part) else FILTERED
        start = end
    return kept


def _fragments(error: BaseException) -> list[str]:
    """The texts in the source code of what raised it, and of its class. Templates are split at their fields."""
    found: list[str] = []
    raised = tracebacks.innermost(error)
    if raised is not None and tracebacks.is_raised(raised) and tracebacks.is_source(raised.tb_frame.f_code):
        found += _texts(raised.tb_frame.f_code.co_consts)
    for cls in type(error).__mro__:
        for name in ("__init__", "__new__", "__str__"):
            function = vars(cls).get(name)
            code = getattr(function, "__code__", None)
            if isinstance(code, CodeType) and tracebacks.is_source(code):
                found += _texts(code.co_consts)
                found += _texts(getattr(function, "__defaults__", None) or ())
                found += _texts(tuple((getattr(function, "__kwdefaults__", None) or {}).values()))
    if isinstance(error, OSError) and isinstance(error.errno, int):
        said = interpreter_texts.strerror(error.errno)
        found += (f"[Errno {error.errno}] ", said) if said is not None else ()
    return found


def _texts(constants: tuple[Any, ...]) -> Iterator[str]:
    for each in constants:
        if isinstance(each, str) and len(each) <= _MOST:  # a longer one is never in a message that is sent
            yield each
            yield from _FIELDS.split(each)
        elif isinstance(each, tuple):
            yield from _texts(each)


def _interpreters(error: BaseException, text: str) -> str | None:
    """Return the message of an exception that the operating system or the interpreter raised. It may quote names."""
    last = tracebacks.innermost(error)
    from_c = last is not None and not tracebacks.is_raised(last)
    if isinstance(error, OSError):
        return interpreter_texts.of_system(error, from_c=from_c)
    if last is None or not from_c:
        return None
    code = last.tb_frame.f_code if tracebacks.is_source(last.tb_frame.f_code) else None
    if type(error) is KeyError:
        is_known = code is not None and any(text == repr(each) for each in _texts(code.co_consts))
        return text if is_known else None
    of = field(error, "obj")  # of an AttributeError
    return interpreter_texts.of_interpreter(error, text, code, () if of is None else (type(of).__name__,))


def _status(error: BaseException) -> str | None:
    """The status of an HTTP response that is an exception's reason, and the provider's code for it."""
    response = field(error, "response")
    status = field(error, "status_code") or field(response, "status_code")
    code = field(error, "code")
    if isinstance(response, Mapping):  # botocore's ClientError
        meta, reason = response.get("ResponseMetadata"), response.get("Error")
        status = meta.get("HTTPStatusCode") if isinstance(meta, Mapping) else None
        code = reason.get("Code") if isinstance(reason, Mapping) else None
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 599:
        return None
    # An exception of the application may have these attributes, too, but no response.
    is_code = response is not None and isinstance(code, str) and _CODE.fullmatch(code)
    return f"status {status}, {code}" if is_code else f"status {status}"


def chain(error: BaseException) -> list[BaseException]:
    """An exception, its causes and contexts, and the exceptions in its groups."""
    found: list[BaseException] = []
    seen: set[int] = set()
    pending = [error]
    while pending and len(found) < _MOST:
        each = pending.pop()
        if id(each) not in seen:
            seen.add(id(each))
            found.append(each)
            inside = field(each, "exceptions")  # other classes than groups may have such an attribute
            inside = inside if isinstance(inside, (tuple, list)) else ()
            around = (field(each, "__cause__"), field(each, "__context__"))  # which a class may override, too
            pending += (one for one in (*around, *inside) if isinstance(one, BaseException))
    return found


def messages(error: BaseException) -> list[str]:
    """The texts that the SDK may take for an exception's message."""
    given = (field(error, "message"), field(error, "detail"))
    return [each for each in (*given, text_or_type(error)) if isinstance(each, str) and each]
