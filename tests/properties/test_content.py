"""Whatever there is to record: it never fails, it is valid, it keeps to its limits, and it passes `redact` once."""

from __future__ import annotations

import copy
import json
import re
from collections import deque
from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from sentry_langchain_stream._content.messages import (
    agent_answer,
    agent_question,
    input_messages,
    output_messages,
    retrieved_documents,
    role_of,
    system_instructions,
    tool_arguments,
    tool_result,
)
from sentry_langchain_stream._content.policy import Limits, Policy
from sentry_langchain_stream._from_langchain.offered_tools import tool_definitions
from tests.kit.parts import conforming, strictly

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
