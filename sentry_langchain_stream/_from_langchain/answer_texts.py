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
            message = getattr(generation, "message", None)
            # What an answer of the class of a chunk has instead of a text are the arguments that follow.
            is_chunk = bool(getattr(message, "tool_call_chunks", None))
            found.append(generation.text or ("" if is_chunk else other_text(generation)))
            if calls := getattr(message, "tool_calls", None):
                found += [_spelled(field(call, "args")) for call in calls]
            if calls := getattr(message, "invalid_tool_calls", None):
                found += [as_text(field(call, "args")) or "" for call in calls]
    return "".join(found)


def _spelled(arguments: object) -> str:
    """Return the arguments of a tool call as JSON. A fake model's may be any objects, which weigh nothing."""
    try:
        return dumps(arguments, ensure_ascii=False, skipkeys=True, default=lambda _: None)
    except (ValueError, RecursionError):  # they contain themselves
        return ""


def has_content(token: object, chunk: Any) -> bool:
    """Whether a chunk has content: text, tool-call data, reasoning or a refusal, not just a role."""
    if token:
        return any(map(has_answer, token)) if isinstance(token, (list, tuple)) else True
    message = getattr(chunk, "message", None)
    if message is None:
        return False
    if getattr(message, "tool_call_chunks", None):
        return True
    extra = getattr(message, "additional_kwargs", None)
    # The first piece of a function call has its name and no arguments.
    return bool(extra and (_beside(extra) or extra.get("function_call")))


def other_text(chunk: Any) -> str:
    """Return what a chunk without a text has instead: arguments of tool calls, reasoning, or a refusal.

    Of a whole answer: reasoning, a refusal, or the arguments of a function call in OpenAI's older form.
    """
    message = getattr(chunk, "message", None)
    calls = getattr(message, "tool_call_chunks", None)
    if isinstance(calls, (list, tuple)) and calls:
        found = (field(each, "args") for each in calls)
        return "".join(each for each in found if isinstance(each, str))
    extra = getattr(message, "additional_kwargs", None)
    return _beside(extra) if isinstance(extra, Mapping) else ""


def _beside(extra: Mapping[str, Any]) -> str:
    """Return the text that a message has in its `additional_kwargs`.

    The last chunk of a structured answer repeats others of `answers._OTHER_ANSWERS` there.
    """
    for name in ("reasoning_content", "refusal"):
        if text := as_text(extra.get(name)):
            return text
    # ChatOpenAI with `output_version="v0"`, and the calls that OpenAI had before tools.
    summary = field(extra.get("reasoning"), "summary")
    if isinstance(summary, (list, tuple)) and summary:
        return "".join(as_text(field(part, "text")) or "" for part in summary)
    return as_text(field(extra.get("function_call"), "arguments")) or ""
