"""Whatever there is to record: it never fails, it is valid, it keeps to its limits, and it passes `redact` once."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from sentry_langchain_stream._content.messages import (
    agent_answer,
    agent_question,
    input_messages,
    output_messages,
    prompt_messages,
    retrieved_documents,
    role_of,
    system_instructions,
    tool_arguments,
    tool_result,
)
from sentry_langchain_stream._content.policy import Limits, Policy
from sentry_langchain_stream._from_langchain.offered_tools import tool_definitions
from tests.content.test_parts import conforming, strictly

OPEN = Policy(inputs=True, outputs=True)
MARK = re.compile(r"\[\.\.\. (\d+) (?:messages, (\d+) )?(?:characters|parts|documents|items|tools)? ?cut \.\.\.\]")

limits = st.builds(
    lambda part, attribute, span: Limits(part, max(part, attribute), max(part, attribute, span)),
    st.integers(100, 5_000),
    st.integers(2_000, 20_000),
    st.integers(8_000, 50_000),
)
policies = st.builds(lambda chosen: Policy(True, True, limits=chosen), limits)

words = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(codec=None), max_size=20),  # lone surrogates as well
    st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(1, 4_000)),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**200),
    st.floats(),
    words,
    st.binary(max_size=300),
    st.dates(max_value=date(2100, 1, 1)),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=6), st.integers(), st.none()), inner, max_size=4),
        st.builds(lambda items: deque(items), st.lists(inner, max_size=3)),
    ),
    max_leaves=12,
)
kinds = st.sampled_from(
    [
        *("text", "reasoning", "thinking", "redacted_thinking", "refusal", "tool_use", "tool_call", "function_call"),
        *("server_tool_use", "web_search_call", "web_search_tool_result", "tool_result", "executable_code"),
        *("image_url", "image", "audio", "input_audio", "video", "file", "document", "media", "search_result"),
        *(
            "non_standard",
            "server_tool_call",
            "server_tool_result",
            "tool_call_chunk",
            "invalid_tool_call",
            "unheard_of",
        ),
    ]
)
fields = st.sampled_from(
    [
        *(
            "text",
            "content",
            "reasoning",
            "thinking",
            "summary",
            "refusal",
            "data",
            "base64",
            "url",
            "source",
            "image_url",
        ),
        *(
            "id",
            "name",
            "input",
            "args",
            "arguments",
            "output",
            "value",
            "annotations",
            "citations",
            "file",
            "mime_type",
        ),
        *("type", "toolUse", "toolResult", "image", "function", "format"),
    ]
)
blocks = st.one_of(
    words,
    st.builds(lambda kind, block: {**block, "type": kind}, kinds, st.dictionaries(fields, values, max_size=4)),
    st.dictionaries(fields, st.one_of(values, st.dictionaries(fields, values, max_size=3)), max_size=3),
)
bodies = st.one_of(words, st.lists(blocks, max_size=5))
calls = st.lists(
    st.builds(
        lambda identity, name, args: {"id": identity, "name": name, "args": args},
        st.one_of(st.none(), st.text(max_size=5)),
        st.text(max_size=5),
        st.dictionaries(st.text(max_size=5), values, max_size=3),
    ),
    max_size=2,
)
extras = st.dictionaries(
    st.sampled_from(
        ["function_call", "tool_calls", "reasoning_content", "reasoning", "refusal", "audio", "tool_outputs"]
    ),
    st.one_of(values, st.dictionaries(fields, values, max_size=3)),
    max_size=2,
)
messages = st.one_of(
    st.builds(HumanMessage, bodies),
    st.builds(SystemMessage, bodies),
    st.builds(lambda body, tool_calls: AIMessage(body, tool_calls=tool_calls), bodies, calls),
    st.builds(lambda body, identity: ToolMessage(body, tool_call_id=identity), bodies, st.text(max_size=5)),
    st.builds(lambda body, role: ChatMessage(content=body, role=role), bodies, st.text(max_size=8)),
)
spelled = st.one_of(
    messages,
    st.builds(
        lambda role, body, extra: {"role": role, "content": body, "additional_kwargs": extra},
        st.sampled_from(["user", "assistant", "system", "tool", "developer", "ai"]),
        st.one_of(bodies, values),
        extras,
    ),
    st.tuples(st.sampled_from(["user", "human", "ai", "system"]), words),
    st.dictionaries(fields, values, max_size=3),
    values,
)


@settings(deadline=None)
@given(st.lists(spelled, max_size=5), policies)
def test_whatever_the_messages_the_json_is_valid(said: list[Any], policy: Policy) -> None:
    """Anything in place of messages yields JSON in the conventions' shape, within its limit, and stays unchanged."""
    before = copy.deepcopy(said)
    attribute = policy.limits.attribute
    asked = input_messages(said, policy)
    if asked is not None:
        conforming(asked, attribute)
    conforming(output_messages([(message, "stop") for message in said], policy), attribute)
    assert len(system_instructions(said, policy) or "") <= attribute
    for told in (agent_question({"messages": said}, policy), agent_answer({"messages": said}, policy)):
        if told is not None:
            conforming(told, attribute)
    assert repr(said) == repr(before)  # NaN is unequal to itself


