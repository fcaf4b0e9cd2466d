"""Reads messages in all of LangChain's formats: objects, mappings, pairs, texts, and the state of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .reading import field

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "function": "tool",
    "developer": "system",
    **{role: role for role in ("user", "assistant", "tool", "system")},
}


def with_roles(messages: Iterable[Any]) -> Iterator[tuple[Any, str | None]]:
    """Yield each message, see `opened`, with its role, see `role_in`."""
    for message in messages:
        found = opened(message)
        yield found, role_in(found)


def opened(message: Any) -> Any:
    """Convert LangChain's other formats of a message (a text, a pair, a serialised message) to a mapping."""
    if not isinstance(message, (str, list, tuple, dict, Mapping)):
        return message
    if isinstance(message, str):
        return {"role": "user", "content": message}
    if _is_pair(message):
        return {"role": message[0], "content": message[1]}
    if isinstance(message, Mapping):
        for name in ("data", "kwargs"):
            inside = field(message, name)
            if isinstance(inside, Mapping) and "content" in inside:
                return {"type": field(message, "type"), **inside}
    return message


def _is_pair(message: Any) -> bool:
    """Whether this is a pair such as `("user", "Hello")`."""
    is_pair = isinstance(message, (list, tuple)) and len(message) == 2 and isinstance(message[0], str)
    return is_pair and message[0].lower() in _ROLES


def role_in(message: Any) -> str | None:
    """Return the message's role; `None` for LangGraph's `RemoveMessage`."""
    kind = field(message, "type")
    if kind.__class__ is str and (role := _ROLES.get(kind)) is not None:
        return role
    if not isinstance(kind, str) or kind in ("chat", "message", "ChatMessageChunk"):
        kind = field(message, "role")
    if not isinstance(kind, str):
        return "user"
    if kind in _ROLES:
        return _ROLES[kind]
    # The type of a chunk is its class name: "SystemMessageChunk".
    name = kind.lower().replace("messagechunk", "")
    return None if name == "remove" else _ROLES.get(name, "user")


def messages_of(state: Any) -> list[Any]:
    """Return the messages of a graph's state, which may be a mapping, an object or the messages themselves."""
    found = state if isinstance(state, (list, tuple)) else field(state, "messages")
    if type(found).__name__ == "Overwrite":  # LangGraph
        found = field(found, "value")
    if isinstance(found, (list, tuple)) and not _is_pair(found):
        return list(found)
    return [] if found is None else [found]


def messages_in(output: Any) -> list[Any]:
    """Return the messages that a tool returned: one, several, or those in LangGraph's `Command`."""
    if is_command(output):
        return [each for each in messages_of(field(output, "update")) if role_in(opened(each)) == "tool"]
    if isinstance(output, (list, tuple)):
        return [message for each in output if not isinstance(each, (str, list, tuple)) for message in messages_in(each)]
    return [output] if _is_message(output) else []


def _is_message(output: Any) -> bool:
    """Whether a tool returned a message, rather than data that has some of a message's keys."""
    if field(output, "content") is None:
        return False
    if isinstance(output, Mapping) and not any(_is_role(field(output, name)) for name in ("role", "type")):
        return False
    return field(output, "tool_call_id") is not None or isinstance(field(output, "additional_kwargs"), Mapping)


def _is_role(name: Any) -> bool:
    return isinstance(name, str) and name.lower().replace("messagechunk", "") in _ROLES


def is_command(output: Any) -> bool:
    """Whether a tool returned LangGraph's `Command`, which has an update of the graph's state."""
    return type(output).__name__ == "Command" and hasattr(output, "goto")
