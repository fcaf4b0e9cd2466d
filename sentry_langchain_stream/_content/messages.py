"""Messages in the shape of the conventions: `[{"role", "parts": [{"type", ...}]}]`, as one JSON string.

Sentry's `gen_ai.input.messages` and `gen_ai.output.messages` (see `sentry-conventions`); parts that Sentry's own
examples lack are those of OpenTelemetry's GenAI message schema. What a provider's own tools do is told as tool calls
and responses too: those are what Sentry shows. Every text goes through the run's policy, and what its limits cut is
not looked at. A content block that is not known is recorded by its type, and its text if it has any: its data may be
a whole image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import parts
from .budget import Budget, spelled
from .lists import Part, both_ends, json_list
from .policy import Policy
from .reading import as_id, field

_ROLES = {
    "human": "user",
    "ai": "assistant",
    "model": "assistant",
    "chatbot": "assistant",
    "function": "tool",
    "developer": "system",
    **{role: role for role in ("user", "assistant", "tool", "system")},
}


def input_messages(messages: Iterable[Any], policy: Policy) -> str | None:
    """The messages of a prompt, as JSON, or `None` if there are none.

    System messages are told by `system_instructions`. Of a history that is too long the latest messages are kept, and
    the last one of the user whatever followed it.
    """
    said = [(message, said_by) for message, said_by in _said(messages) if said_by not in ("system", None)]
    if not said:
        return None
    return json_list(
        said,
        lambda each, budget: _message(*each, budget),
        lambda missing: _cut_messages([message for message, _ in missing]),
        policy,
        latest_first=True,
        always=max((index for index, (_, role) in enumerate(said) if role == "user"), default=None),
    )


def system_instructions(messages: Iterable[Any], policy: Policy) -> str | None:
    """The text of the system messages, or `None` if there are none."""
    found = [message for message, said_by in _said(messages) if said_by == "system"]
    texts = [part["content"] for part in both_ends(found, _parts, Budget(policy)) if part["type"] == "text"]
    return "\n".join(texts) if texts else None


def prompt_messages(prompts: Sequence[str], policy: Policy) -> str:
    """The prompts of a non-chat model, as JSON."""
    return json_list(
        prompts, lambda prompt, budget: _message(prompt, "user", budget), _cut_messages, policy, latest_first=True
    )


def output_messages(answers: Iterable[tuple[Any, str | None]], policy: Policy) -> str:
    """The answers of a model, as JSON.

    Args:
        answers: `(message or text, finish reason)`, one per generation.
        policy: What may be recorded.
    """
    return json_list(
        list(answers),
        lambda answer, budget: _message(answer[0], "assistant", budget, answer[1]),
        lambda missing: _cut_messages([message for message, _ in missing]),
        policy,
    )


def agent_question(state: Any, policy: Policy) -> str | None:
    """The messages that a graph or a chain is given, as JSON: those of its state's `messages`.

    Returns:
        The JSON, or `None` if there are none or inputs may not be recorded.
    """
    return input_messages(_messages_of(state), policy) if policy.inputs else None


def agent_answer(state: Any, policy: Policy) -> str | None:
    """The answer that a graph or a chain ends with, as JSON: the assistant's last message in its state's `messages`.

    Returns:
        The JSON, or `None` if the assistant said nothing since the user's last turn, or outputs may not be recorded.
    """
    for message in reversed(_messages_of(state) if policy.outputs else []):
        opened = _opened(message)
        said_by = _role(opened)
        if said_by == "assistant":
            return output_messages([(opened, None)], policy)
        if said_by == "user":
            break
    return None


def tool_arguments(value: Any, policy: Policy) -> str | None:
    """What a tool is called with: JSON, or the text if it is one. `None` if inputs may not be recorded."""
    return _told(value, policy) if policy.inputs else None


def tool_result(output: Any, policy: Policy) -> str | None:
    """What a tool returned: a text, or JSON if it is a structure. `None` if outputs may not be recorded.

    Of a `ToolMessage` it is its content, never its artifact; of LangGraph's `Command` the tool messages in its update,
    else the update.
    """
    if not policy.outputs or output is None:
        return None
    bodies = [field(message, "content") for message in _messages_in(output)]
    if not bodies and parts.are_blocks(output) and any(isinstance(block, Mapping) for block in output):
        bodies = [output]
    if bodies:
        return "\n".join(map(parts.label, both_ends(bodies, _result, Budget(policy))))
    return _told(field(output, "update") or {} if _is_command(output) else output, policy)


def retrieved_documents(found: Iterable[Any], policy: Policy) -> str | None:
    """The documents that a retriever found, as JSON: `[{"content", "id"?, "metadata"?}]`.

    Of the metadata only texts, numbers and truth values. `None` if outputs may not be recorded.
    """
    if not policy.outputs:
        return None
    return json_list(
        list(found), _document, lambda missing: {"content": f"[... {len(missing)} documents cut ...]"}, policy
    )


def role_of(message: Any) -> str:
    """The message's role, one of the four that the conventions know."""
    return _role(_opened(message)) or "user"