@settings(deadline=None)
@given(st.lists(messages, max_size=5))
def test_every_message_is_there_if_there_is_room(said: list[BaseMessage]) -> None:
    """Within the limits there is an entry for each message, and none but the system's is missing."""
    roomy = Policy(True, True, limits=Limits(attribute=10_000_000, span=10_000_000))
    recorded = conforming(input_messages(said, roomy) or "[]", 10_000_000)
    roles = [role_of(message) for message in said]
    assert [each["role"] for each in recorded] == [role for role in roles if role != "system"]
    assert len(conforming(output_messages([(each, None) for each in said], roomy), 10_000_000)) == len(said)


@settings(deadline=None)
@given(values, policies)
def test_whatever_a_tool_takes_and_returns_the_json_is_valid(value: Any, policy: Policy) -> None:
    """Any arguments and any result become a text or strict JSON, within their limit."""
    for told in (tool_arguments({"value": value}, policy), tool_result({"value": value}, policy)):
        assert told is not None
        assert len(told) <= policy.limits.attribute
        told.encode("utf-8")
        assert set(json.loads(told, parse_constant=strictly)) == {"value"}
    tool_result(value, policy)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(lambda text, metadata: Document(text, metadata=metadata), words, st.dictionaries(words, values)),
        max_size=6,
    ),
    policies,
)
def test_whatever_the_documents_the_json_is_valid(found: list[Document], policy: Policy) -> None:
    """Any documents become a JSON list within its limit."""
    told = retrieved_documents(found, policy) or ""
    told.encode("utf-8")
    assert len(told) <= policy.limits.attribute
    for each in json.loads(told, parse_constant=strictly):
        assert isinstance(each["content"], str)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["name", "type", "description", "parameters", "function"]), values)),
    policies,
)
def test_whatever_the_tools_the_json_is_valid(tools: list[Any], policy: Policy) -> None:
    """Any tool definitions become a JSON list within its limit."""
    told = tool_definitions({"tools": tools}, policy)
    if told is not None:
        told.encode("utf-8")
        assert len(told) <= policy.limits.attribute
        json.loads(told, parse_constant=strictly)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["human", "ai", "tool", "system"]), max_size=40),
    st.integers(1, 5_000),
    limits,
    st.integers(1, 5),
)
def test_the_users_last_turn_is_always_there(roles: list[str], length: int, chosen: Limits, pieces: int) -> None:
    """However much follows it, and however long it is, the beginning and the end of the user's last turn are kept."""
    filler = "filler " * (length // 7 + 1)
    turn = [f"BEGIN{filler}", *[filler] * pieces, f"{filler}END"]
    said: list[Any] = [(role, filler) for role in roles if role != "tool"]
    said += [HumanMessage([{"type": "text", "text": each} for each in turn])]
    said += [AIMessage(filler) if role == "ai" else ToolMessage(filler, tool_call_id="1") for role in roles]
    recorded = input_messages(said, Policy(True, True, limits=chosen)) or ""
    users = [message for message in conforming(recorded, chosen.attribute) if message["role"] == "user"]
    texts = [part["content"] for part in users[-1]["parts"]]
    assert texts[0].startswith("BEGIN")
    assert texts[-1].endswith("END")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["human", "ai", "system"]), st.integers(0, 3_000)), min_size=1, max_size=30),
    limits,
)
def test_redact_sees_each_kept_text_once_and_no_other(sizes: list[tuple[str, int]], chosen: Limits) -> None:
    """`redact` is called once with each whole text of which something is kept, and with none that is cut away."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("private", "PUBLIC")

    said = [(role, f"{index}: private {'x ' * size}") for index, (role, size) in enumerate(sizes)]
    policy = Policy(True, True, redact, chosen)
    kept = (input_messages(said, policy) or "") + (system_instructions(said, policy) or "")
    assert len(seen) == len(set(seen))
    assert set(seen) <= {text for _, text in said}
    for _, text in said:
        head = text.split(" ")[0]
        assert (re.search(rf"(?<!\d){head} PUBLIC", kept) is not None) == (text in seen)
    assert "private" not in kept


def test_what_is_cut_is_counted() -> None:
    """In place of the messages that were cut stands how many they were, and how long."""
    said: list[Any] = [HumanMessage("first"), *(AIMessage("y" * 100) for _ in range(300)), HumanMessage("last")]
    recorded = conforming(input_messages(said, Policy(True, True, limits=Limits(1_000, 4_000, 8_000))) or "", 4_000)
    [mark] = recorded[0]["parts"]
    assert recorded[0]["role"] == "system"
    cut = 302 - (len(recorded) - 1)
    assert mark == {"type": "text", "content": f"[... {cut} messages, {5 + 100 * (cut - 1)} characters cut ...]"}
    assert recorded[-1] == {"role": "user", "parts": [{"type": "text", "content": "last"}]}


def test_a_cut_may_stand_on_both_sides_of_the_users_last_turn() -> None:
    """Of a long agent's run the task is kept, and its latest steps."""
    said: list[Any] = ["before"] * 100 + [HumanMessage("task")] + [AIMessage("y" * 100)] * 100
    recorded = conforming(input_messages(said, Policy(True, True, limits=Limits(1_000, 4_000, 8_000))) or "", 4_000)
    marks = [index for index, each in enumerate(recorded) if each["role"] == "system"]
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


