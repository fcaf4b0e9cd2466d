"""The texts of an answer and of its chunks: what is weighed where a provider reports no usage."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any

from langchain_core.outputs import LLMResult

from .._content.parts import has_answer
from .._content.reading import as_text, field


def answer_text(result: LLMResult) -> str:
    """Return the text of a whole result, or its reasoning or refusal, with the arguments of its tool calls."""
    found: list[str] = []
    for prompt in result.generations:
        for generation in prompt:
            found.append(generation.text or other_text(generation))
            calls = getattr(getattr(generation, "message", None), "tool_calls", None)
            if calls:
                # A fake model's arguments may be any objects, which weigh nothing.
                found += [dumps(field(call, "args"), ensure_ascii=False, default=lambda _: None) for call in calls]
    return "".join(found)


def has_content(token: object, chunk: Any) -> bool:
    """Whether a chunk has content: text, tool-call data, a reasoning block or a refusal, not just a role."""
    if token:
        return any(map(has_answer, token)) if isinstance(token, (list, tuple)) else True
    message = getattr(chunk, "message", None)
    if message is None:
        return False
    if getattr(message, "tool_call_chunks", None):
        return True
    extra = getattr(message, "additional_kwargs", None)
    return bool(extra and any(extra.get(name) for name in _OTHER_TEXTS))


def other_text(chunk: Any) -> str:
    """Return what a chunk without a text has instead: arguments of tool calls, reasoning, or a refusal.

    Of a whole answer: reasoning or a refusal.
    """
    message = getattr(chunk, "message", None)
    calls = getattr(message, "tool_call_chunks", None)
    if isinstance(calls, (list, tuple)) and calls:
        found = (field(each, "args") for each in calls)
        return "".join(each for each in found if isinstance(each, str))
    extra = getattr(message, "additional_kwargs", None)
    if not isinstance(extra, Mapping):
        return ""
    return next((text for name in _OTHER_TEXTS if (text := as_text(extra.get(name)))), "")


# The keys of `additional_kwargs` under which a chunk may have a text. The last chunk of a structured answer repeats
# others of `answers._OTHER_ANSWERS`.
_OTHER_TEXTS = ("reasoning_content", "refusal")
