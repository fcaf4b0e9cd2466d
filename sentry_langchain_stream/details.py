"""From what LangChain hands over of tools, retrievers and agents to their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import content
from .blocks import field
from .parameters import as_text
from .privacy import Policy
from .record import Agent, Retrieval, ToolCall


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
        _description(described, policy),
        as_text(told.get("tool_call_id")),
        content.tool_arguments(given, policy.beside(ahead=1)),
    )


def _description(described: Mapping[str, Any], policy: Policy) -> str | None:
    """What a tool says of itself: a part of its definition, and so of what a model is given."""
    told = as_text(described.get("description")) if policy.inputs else None
    return told and policy.text(told)


def add_result(to: ToolCall, output: object, policy: Policy) -> None:
    """Add what a tool returned, if it may be recorded; and the call's id, which langchain-core 1.0 tells no earlier."""
    to.id = to.id or (None if isinstance(output, Mapping) else as_text(field(output, "tool_call_id")))
    to.result = content.tool_result(output, policy.beside(to.arguments))


def is_failed(output: object) -> bool:
    """Whether a tool has made a message of its failure."""
    return not isinstance(output, Mapping) and field(output, "type") == "tool" and field(output, "status") == "error"


def retrieval(name: str | None, serialized: object, query: str, policy: Policy) -> Retrieval:
    """A call of a retriever."""
    path = serialized.get("id") if isinstance(serialized, Mapping) else None
    cls = path[-1] if isinstance(path, list) and path else None
    return Retrieval(name or as_text(cls) or "retriever", content.tool_arguments(query, policy.beside(ahead=1)))


def add_documents(to: Retrieval, documents: object, policy: Policy) -> None:
    """Add what a retriever found: how much, and what, if it may be recorded."""
    if isinstance(documents, Sequence):
        to.documents = len(documents)
        to.found = content.documents(documents, policy.beside(to.query))


def agent(name: str | None, inputs: object, policy: Policy) -> Agent:
    """A run of an agent, with what it is asked, if that may be recorded."""
    return Agent(name or "", messages=content.conversation(inputs, policy.beside(ahead=2)))


def add_answer(to: Agent, outputs: object, policy: Policy) -> None:
    """Add what an agent answered, if it may be recorded."""
    to.answer = content.answer(outputs, policy.beside(to.tools, to.messages))
