"""The JSON of a message that is nothing but a text, which most messages are, written in one go.

It is the same as `messages` makes of it with a budget. That takes four times as long.
"""

from __future__ import annotations

from typing import Any

from .._runtime.containment import pass_on
from . import encoded
from .budget import spelled
from .cutting import fitted, size
from .policy import Policy

_OF_MODELS = frozenset({"ai", "AIMessageChunk"})
_FRAME = 250
"""At least as long as the JSON around a text, with what a budget must have left for more."""
_REASON = 100
"""A longer reason may have to be cut."""


def plain_message(message: Any, role: str | None, policy: Policy, room: int, reason: str | None = None) -> str | None:
    """Return the JSON of a message of LangChain's, or of a text.

    Args:
        message: The message or the text.
        role: Its role.
        policy: What may be recorded.
        room: How many bytes of UTF-8 the JSON may have.
        reason: Why the model stopped.

    Returns:
        The JSON, or `None` if there is more to the message than its text, if it is to be redacted or if it may be too
        long.
    """
    if policy.redact is not None or role is None or (reason and (len(reason) > _REASON or not reason.isascii())):
        return None
    try:
        text = message if message.__class__ is str else _only_text(message)
    except AttributeError:  # another format
        return None
    except Exception as error:  # the user's object raised, which is not our failure
        pass_on(error)
        return None
    if not text:
        return None
    content = spelled(fitted(encoded.substitute(text) or text, policy.limits.part))
    ended = f', "finish_reason": {spelled(reason)}' if reason else ""
    if size(content) + len(ended) + _FRAME > room:
        return None
    return f'{{"role": "{role}", "parts": [{{"type": "text", "content": {content}}}]{ended}}}'


def _only_text(message: Any) -> str | None:
    """Return the text of a message that has nothing else.

    Raises:
        AttributeError: It is not a message of LangChain's.
    """
    text, kind = message.content, message.type
    if text.__class__ is not str or message.additional_kwargs:
        return None
    if kind in _OF_MODELS:
        return None if message.tool_calls or message.invalid_tool_calls else text
    return text if kind == "human" and not message.__pydantic_extra__ else None  # it may have calls there
