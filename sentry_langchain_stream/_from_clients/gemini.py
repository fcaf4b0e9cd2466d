"""Reads the chunks of Gemini, from Google's client or as its REST API sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.reading import as_mapping, as_text, field
from .answer import Answer, made_by


def recognises(item: object) -> bool:
    """Whether an item is such a chunk: candidates with content or a reason to stop."""
    if not isinstance(item, Mapping):
        return made_by(item, "google.genai") and hasattr(item, "candidates")
    candidates = item.get("candidates")
    return isinstance(candidates, list) and any(
        isinstance(_of(field(each, "content"), "parts"), list) or _of(each, "finish_reason") is not None
        for each in candidates
    )


def read(item: object, answer: Answer) -> None:
    """Read a chunk. Its usage counts from the start of the answer that it is part of."""
    answer.named(_of(item, "model_version"))
    answer.identified(_of(item, "response_id"))
    answer.continues(_of(item, "response_id"))
    answer.reports(_of(item, "usage_metadata"))
    candidates = _of(item, "candidates") or ()
    are_numbered = any(field(each, "index") is not None for each in candidates)  # the REST API leaves out a 0
    for number, candidate in enumerate(candidates):
        choice = field(candidate, "index") or 0 if are_numbered else number
        for part in field(field(candidate, "content"), "parts") or ():
            _part(part, answer, choice)
        answer.stopped(_of(candidate, "finish_reason"), choice)


def _part(part: Any, answer: Answer, choice: int) -> None:
    text = field(part, "text")
    call = _of(part, "function_call")
    if isinstance(text, str):
        if field(part, "thought"):
            answer.thought(text, answer.next_block("reasoning", choice), choice)
        else:
            answer.text(text, answer.next_block("text", choice), choice)
    elif call is not None:
        number = answer.next_block("call", choice)
        arguments = as_mapping(field(call, "args")) or {}
        answer.call(number, id=as_text(field(call, "id")), name=field(call, "name"), arguments=arguments, choice=choice)
    else:
        answer.whole(part, answer.next_block("whole", choice), choice)


def _of(thing: Any, name: str) -> Any:
    """Return a field, which the REST API spells in camel case."""
    found = field(thing, name)
    if found is not None or not isinstance(thing, Mapping):
        return found
    first, *others = name.split("_")
    return thing.get(first + "".join(map(str.title, others)))
