"""How much of a structure is recorded: what is too much is cut, counted and never looked at."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from sentry_langchain_stream._content.budget import Budget, Full, spelled
from sentry_langchain_stream._content.messages import (
    agent_question,
    input_messages,
    prompt_messages,
    retrieved_documents,
    tool_arguments,
    tool_result,
)
from sentry_langchain_stream._content.offered_tools import tool_definitions
from sentry_langchain_stream._content.policy import Limits, Policy
from tests.kit.parts import conforming, strictly
from tests.kit.strategies import Broken, in_production

OPEN = Policy(inputs=True, outputs=True)


def test_what_is_cut_is_counted() -> None:
    """In place of the messages that were cut stands how many they were, and how long."""
    said: list[Any] = [HumanMessage("first"), *(AIMessage("y" * 100) for _ in range(300)), HumanMessage("last")]
    recorded = conforming(input_messages(said, Policy(True, True, limits=Limits(1_000, 4_000, 8_000))) or "", 4_000)
    [mark] = recorded[0]["parts"]
    assert recorded[0]["role"] == "assistant"
    cut = 302 - (len(recorded) - 1)
    assert mark == {"type": "text", "content": f"[... {cut} messages, {5 + 100 * (cut - 1)} characters cut ...]"}
    assert recorded[-1] == {"role": "user", "parts": [{"type": "text", "content": "last"}]}


def test_a_cut_may_stand_on_both_sides_of_the_users_last_turn() -> None:
    """Of a long agent's run the task is kept, and its latest steps."""
    said: list[Any] = ["before"] * 100 + [HumanMessage("task")] + [AIMessage("y" * 100)] * 100
    recorded = conforming(input_messages(said, Policy(True, True, limits=Limits(1_000, 4_000, 8_000))) or "", 4_000)
    marks = [index for index, each in enumerate(recorded) if " messages, " in str(each)]
    assert marks == [0, 2]
    assert recorded[1]["parts"] == [{"type": "text", "content": "task"}]
    assert recorded[0]["parts"][0]["content"] == "[... 100 messages, 600 characters cut ...]"


def test_parts_are_cut_in_their_middle() -> None:
    """Of a message of many parts the first and the last are kept."""
    said = HumanMessage([{"type": "text", "text": f"{index} {'x' * 200}"} for index in range(100)])
    recorded = input_messages([said], Policy(True, True, limits=Limits(1_000, 4_000, 8_000))) or ""
    parts = conforming(recorded, 4_000)[0]["parts"]
    assert parts[0]["content"].startswith("0 ")
    assert parts[-1]["content"].startswith("99 ")
    assert sum(part["content"] == f"[... {100 - len(parts) + 1} parts cut ...]" for part in parts) == 1


class Colour(Enum):
    RED = "red"


class Number(IntEnum):
    ONE = 1


@dataclass
class Half:
    """An object that fails to give one of its fields."""

    there: int = 1

    @property
    def gone(self) -> str:
        raise RuntimeError("gone")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Broken(), "[Broken]"),
        ({"a": Broken(), "b": 1}, {"a": "[Broken]", "b": 1}),
        (Half(), {"there": 1}),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (10**5_000, "[a number of 16610 bits]"),
        ("a\ud800b", "a?b"),
        ({"\ud800": "x"}, {"?": "x"}),
        ({1: "a", None: "b", (1, 2): "c"}, {"1": "a", "None": "b", "(1, 2)": "c"}),
        ({3}, [3]),
        (b"12345", "[Blob substitute: 5 bytes]"),
        (bytearray(5), "[Blob substitute: 5 bytes]"),
        (memoryview(b"12345"), "[Blob substitute: 5 bytes]"),
        (Colour.RED, "Colour.RED"),
        (Number.ONE, 1),
        (int, "<class 'int'>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_odd_values(value: Any, expected: Any) -> None:
    """What JSON has no word for becomes a text; what cannot be read at all, its type."""
    recorded = tool_arguments({"value": value}, OPEN) or ""
    recorded.encode("utf-8")
    assert json.loads(recorded, parse_constant=strictly) == {"value": expected}


def test_an_object_that_fails_is_no_message_and_no_failure() -> None:
    """A message of somebody's own that raises at every touch is an empty one."""
    assert conforming(input_messages([Broken()], OPEN) or "") == [{"role": "user", "parts": []}]
    assert agent_question(Broken(), OPEN) is None
    assert retrieved_documents([Broken()], OPEN) == '[{"content": ""}]'
    assert tool_result(Broken(), OPEN) == '"[Broken]"'


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        ("a", {"id": "a"}),
        (7, {"id": "7"}),
        (UUID(int=7), {"id": "00000000-0000-0000-0000-000000000007"}),
        (10**5_000, {}),
        (Broken(), {}),
        ({"text": "private"}, {}),
    ],
    ids=["text", "number", "uuid", "large", "broken", "structure"],
)
def test_what_is_no_id_is_left_out(identity: Any, expected: dict[str, str]) -> None:
    """An id is a text, a number, a date or a UUID; of anything else in its place nothing is told."""
    found = [{"page_content": "words", "id": identity}]
    assert json.loads(retrieved_documents(found, OPEN) or "") == [{"content": "words", **expected}]


