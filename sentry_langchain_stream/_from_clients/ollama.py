"""Reads the chunks of Ollama's chat and generate APIs."""

from __future__ import annotations

from collections.abc import Mapping

from .._content.reading import field
from .answer import Answer, made_by


def recognises(item: object) -> bool:
    """Whether an item is such a chunk: by its class, or by all the fields that each chunk has."""
    body = field(item, "message") if field(item, "message") is not None else field(item, "response")
    if not isinstance(item, Mapping):
        return made_by(item, "ollama") and body is not None
    return isinstance(body, (Mapping, str)) and {"model", "created_at", "done"} <= item.keys()


def read(item: object, answer: Answer) -> None:
    """Read a chunk. Ollama sends a tool call whole, and the usage with the last chunk."""
    answer.named(field(item, "model"))
    message = field(item, "message")
    answer.thought(field(message if message is not None else item, "thinking"))
    answer.text(field(item, "response") if message is None else field(message, "content"))
    for call in field(message, "tool_calls") or ():
        function = field(call, "function")
        arguments = field(function, "arguments") or {}
        answer.call(answer.next_block("call"), name=field(function, "name"), arguments=arguments)
    if field(item, "done"):
        answer.stopped(field(item, "done_reason"))
        answer.reports(item)
