"""The edges that random examples rarely meet: what is read of a tool, a retriever and an agent."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from sentry_langchain_stream._content.policy import NOTHING, Limits, Policy
from sentry_langchain_stream._from_langchain import steps
from sentry_langchain_stream._runs.details import Agent, Retrieval, ToolCall

OPEN = Policy(True, True)
HELLO = {"role": "user", "content": "Hello"}
HI = {"role": "assistant", "content": "Hi"}


@pytest.mark.parametrize(
    ("name", "serialized", "told", "expected"),
    [
        ("run", {"name": "a", "description": "d"}, {"inputs": {"x": 1}}, ("a", "d", None, '{"x": 1}')),
        ("run", {}, {"inputs": {}}, ("run", None, None, "{}")),
        (None, None, {"tool_call_id": "call-1"}, ("tool", None, "call-1", "text")),
        ("run", {"name": 7}, {"tool_call_id": 8, "inputs": None}, ("7", None, "8", "text")),
    ],
)
def test_what_is_read_of_a_tool(name: str | None, serialized: Any, told: Any, expected: tuple[Any, ...]) -> None:
    """A tool is called by its own name, else by the run's; what it is given is told as it is, else as a text."""
    tool = steps.tool_call(name, serialized, told, "text", OPEN)
    assert (tool.name, tool.description, tool.id, tool.arguments) == expected
    closed = steps.tool_call(name, serialized, told, "text", NOTHING)
    assert (closed.name, closed.description, closed.id, closed.arguments) == (tool.name, None, tool.id, None)


@pytest.mark.parametrize(
    ("known", "output", "expected"),
    [
        (None, SimpleNamespace(tool_call_id="call-2"), "call-2"),
        ("call-1", SimpleNamespace(tool_call_id="call-2"), "call-1"),
        (None, {"tool_call_id": "call-2"}, None),
        (None, SimpleNamespace(tool_call_id=["call-2"]), None),
        (None, "text", None),
    ],
)
def test_a_tools_message_names_the_call_that_it_answers(known: str | None, output: Any, expected: str | None) -> None:
    """The call's id is taken from the message that a tool returns, unless it was told before; a mapping is a result."""
    tool = ToolCall("t", id=known)
    steps.add_result(tool, output, NOTHING)
    assert tool.id == expected


def test_what_comes_of_a_tool_shares_the_limit() -> None:
    """Arguments leave a part of the limit to the result, and the result takes what they have left."""
    policy = Policy(True, True, limits=Limits(8_000, 8_000, 10_000))
    tool = steps.tool_call("t", None, {"inputs": {"a": "x" * 20_000}}, "", policy)
    assert 7_350 < len(tool.arguments or "") <= 7_500
    steps.add_result(tool, "y" * 20_000, policy)
    assert 2_400 < len(tool.result or "") <= 10_000 - len(tool.arguments or "")


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        (ToolMessage("No.", status="error", tool_call_id="1"), True),
        (ToolMessage("Yes.", tool_call_id="1"), False),
        (SimpleNamespace(type="ai", status="error", content="No.", tool_call_id="1"), False),
        ({"type": "tool", "status": "error"}, False),
        ("error", False),
    ],
)
def test_a_failure_that_is_a_message(output: Any, failed: bool) -> None:
    """Only a tool's own message that says so tells of a failure: a mapping is a result."""
    assert steps.is_failed(output) is failed


@pytest.mark.parametrize(
    ("name", "serialized", "expected"),
    [
        ("run", {"id": ["a", "Shelf"]}, "run"),
        (None, {"id": ["a", "Shelf"]}, "Shelf"),
        (None, {"id": []}, "retriever"),
        (None, {"id": "Shelf"}, "retriever"),
        (None, None, "retriever"),
    ],
)
def test_what_is_read_of_a_retriever(name: str | None, serialized: Any, expected: str) -> None:
    """A retriever is called by the run's name, else by its class; its documents are counted, and told."""
    found = steps.retrieval(name, serialized, "query", OPEN)
    assert (found.name, found.query, found.documents) == (expected, "query", None)
    steps.add_documents(found, [SimpleNamespace(page_content="words")], OPEN)
    assert (found.documents, found.found) == (1, '[{"content": "words"}]')
    closed = Retrieval("r")
    steps.add_documents(closed, ["words"], NOTHING)
    assert (closed.documents, closed.found) == (1, None)
    steps.add_documents(closed, iter(["words"]), OPEN)
    assert (closed.documents, closed.found) == (1, None)


def test_queries_and_documents_share_the_limit() -> None:
    """A long query leaves a part of the limit to the documents, and those take what is left."""
    policy = Policy(True, True, limits=Limits(8_000, 8_000, 10_000))
    found = steps.retrieval("r", None, "x" * 20_000, policy)
    assert 7_400 < len(found.query or "") <= 7_500
    steps.add_documents(found, ["y" * 20_000], policy)
    assert 2_000 < len(found.found or "") <= 10_000 - len(found.query or "")


def test_what_is_read_of_an_agent() -> None:
    """An agent records what it is asked and what it answers, each within what the others leave."""
    agent = steps.agent("scout", {"messages": [HELLO]}, OPEN)
    steps.add_answer(agent, {"messages": [HELLO, HI]}, OPEN)
    assert agent.name == "scout"
    assert [each["role"] for each in json.loads(agent.messages or "")] == ["user"]
    assert [each["role"] for each in json.loads(agent.answer or "")] == ["assistant"]

    policy = Policy(True, True, limits=Limits(8_000, 8_000, 10_000))
    agent = steps.agent(None, [{"role": "user", "content": "x" * 20_000}], policy)
    assert 2_200 < len(agent.messages or "") <= 2_500
    agent.system, agent.tools = "s" * 2_000, "t" * 2_500
    steps.add_answer(agent, [{"role": "assistant", "content": "y" * 20_000}], policy)
    assert 2_700 < len(agent.answer or "") <= 5_500 - len(agent.messages or "")


def test_a_result_is_of_its_tool() -> None:
    """What a tool returned is added to its record, if it may be."""
    tool = ToolCall("t", arguments="{}")
    steps.add_result(tool, {"a": 1}, OPEN)
    assert tool.result == '{"a": 1}'
    steps.add_result(tool, {"a": 1}, NOTHING)
    assert tool.result is None


def test_an_agent_without_a_name_has_an_empty_one() -> None:
    """An agent that nobody named gets its name later."""
    assert steps.agent(None, None, NOTHING).name == Agent("").name
