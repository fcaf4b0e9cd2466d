"""Converts messages to the shape of the conventions: `[{"role", "parts": [{"type", ...}]}]`, as one JSON string.

This is the value of `gen_ai.input.messages` and `gen_ai.output.messages` (see `sentry-conventions`). Parts that
Sentry's examples lack follow OpenTelemetry's GenAI message schema. Calls of a provider's own tools are recorded as tool
calls and responses too, because Sentry shows those. Every text passes the run's policy. What the limits cut is not
read. Of an unknown content block only the type and the text are recorded, because its data may be a whole image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import parts
from .block_texts import text_in, texts_in
from .budget import Budget, spelled
from .cutting import mark
from .lists import Part, both_ends, json_list
from .message_formats import is_command, messages_in, messages_of, opened, role_in, with_roles
from .plain_messages import plain_message
from .policy import Policy
from .reading import as_id, field


def input_messages(messages: Iterable[Any], policy: Policy) -> str | None:
    """Return the messages of a prompt as JSON, or `None` if there are none.

    System messages are left to `system_instructions`. If the history is too long, the latest messages are kept, and
    always the last message of the user.
    """
    kept = [(message, role) for message, role in with_roles(messages) if role not in ("system", None)]
    if not kept:
        return None
    return _latest(
        kept, policy, always=max((index for index, (_, role) in enumerate(kept) if role == "user"), default=None)
    )


def system_instructions(messages: Iterable[Any], policy: Policy, ahead: int = 0) -> str | None:
    """Return the text of the system messages, or `None` if there are none.

    Args:
        messages: The messages of a prompt.
        policy: What may be recorded.
        ahead: How many attributes of the span are still to come, see `Policy.beside`.
    """
    found = [message for message, role in with_roles(messages) if role == "system"]
    if not found:
        return None
    budget = Budget(policy.beside(ahead=ahead))
    texts = [part["content"] for part in both_ends(found, _parts, budget) if part["type"] == "text"]
    return "\n".join(texts) if texts else None


def prompt_messages(prompts: Sequence[str], policy: Policy) -> str:
    """Return the prompts of a non-chat model as JSON."""
    return json_list(
        prompts,
        lambda prompt, budget: _message(prompt, "user", budget),
        _cut_messages,
        policy,
        shortcut=lambda prompt, room: plain_message(prompt, "user", policy, room),
        latest_first=True,
    )


def embedded_texts(texts: Sequence[str], policy: Policy) -> str | None:
    """Return the texts that are to be embedded as a JSON list of strings. `None` if inputs may not be recorded."""
    if not policy.inputs:
        return None
    return json_list(
        texts,
        lambda text, budget: budget.text(text) or "",
        lambda missing: mark(len(missing), "texts"),
        policy,
    )


def output_messages(answers: Iterable[tuple[Any, str | None]], policy: Policy) -> str:
    """Return the answers of a model as JSON.

    Args:
        answers: `(message or text, finish reason)`, one per generation.
        policy: What may be recorded.
    """
    return json_list(
        list(answers),
        lambda answer, budget: _message(answer[0], "assistant", budget, answer[1]),
        lambda missing: _cut_messages([message for message, _ in missing]),
        policy,
        shortcut=lambda answer, room: plain_message(answer[0], "assistant", policy, room, answer[1]),
    )


def agent_question(state: Any, policy: Policy) -> str | None:
    """Return the input messages of a graph or a chain as JSON: those in the `messages` of its state.

    Returns:
        The JSON, or `None` if there are no messages or inputs may not be recorded.
    """
    return input_messages(messages_of(state), policy) if policy.inputs else None


def agent_answer(state: Any, policy: Policy) -> str | None:
    """Return the answer of a graph or a chain as JSON: the last assistant message in the `messages` of its state.

    If tool messages follow it, they are the answer, too: a tool with `return_direct` ends an agent.

    Returns:
        The JSON, or `None` if there is no assistant message after the user's last one, or outputs may not be recorded.
    """
    answers: list[tuple[Any, str | None]] = []
    for message in reversed(messages_of(state) if policy.outputs else []):
        answer = opened(message)
        role = role_in(answer)
        if role in ("assistant", "tool"):
            answers.append((answer, role))
        if role == "assistant":
            return _latest(answers[::-1], policy)
        if role == "user":
            break
    return None


def tool_arguments(value: Any, policy: Policy) -> str | None:
    """Return the arguments of a tool: a text as it is, anything else as JSON. `None` if inputs may not be recorded."""
    return _text_or_json(value, policy) if policy.inputs else None


def tool_result(output: Any, policy: Policy) -> str | None:
    """Return the result of a tool: a text as it is, a structure as JSON. `None` if outputs may not be recorded.

    For a `ToolMessage` this is its content, never its artifact. For LangGraph's `Command` it is the tool messages in
    its update, or the update if it has none.
    """
    if not policy.outputs or output is None:
        return None
    bodies = _bodies_of(output)
    if bodies:
        return "\n".join(map(parts.label, both_ends(bodies, _result, Budget(policy))))
    return _text_or_json(field(output, "update") or {} if is_command(output) else output, policy)


def tool_result_size(output: Any) -> int | None:
    """Return the size of a tool's whole result as text or JSON, in bytes of UTF-8. The content is not kept.

    Returns:
        The size, or `None` for a result that is not made of plain values.
    """
    bodies = _bodies_of(output)
    if not bodies:
        body = field(output, "update") if is_command(output) else output
        return None if body is None else _size_of(body)
    return sum(_size_of(_lines(body)) for body in bodies) + len(bodies) - 1


def _size_of(body: Any) -> int:
    """Return the size of a text, or that of the JSON of anything else, in bytes of UTF-8.

    Raises:
        TypeError, ValueError, RecursionError: It is not made of plain values.
    """
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return len(text.encode("utf-8", "surrogatepass"))


def _lines(body: Any) -> Any:
    """Return a message's content as text if it consists of texts. Any other content is returned as it is."""
    if isinstance(body, str) or not parts.are_blocks(body):
        return body or ""
    texts = [each if isinstance(each, str) else text_in(each) for each in body]
    return "\n".join(text for text in texts if text) if None not in texts else body


