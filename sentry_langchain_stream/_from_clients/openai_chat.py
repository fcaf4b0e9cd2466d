"""Reads the chunks of OpenAI's chat completions, which many other providers and servers send, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.reading import field
from .answer import Answer, kind_of, made_by

_MARK = "chat.completion.chunk"


def recognises(item: object) -> bool:
    """Whether an item is such a chunk: by its `object`, or a class of the `openai` package with choices."""
    inside = _inside(item)
    if not isinstance(field(inside, "choices"), (list, tuple)):
        return False
    return field(inside, "object") == _MARK or (made_by(inside, "openai") and "Chunk" in type(inside).__name__)


def read(item: object, answer: Answer) -> None:
    """Read a chunk."""
    chunk = _inside(item)
    answer.named(field(chunk, "model"))
    answer.identified(field(chunk, "id"))
    answer.in_tier(field(chunk, "service_tier"))
    usage = field(chunk, "usage")
    answer.reports(field(field(chunk, "x_groq"), "usage") if usage is None else usage, adds=True)  # Groq's default
    for choice in field(chunk, "choices") or ():
        _read_choice(choice, answer)


def _read_choice(choice: Any, answer: Answer) -> None:
    number = field(choice, "index") or 0
    answer.stopped(field(choice, "finish_reason"), number)
    delta = field(choice, "delta")
    if delta is None:
        return
    for name in ("reasoning_content", "reasoning"):  # DeepSeek, vLLM, Groq, OpenRouter
        answer.thought(field(delta, name), choice=number)
    answer.text(field(delta, "content"), choice=number)
    answer.text(field(delta, "refusal"), "refusal", number)
    audio = field(delta, "audio")
    answer.text(field(audio, "transcript"), "audio", number)
    calls = [*(field(delta, "tool_calls") or ()), *_older(field(delta, "function_call"))]
    for call in calls:
        function = field(call, "function")
        id, name = field(call, "id"), field(function, "name")
        answer.call(
            answer.numbered_call(field(call, "index") or 0, id, name, number),
            id=id,
            name=name,
            arguments=field(function, "arguments"),
            choice=number,
        )


def _older(call: object) -> list[Mapping[str, Any]]:
    return [] if call is None else [{"function": call}]


def _inside(item: object) -> object:
    """Return the chunk in an event of `client.chat.completions.stream`, or the item itself."""
    return field(item, "chunk") if kind_of(item) == "chunk" else item