def test_a_message_in_a_structure_keeps_its_metadata_and_artifacts() -> None:
    """Of a message somewhere in a tool's arguments there is what was said, not what came with it."""
    message = ToolMessage("said", tool_call_id="1", artifact="private", response_metadata={"headers": "private"})
    recorded = tool_arguments({"state": [message]}, OPEN) or ""
    assert "said" in recorded
    assert "private" not in recorded


def test_a_generator_is_not_consumed() -> None:
    """What can be read once only is left to whom it is for."""
    stream = iter([1, 2, 3])
    tool_result({"stream": stream}, OPEN)
    assert list(stream) == [1, 2, 3]


def test_circles_and_depths_come_to_an_end() -> None:
    """A structure that holds itself, or goes deeper than anyone reads, is cut and stays valid."""
    circle: list[Any] = []
    circle.extend([circle] * 50)
    deep: Any = "end"
    for _ in range(5_000):
        deep = {"deeper": [deep]}
    for value in ({"a": circle}, deep, {"wide": list(range(10_000))}, {str(index): index for index in range(10_000)}):
        recorded = tool_arguments(value, OPEN) or ""
        assert len(recorded) <= Limits().attribute
        json.loads(recorded)
        assert "cut ...]" in recorded
    assert "[... 9800 items cut ...]" in (tool_arguments({"wide": list(range(10_000))}, OPEN) or "")


def test_a_block_that_holds_itself_costs_itself_only() -> None:
    """A thought or a tool that is wrapped in itself has no text; what stands beside it is recorded."""
    thought: dict[str, Any] = {"type": "reasoning"}
    thought.update(reasoning=thought, summary=[thought], content=[thought, thought])
    recorded = conforming(input_messages([HumanMessage("words"), ("ai", [thought, "answer"])], OPEN) or "")
    assert [part["content"] for message in recorded for part in message["parts"]] == ["words", "answer"]
    tool: dict[str, Any] = {"name": "circle"}
    tool["function_declarations"] = [tool, {"name": "square"}]
    offered = json.loads(tool_definitions({"tools": [tool, {"name": "plain"}]}, OPEN) or "")
    assert [each["name"] for each in offered] == ["circle", "square", "plain"]


def test_json_in_json_keeps_to_its_room() -> None:
    """A structure that a tool answered with is kept up to its limit; each quote in it counts twice."""
    policy = Policy(True, True, limits=Limits(1_000, 2_000, 8_000))
    message = ToolMessage([{"json": {str(index): '"\\' * 50 for index in range(20)}}], tool_call_id="1")
    [recorded] = conforming(input_messages([message], policy) or "", 2_000)
    [kept] = json.loads(recorded["parts"][0]["result"])
    assert kept["json"]["0"] == '"\\' * 50


class Counted(str):
    """A text that counts how often it is taken apart."""

    __slots__ = ()
    cuts: list[int] = []  # noqa: RUF012

    def __getitem__(self, key: Any) -> str:
        piece = super().__getitem__(key)
        self.cuts.append(len(piece))
        return piece


