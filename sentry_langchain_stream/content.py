"""Messages in the shape of the conventions: `[{"role", "parts": [{"type", ...}]}]`, as one JSON string.

Sentry's `gen_ai.input.messages` and `gen_ai.output.messages` (see `sentry-conventions`). Every text goes
through the run's policy first. A content block that is not text, reasoning or a tool call is recorded by
its type alone: its data may be a whole image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from .privacy import Policy

Part = dict[str, Any]

_ROLES = {"human": "user", "ai": "assistant", "function": "tool"}
_KNOWN_ROLES = frozenset({"user", "assistant", "tool", "system"})


def input_messages(messages: Iterable[Any], policy: Policy) -> str | None:
    """The messages of a prompt, as JSON, or `None` if there are none.

    System messages are told by `system_instructions`.
    """
    others = [message for message in messages if role(message) != "system"]
    if not others:
        return None
    return _json({"role": role(message), "parts": list(parts(message, policy))} for message in others)


def system_instructions(messages: Iterable[Any], policy: Policy) -> str | None:
    """The text of the system messages, or `None` if there are none."""
    texts = [
        part["content"]
        for message in messages
        if role(message) == "system"
        for part in parts(message, policy)
        if part["type"] == "text"
    ]
    return "\n".join(texts) if texts else None


def prompt_messages(prompts: Sequence[str], policy: Policy) -> str:
    """The prompts of a non-chat model, as JSON."""
    return _json({"role": "user", "parts": list(_text(prompt, policy))} for prompt in prompts)


def output_messages(answers: Iterable[tuple[Any, str | None]], policy: Policy) -> str:
    """The answers of a model, as JSON.

    Args:
        answers: `(message or text, finish reason)`, one per generation.
        policy: What may be recorded.
    """
    return _json(
        {
            "role": "assistant",
            "parts": list(_text(answer, policy) if isinstance(answer, str) else parts(answer, policy)),
            **({"finish_reason": reason} if reason else {}),
        }
        for answer, reason in answers
    )


def role(message: Any) -> str:
    """The message's role, one of the four that the conventions know."""
    # A chunk's type is the name of its class: "SystemMessageChunk".
    kind = str(getattr(message, "type", None)).replace("MessageChunk", "").lower()
    if kind == "chat":
        kind = str(getattr(message, "role", None))
    name = _ROLES.get(kind, kind)
    return name if name in _KNOWN_ROLES else "user"


def parts(message: Any, policy: Policy) -> Iterator[Part]:
    """The parts of a message: text, reasoning, tool calls, a tool's response, other blocks by type."""
    body = getattr(message, "content", None)
    if role(message) == "tool":
        result = policy.text("".join(_plain(body)))
        yield {
            "type": "tool_call_response",
            "id": getattr(message, "tool_call_id", None),
            "result": "" if result is None else result,
        }
        return
    for block in [body] if isinstance(body, str) else body or ():
        yield from _part(block, policy)
    for call in getattr(message, "tool_calls", None) or ():
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": call.get("name"),
            "arguments": _arguments(call.get("args"), policy),
        }


def text_of(value: object) -> str:
    """The plain text of a token or a message's content, which may be a list of blocks."""
    return value if isinstance(value, str) else "".join(_plain(value))


def _part(block: Any, policy: Policy) -> Iterator[Part]:
    if isinstance(block, str):
        yield from _text(block, policy)
        return
    if not isinstance(block, Mapping):
        return
    kind = block.get("type")
    if isinstance(block.get("text"), str):
        yield from _text(block["text"], policy)
    elif kind in ("reasoning", "thinking"):
        thought = policy.text(str(block.get("reasoning") or block.get("thinking") or ""))
        if thought:
            yield {"type": "reasoning", "content": thought}
    elif kind not in ("tool_call", "tool_call_chunk", "tool_use", "function_call", "input_json_delta"):
        # Tool calls are told once, from the message's own `tool_calls`.
        yield {"type": kind if isinstance(kind, str) else "unknown"}


def _text(text: str, policy: Policy) -> Iterator[Part]:
    kept = policy.text(text) if text else None
    if kept:
        yield {"type": "text", "content": kept}


def _plain(body: object) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, (list, tuple)):
        for block in body:
            if isinstance(block, str):
                yield block
            elif isinstance(block, Mapping) and isinstance(block.get("text"), str):
                yield block["text"]


def _arguments(value: Any, policy: Policy) -> Any:
    """A tool call's arguments with every text in them passed through the policy; their names are structure."""
    if isinstance(value, str):
        return policy.text(value)
    if isinstance(value, Mapping):
        return {str(key): _arguments(each, policy) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_arguments(each, policy) for each in value]
    if value is None or isinstance(value, (int, bool)) or (isinstance(value, float) and isfinite(value)):
        return value
    return policy.text(str(value))  # JSON has no infinity


def _json(messages: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(messages), ensure_ascii=False, default=str)
