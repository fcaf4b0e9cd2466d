"""Messages in the shape of the conventions."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace
from typing import Any, NoReturn
from uuid import UUID

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from sentry_langchain_stream._content.lists import Part
from sentry_langchain_stream._content.messages import (
    input_messages,
    output_messages,
    prompt_messages,
    system_instructions,
    text_of,
)
from sentry_langchain_stream._content.policy import Limits, Policy

OPEN = Policy(inputs=True, outputs=True)
SECRET = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQ"
IMAGE = {"type": "blob", "content": "[Blob substitute]", "size": 26, "modality": "image"}


def strictly(constant: str) -> NoReturn:
    """Refuse what Python's JSON has and JSON has not: NaN and the infinities."""
    raise ValueError(f"{constant} is no JSON")


def read(text: str | None) -> Any:
    """Parse strict JSON."""
    return [] if text is None else json.loads(text, parse_constant=strictly)


class Marking:
    """A redaction that remembers what it was shown, and marks it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, text: str) -> str:
        self.seen.append(text)
        return f"<{text}>"


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (HumanMessage("x"), "user"),
        (HumanMessageChunk(content="x"), "user"),
        (AIMessage("x"), "assistant"),
        (AIMessageChunk(content="x"), "assistant"),
        (SystemMessage("x"), "system"),
        (SystemMessageChunk(content="x"), "system"),
        (ToolMessage("x", tool_call_id="1"), "tool"),
        (ToolMessageChunk(content="x", tool_call_id="1"), "tool"),
        (FunctionMessage(content="x", name="f"), "tool"),
        (FunctionMessageChunk(content="x", name="f"), "tool"),
        (ChatMessage(content="x", role="assistant"), "assistant"),
        (ChatMessage(content="x", role="ai"), "assistant"),
        (ChatMessage(content="x", role="system"), "system"),
        (ChatMessage(content="x", role="human"), "user"),
        (ChatMessage(content="x", role="captain"), "user"),
        (ChatMessageChunk(content="x", role="assistant"), "assistant"),
        (object(), "user"),
        (None, "user"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_roles(message: Any, role: str) -> None:
    """Every message, and every chunk of one in a history, has one of the four roles that the conventions know."""
    recorded = input_messages([message], OPEN)
    assert [each["role"] for each in read(recorded or "[]")] == ([role] if role != "system" else [])
    assert (system_instructions([message], OPEN) is not None) == (role == "system")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Hello", [{"type": "text", "content": "Hello"}]),
        ("", []),
        ([], []),
        (["a", "b"], [{"type": "text", "content": "a"}, {"type": "text", "content": "b"}]),
        ([{"type": "text", "text": "a"}], [{"type": "text", "content": "a"}]),
        ([{"type": "text", "text": ""}], []),
        ([{"type": "reasoning", "reasoning": "hm"}], [{"type": "reasoning", "content": "hm"}]),
        ([{"type": "thinking", "thinking": "hm", "signature": SECRET}], [{"type": "reasoning", "content": "hm"}]),
        ([{"type": "reasoning", "summary": []}], []),
        (
            [{"type": "tool_use", "id": "1", "name": "f", "input": {"city": "Paris"}}],
            [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"city": "Paris"}}],
        ),
        ([{"type": "tool_call_chunk", "args": '{"ci'}, {"type": "input_json_delta", "partial_json": "ty"}], []),
        (
            [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {"url": SECRET}}],
            [{"type": "text", "content": "Look:"}, IMAGE],
        ),
    ],
    ids=repr,
)
def test_parts_of_a_body(body: Any, expected: list[Part]) -> None:
    """Texts, reasoning, calls and media are parts in their order, and what is empty is left out."""
    recorded = read(input_messages([AIMessage(body)], OPEN))
    assert [each["parts"] for each in recorded] == [expected]


def test_a_block_without_a_type_makes_none_up() -> None:
    """A block that states no type (Bedrock's) is not recorded under a Python word."""
    message = HumanMessage([{"pixels": {"format": "png"}}])
    assert read(input_messages([message], OPEN)) == [{"role": "user", "parts": [{"type": "unknown"}]}]


def test_a_tool_call_is_a_part() -> None:
    """A tool call is told once, with its arguments as structure, whatever the provider repeats in the content."""
    message = AIMessage(
        [{"type": "tool_use", "id": "1", "name": "weather", "input": {"city": "Paris"}}],
        tool_calls=[{"id": "1", "name": "weather", "args": {"city": "Paris", "days": 2, "now": True, "at": None}}],
    )
    [recorded] = read(output_messages([(message, "tool_calls")], OPEN))
    assert recorded == {
        "role": "assistant",
        "parts": [
            {
                "type": "tool_call",
                "id": "1",
                "name": "weather",
                "arguments": {"city": "Paris", "days": 2, "now": True, "at": None},
            }
        ],
        "finish_reason": "tool_calls",
    }


def test_system_messages_are_told_apart() -> None:
    """System texts are instructions, not input messages, and each is told in one of the two places only."""
    messages = [
        SystemMessage("Be brief."),
        HumanMessage("Hello"),
        AIMessage("Hi"),
        SystemMessage([{"type": "text", "text": "Be kind."}]),
        ToolMessage("18", tool_call_id="1"),
    ]
    assert system_instructions(messages, OPEN) == "Be brief.\nBe kind."
    assert [each["role"] for each in read(input_messages(messages, OPEN))] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("messages", [[], [HumanMessage("x")], [SystemMessage("")]], ids=repr)
def test_without_system_text_there_are_no_instructions(messages: list[BaseMessage]) -> None:
    """Where no system message says anything there are no instructions, rather than empty ones."""
    assert system_instructions(messages, OPEN) is None


def test_prompts_are_users_messages() -> None:
    """The prompts of a non-chat model are a user's messages, one each."""
    assert read(prompt_messages(["Once", "upon"], OPEN)) == [
        {"role": "user", "parts": [{"type": "text", "content": "Once"}]},
        {"role": "user", "parts": [{"type": "text", "content": "upon"}]},
    ]


@pytest.mark.parametrize("answer", ["Hi", AIMessage("Hi"), AIMessageChunk(content="Hi")], ids=repr)
@pytest.mark.parametrize(("reason", "stated"), [("stop", {"finish_reason": "stop"}), (None, {}), ("", {})])
def test_answers(answer: Any, reason: str | None, stated: dict[str, str]) -> None:
    """An answer is the assistant's, message or text; its finish reason is stated where there is one."""
    assert read(output_messages([(answer, reason)], OPEN)) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hi"}], **stated}
    ]