def parts_of(message: Any, policy: Policy) -> Iterator[Part]:
    """The parts of a message: text, reasoning, tool calls, a tool's response, media, other blocks by type."""
    yield from _parts(_opened(message), Budget(policy))


def text_of(value: object) -> str:
    """The plain text of a token or a message's content, which may be a list of blocks."""
    return value if isinstance(value, str) else "".join(parts.texts_in(value))


def _cut_messages(messages: Sequence[Any]) -> dict[str, Any]:
    # The role of nobody in the conversation, so that these words are nobody's.
    size = sum(len(text) for message in messages for text in parts.texts_in(parts.body_of(message)))
    text = f"[... {len(messages)} messages, {size} characters cut ...]"
    return {"role": "system", "parts": [{"type": "text", "content": text}]}


# -- Messages, however they are spelled ------------------------------------------------------------------------


def _said(messages: Iterable[Any]) -> Iterator[tuple[Any, str | None]]:
    for message in messages:
        opened = _opened(message)
        yield opened, _role(opened)


def _opened(message: Any) -> Any:
    """A message, or what is one in LangChain's other spellings: a text, a pair, a serialised message."""
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
    """Whether it is `("user", "Hello")`."""
    is_pair = isinstance(message, (list, tuple)) and len(message) == 2 and isinstance(message[0], str)
    return is_pair and message[0].lower() in _ROLES


def _role(message: Any) -> str | None:
    """The message's role; `None` for what is no message, but tells LangGraph to remove one."""
    kind = field(message, "type")
    if not isinstance(kind, str) or kind in ("chat", "message", "ChatMessageChunk"):
        kind = field(message, "role")
    if not isinstance(kind, str):
        return "user"
    if kind in _ROLES:
        return _ROLES[kind]
    # A chunk's type is the name of its class: "SystemMessageChunk".
    name = kind.lower().replace("messagechunk", "")
    return None if name == "remove" else _ROLES.get(name, "user")


def _messages_of(state: Any) -> list[Any]:
    """The messages of a graph's state, which may be a mapping, an object or the messages themselves."""
    found = state if isinstance(state, (list, tuple)) else field(state, "messages")
    if type(found).__name__ == "Overwrite":  # LangGraph
        found = field(found, "value")
    if isinstance(found, (list, tuple)) and not _is_pair(found):
        return list(found)
    return [] if found is None else [found]


def _messages_in(output: Any) -> list[Any]:
    """The messages that a tool returned: one, several, or in LangGraph's command."""
    if _is_command(output):
        return [each for each in _messages_of(field(output, "update")) if role_of(each) == "tool"]
    if isinstance(output, (list, tuple)):
        return [
            message for each in output if not isinstance(each, (str, list, tuple)) for message in _messages_in(each)
        ]
    is_message = field(output, "tool_call_id") is not None or isinstance(field(output, "additional_kwargs"), Mapping)
    return [output] if is_message else []


def _is_command(output: Any) -> bool:
    return type(output).__name__ == "Command" and hasattr(output, "goto")


def _message(message: Any, said_by: str | None, budget: Budget, reason: str | None = None) -> dict[str, Any]:
    told = budget.frame(role=said_by, parts=[], **({"finish_reason": reason} if reason else {}))
    told["parts"] = _parts(message, budget)
    return told


def _parts(message: Any, budget: Budget) -> list[Part]:
    if _role(message) == "tool":
        return [
            parts.response(field(message, "tool_call_id"), parts.body_of(message), field(message, "status"), budget)
        ]
    return parts.said(message, budget)


def _result(body: Any, budget: Budget) -> list[Part]:
    return [{"type": "text", "content": parts.result_text(body, budget)}]


def _document(document: Any, budget: Budget) -> dict[str, Any]:
    identity = as_id(field(document, "id"))
    told = budget.frame(content="", **({} if identity is None else {"id": identity}))
    metadata = field(document, "metadata")
    shown = {}
    if isinstance(metadata, Mapping):
        shown = {name: each for name, each in metadata.items() if isinstance(each, (str, int, float))}
    content = document if isinstance(document, str) else field(document, "page_content")
    if isinstance(content, str):
        with budget.share(budget.left // 2 if shown else budget.left) as share:
            told["content"] = share.text(content) or ""
    if shown:
        budget.take(len('"metadata": '))
        told["metadata"] = budget.value(shown)
    return told


def _told(value: Any, policy: Policy) -> str | None:
    return policy.text(value) if isinstance(value, str) else spelled(Budget(policy).value(value))