class Broken:
    """An object that fails whatever it is asked."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __str__(self) -> str:
        raise RuntimeError("str")


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


def test_a_tool_whose_one_key_is_no_name_is_left_out() -> None:
    """Of what states no name there is only its one key to go by; where that is none, the other tools are told."""
    tools = [{Broken(): {}}, {None: 1}, {"": 1}, {"google_search": {}}]
    assert json.loads(tool_definitions({"tools": tools}, OPEN) or "") == [{"type": "google_search"}]


LONG = base64.b64encode(bytes(range(256)) * 40).decode()
"""Base64 of 10,240 bytes."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LONG, "[Blob substitute: 10240 bytes]"),
        (base64.encodebytes(bytes(range(256)) * 40).decode(), "[Blob substitute: 10240 bytes]"),
        (base64.urlsafe_b64encode(bytes(range(256)) * 40).decode(), "[Blob substitute: 10240 bytes]"),
        (f"data:image/png;base64,{LONG}", "[Blob substitute: image/png, 10240 bytes]"),
        (f"data:text/plain;charset=utf-8;base64,{LONG}", "[Blob substitute: text/plain, 10240 bytes]"),
        ("data:image/gif;base64,R0lGODlh", "[Blob substitute: image/gif, 6 bytes]"),
        (f"![](data:image/png;base64,{LONG}) Nice!", "![]([Blob substitute: image/png, 10240 bytes]) Nice!"),
        (f'<img src="data:image/png;base64,{LONG}">', '<img src="[Blob substitute: image/png, 10240 bytes]">'),
        (f"See {LONG} and {LONG}", "See [Blob substitute: 10240 bytes] and [Blob substitute: 10240 bytes]"),
        ("a" * 500, "a" * 500),
        ("0123456789abcdef" * 20, "0123456789abcdef" * 20),
        ("ACGT" * 100, "ACGT" * 100),
        ("The data: see base64, please", "The data: see base64, please"),
    ],
    ids=[
        "base64",
        "mail",
        "urls",
        "data url",
        "charset",
        "small",
        "markdown",
        "html",
        "two",
        "word",
        "hex",
        "dna",
        "prose",
    ],
)
@pytest.mark.parametrize("where", ["message", "argument", "result", "document", "instructions"])
def test_data_in_a_text_is_replaced(where: str, text: str, expected: str) -> None:
    """Wherever a text holds encoded data, its type and its size in bytes stand in place of it; words stay."""
    tell: dict[str, Callable[[], Any]] = {
        "message": lambda: json.loads(prompt_messages([text], OPEN))[0]["parts"][0]["content"],
        "argument": lambda: json.loads(tool_arguments({"a": text}, OPEN) or "")["a"],
        "result": lambda: tool_result(text, OPEN),
        "document": lambda: json.loads(retrieved_documents([text], OPEN) or "")[0]["content"],
        "instructions": lambda: system_instructions([("system", text)], OPEN),
    }
    assert (tell[where]() or "").strip() == expected.strip()


@pytest.mark.parametrize("before", range(0, 200, 7))
def test_short_data_is_found_wherever_it_stands(before: int) -> None:
    """A run of base64 just long enough to be one is found at any place in a text."""
    [part] = conforming(prompt_messages([f"{'x' * before} {LONG[:200]} words"], OPEN))[0]["parts"]
    assert part["content"] == f"{'x' * before} [Blob substitute: 150 bytes] words"


def test_json_in_json_keeps_to_its_room() -> None:
    """A structure that a tool answered with is kept as far as there is room for it, though its quotes take twice."""
    policy = Policy(True, True, limits=Limits(1_000, 2_000, 8_000))
    message = ToolMessage([{"json": {str(index): '"\\' * 50 for index in range(20)}}], tool_call_id="1")
    [recorded] = conforming(input_messages([message], policy) or "", 2_000)
    [kept] = json.loads(recorded["parts"][0]["result"])
    assert kept["json"]["0"] == '"\\' * 50


def test_data_that_the_cut_goes_through_is_nowhere() -> None:
    """Of data in a text too long to be kept neither the beginning nor the end is left."""
    recorded = prompt_messages([f"Look: ![](data:image/png;base64,{LONG * 100}) Nice!"], OPEN)
    [part] = conforming(recorded)[0]["parts"]
    assert part["content"].startswith("Look: ![]([Blob substitute: image/png, ")
    assert part["content"].endswith("bytes]) Nice!")
    assert len(part["content"]) < 200


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