def test_every_text_is_redacted_exactly_once() -> None:
    """`redact` sees each whole text once: parts, instructions, tool arguments at any depth, tool responses."""
    redact = Marking()
    policy = Policy(True, True, redact)
    messages = [
        SystemMessage("system"),
        HumanMessage(["first", {"type": "text", "text": "second"}, {"type": "image_url", "image_url": SECRET}]),
        AIMessage(
            [{"type": "reasoning", "reasoning": "thought"}, {"type": "text", "text": "answer"}],
            tool_calls=[{"id": "1", "name": "f", "args": {"a": "plain", "b": {"c": ["deep", 3, None]}}}],
        ),
        ToolMessage("result", tool_call_id="1"),
    ]
    instructions = system_instructions(messages, policy)
    recorded = read(input_messages(messages, policy))
    assert sorted(redact.seen) == sorted(["system", "first", "second", "thought", "answer", "plain", "deep", "result"])
    assert instructions == "<system>"
    assert recorded == [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "<first>"},
                {"type": "text", "content": "<second>"},
                IMAGE,
            ],
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "<thought>"},
                {"type": "text", "content": "<answer>"},
                {
                    "type": "tool_call",
                    "id": "1",
                    "name": "f",
                    "arguments": {"a": "<plain>", "b": {"c": ["<deep>", 3, None]}},
                },
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "result": "<result>"}]},
    ]


