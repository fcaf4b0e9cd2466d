"""From what LangChain hands over of tools, retrievers and agents to their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import content
from .parameters import as_text
from .privacy import Policy
from .record import Retrieval, ToolCall


def tool_call(
    name: str | None, serialized: object, told: Mapping[str, Any], input_str: str, policy: Policy
) -> ToolCall:
    """A call of a tool.

    Args:
        name: The run's name; LangChain gives none for most tools.
        serialized: LangChain's description of the tool.
        told: What LangChain hands to the start besides.
        input_str: The inputs as a text.
        policy: What may be recorded.
    """
    described: Mapping[str, Any] = serialized if isinstance(serialized, Mapping) else {}
    inputs = told.get("inputs")
    given = inputs if inputs is not None else input_str
    return ToolCall(
        as_text(described.get("name")) or name or "tool",
        as_text(described.get("description")),
        as_text(told.get("tool_call_id")),
        content.tool_arguments(given, policy) if policy.inputs else None,
    )


def tool_result(output: object, policy: Policy) -> str | None:
    """What a tool returned, if it may be recorded."""
    return content.tool_result(output, policy) if policy.outputs else None


def is_failed(output: object) -> bool:
    """Whether a tool has made a message of its failure."""
    return getattr(output, "type", None) == "tool" and getattr(output, "status", None) == "error"


def retrieval(name: str | None, serialized: object, query: str, policy: Policy) -> Retrieval:
    """A call of a retriever."""
    path = serialized.get("id") if isinstance(serialized, Mapping) else None
    cls = path[-1] if isinstance(path, list) and path else None
    return Retrieval(name or as_text(cls) or "retriever", policy.text(query) if policy.inputs else None)


def add_documents(to: Retrieval, documents: object, policy: Policy) -> None:
    """Add what a retriever found."""
    if isinstance(documents, Sequence):
        to.documents = len(documents)
        to.found = content.documents(documents, policy) if policy.outputs else None


def asked(inputs: object, policy: Policy) -> str | None:
    """The messages that an agent was asked with, if they may be recorded."""
    messages = _messages(inputs)
    return content.input_messages(messages, policy) if policy.inputs else None


def answered(outputs: object, policy: Policy) -> str | None:
    """The message that an agent answered with, if it may be recorded."""
    answers = [message for message in _messages(outputs) if content.role(message) == "assistant"]
    return content.output_messages([(answers[-1], None)], policy) if answers and policy.outputs else None


def _messages(state: object) -> Sequence[Any]:
    """The messages of a graph's state."""
    found = state.get("messages") if isinstance(state, Mapping) else getattr(state, "messages", None)
    if found is None:
        return ()
    return found if isinstance(found, (list, tuple)) else (found,)