def _bodies_of(output: Any) -> list[Any]:
    """Return the content of the messages that a tool returned, or its blocks."""
    bodies = [field(message, "content") for message in messages_in(output)]
    if not bodies and parts.are_blocks(output) and any(isinstance(block, Mapping) for block in output):
        return [output]
    return bodies


def retrieved_documents(found: Iterable[Any], policy: Policy) -> str | None:
    """Return the documents that a retriever found as JSON: `[{"content", "id"?, "metadata"?}]`.

    Only strings, numbers and booleans of the metadata are recorded. `None` if outputs may not be recorded.
    """
    if not policy.outputs:
        return None
    return json_list(list(found), _document, lambda missing: {"content": mark(len(missing), "documents")}, policy)


def text_of(value: object) -> str:
    """Return the plain text of a token or of a message's content, which may be a list of blocks."""
    return value if isinstance(value, str) else "".join(texts_in(value))


def _latest(messages: Sequence[tuple[Any, str | None]], policy: Policy, always: int | None = None) -> str:
    """Return messages with their roles as JSON, the latest ones if there are too many."""
    return json_list(
        messages,
        lambda each, budget: _message(*each, budget),
        lambda missing: _cut_messages([message for message, _ in missing]),
        policy,
        shortcut=lambda each, room: plain_message(*each, policy, room),
        latest_first=True,
        always=always,
    )


def _cut_messages(messages: Sequence[Any]) -> dict[str, Any]:
    # Sentry's page takes the first message of the system for the system prompt, and the last one of the user for the
    # question. A mark must be neither.
    size = sum(len(text) for message in messages for text in texts_in(parts.body_of(message)))
    text = mark(len(messages), f"messages, {size} characters")
    return {"role": "assistant", "parts": [{"type": "text", "content": text}]}


def _message(message: Any, role: str | None, budget: Budget, reason: str | None = None) -> dict[str, Any]:
    converted = budget.frame(role=role, parts=[], **({"finish_reason": reason} if reason else {}))
    converted["parts"] = _parts(message, budget)
    return converted


def _parts(message: Any, budget: Budget) -> list[Part]:
    if role_in(message) == "tool":
        return [
            parts.response(field(message, "tool_call_id"), parts.body_of(message), field(message, "status"), budget)
        ]
    return parts.message_parts(message, budget)


def _result(body: Any, budget: Budget) -> list[Part]:
    return [{"type": "text", "content": parts.result_text(body, budget)}]


def _document(document: Any, budget: Budget) -> dict[str, Any]:
    identity = as_id(field(document, "id"))
    entry = budget.frame(content="", **({} if identity is None else {"id": identity}))
    metadata = field(document, "metadata")
    shown = {}
    if isinstance(metadata, Mapping):
        shown = {name: each for name, each in metadata.items() if isinstance(each, (str, int, float))}
    content = document if isinstance(document, str) else field(document, "page_content")
    if isinstance(content, str):
        with budget.share(budget.left // 2 if shown else budget.left) as share:
            entry["content"] = share.text(content) or ""
    if shown:
        budget.take(len('"metadata": '))
        entry["metadata"] = budget.value(shown)
    return entry


def _text_or_json(value: Any, policy: Policy) -> str | None:
    return policy.text(value) if isinstance(value, str) else spelled(Budget(policy).value(value))