@pytest.mark.parametrize("value", [date(2024, 2, 29), UUID(int=1), ValueError("2024-02-29")], ids=repr)
def test_an_argument_of_another_type_is_recorded_as_redacted_text(value: object) -> None:
    """What JSON has no type for is a text like any other, and is redacted."""
    message = AIMessage("", tool_calls=[{"id": "1", "name": "f", "args": {"day": value}}])
    redact = Marking()
    [recorded] = read(output_messages([(message, None)], Policy(True, True, redact)))
    assert redact.seen == [str(value)]
    assert recorded["parts"][0]["arguments"] == {"day": f"<{value}>"}


def test_an_id_that_is_no_text_leaves_the_json_valid() -> None:
    """A message of somebody's own may carry an id object: it is recorded as text."""
    message = SimpleNamespace(type="ai", content="", tool_calls=[{"id": date(2024, 2, 29), "name": "f", "args": {}}])
    [recorded] = read(output_messages([(message, None)], OPEN))
    assert recorded["parts"][0]["id"] == "2024-02-29"


def test_prompts_and_answers_are_redacted_once() -> None:
    """`redact` sees each prompt and each plain answer once."""
    redact = Marking()
    policy = Policy(True, True, redact)
    [prompt] = read(prompt_messages(["prompt"], policy))
    [answer] = read(output_messages([("answer", None)], policy))
    assert redact.seen == ["prompt", "answer"]
    assert prompt["parts"] == [{"type": "text", "content": "<prompt>"}]
    assert answer["parts"] == [{"type": "text", "content": "<answer>"}]


@pytest.mark.usefixtures("lenient")
def test_a_text_whose_redaction_fails_is_nowhere() -> None:
    """If `redact` raises, the message stays, without any of its texts."""

    def refuse(text: str) -> str:
        raise ValueError(text)

    policy = Policy(True, True, refuse)
    messages = [
        SystemMessage("words"),
        HumanMessage("words"),
        AIMessage("words", tool_calls=[{"id": "1", "name": "f", "args": {"a": "words", "b": 1}}]),
        ToolMessage("words", tool_call_id="1"),
    ]
    assert system_instructions(messages, policy) is None
    assert read(input_messages(messages, policy)) == [
        {"role": "user", "parts": []},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"a": None, "b": 1}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "result": ""}]},
    ]


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("x" * 50_000),
        HumanMessage([{"type": "text", "text": "x" * 50_000}]),
        ToolMessage("x" * 50_000, tool_call_id="1"),
        AIMessage("", tool_calls=[{"id": "1", "name": "f", "args": {"a": "x" * 50_000}}]),
    ],
    ids=["text", "block", "tool response", "tool argument"],
)
def test_long_texts_are_cut(message: BaseMessage) -> None:
    """Every text is cut to its limit, wherever it stands."""
    recorded = input_messages([message], OPEN) or ""
    assert Limits().part < len(recorded) < Limits().part + 300
    assert "[... 30030 characters cut ...]" in recorded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Hi", "Hi"),
        ("", ""),
        ([], ""),
        (["a", {"type": "text", "text": "b"}, {"type": "reasoning", "reasoning": "c"}, {"type": "image"}], "ab"),
        ([{"type": "text", "text": None}], ""),
        (None, ""),
        (3, ""),
    ],
    ids=repr,
)
def test_plain_text_of_a_token(value: object, expected: str) -> None:
    """A token's plain text is its own or that of its text blocks."""
    assert text_of(value) == expected


def test_words_stay_readable() -> None:
    """Text is recorded in its own script, not as escapes."""
    assert "größer 東京 🙂" in prompt_messages(["größer 東京 🙂"], OPEN)