def test_a_large_prompt_costs_what_is_kept_of_it() -> None:
    """Of a text far above its limit only what is kept, and a little around it, is ever copied."""
    Counted.cuts.clear()
    prompt_messages([Counted("word " * 2_000_000)], OPEN)
    assert 0 < sum(Counted.cuts) < 3 * Limits().part


def test_messages_that_are_cut_are_not_looked_at() -> None:
    """Of a history of thousands of messages only those that are kept are redacted."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text

    said = [HumanMessage("question " * 40) if index % 2 else AIMessage("answer " * 40) for index in range(5_000)]
    recorded = conforming(input_messages(said, Policy(True, True, redact)) or "")
    assert len(seen) == len(recorded) - 1
    assert len(seen) < 500


def test_a_room_is_filled_to_the_last_character() -> None:
    """What takes just as much as there is fits; one more does not."""
    budget = Budget(OPEN, 10)
    with pytest.raises(Full):
        budget.take(11)
    with pytest.raises(Full):
        budget.take(8, 3)
    budget.take(8, 2)
    budget.take(2)
    assert budget.left == 0
    assert Budget(OPEN, 60).text("x" * 58) == "x" * 58
    assert "cut" in (Budget(OPEN, 60).text("x" * 59) or "")
    assert Budget(OPEN, 48).text("x" * 46) == "x" * 46
    with pytest.raises(Full):
        Budget(OPEN, 47).text("x")


def test_a_text_that_is_dropped_takes_room_too() -> None:
    """In place of a text that `redact` fails on stands `null`, which is spelled as well."""
    budget = Budget(Policy(True, True, lambda text: text[1_000]), 100)
    with in_production():
        assert budget.text("words") is None
    assert budget.left == 94


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2**127, 2**127),
        (2**128, "[a number of 129 bits]"),
        ([0.5] * 63, [0.5] * 63),
        ([0.5] * 64, "[64 numbers left out]"),
        ([0.5] * 8 + ["x"] * 56, "[64 numbers left out]"),
        ([0.5] * 7 + ["x"] * 57, [0.5] * 7 + ["x"] * 57),
        (list(range(200)), list(range(200))),
        (list(range(201)), [*range(200), "[... 1 items cut ...]"]),
    ],
    ids=["128 bits", "129 bits", "63 floats", "64 floats", "8 floats", "7 floats", "200 items", "201 items"],
)
def test_what_is_too_much_for_a_value(value: Any, expected: Any) -> None:
    """Numbers, lists and vectors are kept up to a size, and told by it beyond."""
    assert Budget(OPEN).value(value) == expected


def test_what_is_too_much_for_a_structure() -> None:
    """A mapping has 200 entries and a mark at most; below sixteen levels all is cut."""
    kept = Budget(OPEN).value({str(index): index for index in range(201)})
    assert len(kept) == 201
    assert kept["..."] == "[... cut ...]"
    assert len(Budget(OPEN).value({str(index): index for index in range(200)})) == 200
    deep: Any = {}
    for _ in range(17):
        deep = [deep]
    kept, levels = Budget(OPEN).value(deep), 0
    while isinstance(kept, list):
        [kept], levels = kept, levels + 1
    assert (kept, levels) == ("[... cut ...]", 16)


@dataclass
class Unfinished:
    """An object that lacks a field."""

    missing: int = field(init=False)
    there: int = 1


def test_a_field_that_is_missing_is_unknown() -> None:
    """An object that lacks one of its fields has the others."""
    assert Budget(OPEN).value(Unfinished()) == {"missing": None, "there": 1}


def test_what_is_structure_is_short() -> None:
    """Names, ids and types are cut at two hundred characters."""
    told = Budget(OPEN).frame(type="text", name="x" * 300, index=7)
    assert (told["type"], len(told["name"]), told["index"]) == ("text", 200, 7)


def test_what_is_counted_is_what_is_spelled() -> None:
    """A structure takes its own length from the budget, and a few characters for what is around it."""
    for value in ([1, 2, 3], {"a": 1, "b": None}, {"a": [True, {"b": "x"}]}, ["x", b"12"], []):
        budget = Budget(OPEN, 1_000)
        told = len(spelled(budget.value(value)))
        assert told <= 1_000 - budget.left <= told + 20
