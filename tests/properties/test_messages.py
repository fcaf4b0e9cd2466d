"""Messages, tools and documents: whatever a provider sends, what is recorded is valid, bounded and private."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from sentry_langchain_stream._content import media, parts
from sentry_langchain_stream._content.budget import Budget, spelled
from sentry_langchain_stream._content.lists import both_ends
from sentry_langchain_stream._content.message_formats import role_in
from sentry_langchain_stream._content.messages import (
    agent_answer,
    agent_question,
    input_messages,
    output_messages,
    retrieved_documents,
    system_instructions,
    tool_arguments,
    tool_result,
)
from sentry_langchain_stream._content.offered_tools import tool_definitions
from sentry_langchain_stream._content.policy import NOTHING, Limits, Policy
from sentry_langchain_stream._from_langchain import steps
from tests.kit.parts import conforming
from tests.kit.strategies import PLANTED, Thing, limits, media_data, parsed, payloads, policies, quotes, texts, values

kinds = st.sampled_from(
    sorted(
        {
            *media.KINDS,
            *parts._THOUGHTS,
            *parts._CALLS,
            *parts._FRAGMENTS,
            *("text", "refusal", "server_tool_use", "web_search_call", "tool_result", "executable_code", "citation"),
            *("mcp_list_tools", "non_standard", "computer_call_output", "code_execution_result", "unheard_of", ""),
        }
    )
)
names = st.sampled_from(
    sorted(
        {
            *parts._RESULTS,
            *parts._UNTYPED,
            *("type", "text", "refusal", "source", "data", "url", "image_url", "base64", "mime_type", "file", "id"),
            *("annotations", "citations", "title", "cited_text", "transcript", "summary", "reasoning", "thinking"),
            *("tool_calls", "invalid_tool_calls", "additional_kwargs", "function", "name", "args", "arguments"),
            *("input", "action", "queries", "code", "call_id", "tool_call_id", "tool_use_id", "status", "value"),
            *("role", "messages", "kwargs", "update", "goto", "page_content", "metadata", "function_declarations"),
            *("tools", "functions", "toolConfig", "toolSpec", "description", "parameters", "properties", "json"),
            *("audio", "tool_outputs", "reasoning_content", "extras", "signature", "encrypted_content"),
        }
    )
)
odd = values(names, leaves=6)
a_block = st.one_of(
    texts,
    odd,
    st.builds(lambda kind, block: {**block, "type": kind}, kinds, payloads(names, 4)),
)
bodies = st.one_of(texts, odd, st.lists(a_block, max_size=4))
a_message = st.one_of(
    odd,
    bodies,
    st.builds(
        lambda role, body, more: {"role": role, "content": body, **more},
        st.sampled_from(["user", "assistant", "system", "tool", "developer", "model", "Human", "remove", ""]),
        bodies,
        payloads(names, 2),
    ),
    st.builds(
        lambda kind, body, calls, extra, identity: Thing(
            type=kind, content=body, tool_calls=calls, additional_kwargs=extra, tool_call_id=identity
        ),
        st.one_of(st.sampled_from(["human", "ai", "system", "tool", "AIMessageChunk", "remove", "chat"]), odd),
        bodies,
        st.one_of(odd, st.lists(payloads(names, 3), max_size=2)),
        st.one_of(odd, payloads(names, 3)),
        odd,
    ),
)
a_said_block = st.one_of(texts, st.builds(lambda kind, block: {**block, "type": kind}, kinds, payloads(names, 4)))
a_body = st.one_of(texts, st.lists(a_said_block, max_size=4))
"""What LangChain's own messages take as their content."""
tool_calls = st.lists(
    st.builds(
        lambda identity, name, args: {"id": identity, "name": name, "args": args},
        st.one_of(st.none(), st.text(max_size=5)),
        st.text(max_size=5),
        payloads(names, 3),
    ),
    max_size=2,
)
langchains_message = st.one_of(
    st.builds(HumanMessage, a_body),
    st.builds(SystemMessage, a_body),
    st.builds(lambda body, calls: AIMessage(body, tool_calls=calls), a_body, tool_calls),
    st.builds(lambda body, identity: ToolMessage(body, tool_call_id=identity), a_body, st.text(max_size=5)),
    st.builds(lambda body, role: ChatMessage(content=body, role=role), a_body, st.text(max_size=8)),
)
history = st.lists(
    st.one_of(
        a_message,
        langchains_message,
        st.tuples(st.sampled_from(["user", "human", "ai", "system"]), texts),
    ),
    max_size=4,
)


def shown(said: list[Any]) -> list[str | None]:
    """Each message as it is printed, if it can be: some go too deep."""
    printed: list[str | None] = []
    for each in said:
        try:
            printed.append(repr(each))
        except (RecursionError, RuntimeError, ValueError):
            printed.append(None)
    return printed


def fits(told: str | None, policy: Policy) -> Any:
    """What was recorded, parsed; it keeps to the limit of an attribute and is JSON, if there is any."""
    if told is None:
        return None
    assert len(told) <= policy.limits.attribute
    return parsed(told)


@given(history, policies)
def test_whatever_is_said_is_recorded_in_the_conventional_shape(said: list[Any], policy: Policy) -> None:
    """Anything in place of messages yields JSON in the conventions' shape, within its limit, and stays unchanged."""
    before = shown(said)
    for told in (
        input_messages(said, policy),
        output_messages([(each, "stop") for each in said], policy),
        agent_question(said, policy),
        agent_question({"messages": said}, policy),
        agent_answer({"messages": said}, policy),
    ):
        if told is not None:
            conforming(told, policy.limits.attribute)
    instructions = system_instructions(said, policy) or ""
    assert len(instructions) <= policy.limits.attribute
    instructions.encode("utf-8")
    assert shown(said) == before


@given(odd, policies)
def test_whatever_a_tool_is_given_and_gives_is_recorded(value: Any, policy: Policy) -> None:
    """Anything that goes into a tool, or comes out of it, becomes a text within its limit that can be sent."""
    for told in (tool_arguments(value, policy), tool_result(value, policy)):
        if told is not None:
            assert len(told) <= policy.limits.attribute
            told.encode("utf-8")
    if isinstance(value, dict):
        fits(tool_arguments(value, policy), policy)
    for told in (tool_arguments({"value": value}, policy), tool_result({"value": value}, policy)):
        assert set(fits(told, policy)) == {"value"}


a_document = st.one_of(
    odd,
    st.builds(Thing, page_content=odd, metadata=odd, id=odd),
    st.builds(lambda text, metadata: Document(text, metadata=metadata), texts, payloads(names, 3)),
)


@given(st.lists(a_document, max_size=5), policies)
def test_whatever_is_found_is_recorded(found: list[Any], policy: Policy) -> None:
    """Anything in place of documents becomes a list of contents."""
    told = fits(retrieved_documents(found, policy), policy)
    assert all(isinstance(each["content"], str) for each in told)


@given(st.one_of(payloads(names), st.builds(lambda tools: {"tools": tools}, st.lists(odd, max_size=3))), policies)
def test_whatever_tools_are_offered_they_are_recorded(options: dict[str, Any], policy: Policy) -> None:
    """Anything in place of tools becomes a list of definitions, each with its type."""
    for tool in fits(tool_definitions(options, policy), policy) or []:
        assert isinstance(tool["type"], str)


@given(st.lists(langchains_message, max_size=5))
def test_every_message_is_there_if_there_is_room(said: list[BaseMessage]) -> None:
    """Within the limits there is an entry for each message, and none but the system's is missing."""
    roomy = Policy(True, True, limits=Limits(attribute=10_000_000, span=10_000_000))
    recorded = conforming(input_messages(said, roomy) or "[]", 10_000_000)
    roles = [role_in(message) or "user" for message in said]
    assert [each["role"] for each in recorded] == [role for role in roles if role != "system"]
    assert len(conforming(output_messages([(each, None) for each in said], roomy), 10_000_000)) == len(said)


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


# -- Media -----------------------------------------------------------------------------------------------------


def planted_media(data: str) -> st.SearchStrategy[dict[str, Any]]:
    """A block that holds data, as one provider or another spells it."""
    url = f"data:image/png;base64,{data}"
    return st.sampled_from(
        [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "image_url", "image_url": url},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
            {"type": "image", "base64": data, "mime_type": "image/png"},
            {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
            {"type": "media", "mime_type": "video/mp4", "data": data},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": url}},
            {"image": {"format": "png", "source": {"bytes": data.encode()}}},
            {"type": "image_generation_call", "id": "1", "result": data},
            {"type": "text", "text": f"See ![]({url})"},
            {"type": "text", "text": f"See {data} there"},
            {"type": "unheard_of", "payload": data, "content": [{"text": data}]},
            {"type": "tool_use", "id": "1", "name": "draw", "input": {"pixels": data, "more": [url]}},
            {"type": "tool_result", "content": [{"type": "image", "base64": data}]},
            {"type": "non_standard", "value": {"type": "image", "data": data}},
            {"type": "reasoning", "summary": [{"text": data}]},
        ]
    )


@given(st.data(), media_data, st.sampled_from(["user", "assistant", "system", "tool"]))
def test_media_leave_no_data(choose: st.DataObject, data: str, role: str) -> None:
    """Whatever the provider and wherever it stands, of an image's data no piece is recorded."""
    policy = Policy(True, True)
    block = choose.draw(planted_media(data))
    said = [{"role": role, "content": [block, "words"], "tool_call_id": "1"}]
    told = [
        input_messages(said, policy),
        system_instructions(said, policy),
        output_messages([(said[0], None)], policy),
        tool_arguments({"value": block}, policy),
        tool_result(Thing(content=[block], tool_call_id="1"), policy),
        retrieved_documents([str(block)], policy),
    ]
    assert not quotes(" ".join(filter(None, told)), data, 200)


# -- Privacy ---------------------------------------------------------------------------------------------------

planted_texts = st.builds(
    lambda before, after: f"{before} {PLANTED} {after}", st.text(max_size=10), st.text(max_size=10)
)
# Types, ids, names and the like are structure, in nobody's words: they are not redacted.
structure = {"type", "id", "name", "call_id", "tool_call_id", "tool_use_id", "role", "status", "mime_type", "update"}
planted = st.recursive(
    planted_texts,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(names.filter(lambda name: name not in structure), inner, max_size=3),
    ),
    max_leaves=6,
)

TELL: dict[str, Callable[[Any, Policy], str | None]] = {
    "arguments": lambda value, policy: tool_arguments(value, policy),
    "tools": lambda value, policy: tool_definitions({"tools": [{"name": "a", "description": str(value)}]}, policy),
    "conversation": lambda value, policy: agent_question([{"role": "user", "content": value}], policy),
    "result": lambda value, policy: tool_result(value, policy),
    "documents": lambda value, policy: retrieved_documents([Thing(page_content=str(value))], policy),
    "answer": lambda value, policy: agent_answer([{"role": "assistant", "content": value}], policy),
}
"""What can be recorded of a value: first what needs inputs, then what needs outputs."""


@given(planted)
def test_what_may_not_be_recorded_is_not(value: Any) -> None:
    """Without inputs nothing that goes in is recorded, without outputs nothing that comes out."""
    policies = (NOTHING, Policy(inputs=True), Policy(outputs=True))
    for policy in policies:
        for index, tell in enumerate(TELL.values()):
            if not (policy.inputs if index < 3 else policy.outputs):
                assert tell(value, policy) is None
    tool = steps.tool_call("t", {"description": str(value)}, {"inputs": value}, str(value), NOTHING)
    steps.add_result(tool, value, NOTHING)
    found = steps.retrieval("r", None, str(value), NOTHING)
    steps.add_documents(found, [value], NOTHING)
    asked = steps.agent("a", {"messages": [value]}, NOTHING)
    steps.add_answer(asked, {"messages": [{"role": "assistant", "content": value}]}, NOTHING)
    assert PLANTED not in f"{tool.arguments}{tool.result}{tool.description}{found.query}{found.found}"
    assert PLANTED not in f"{asked.messages}{asked.answer}"


@given(planted)
def test_a_redaction_reaches_every_text(value: Any) -> None:
    """A word that `redact` removes from a text is nowhere in what is recorded, wherever in a structure it stood."""
    policy = Policy(True, True, lambda text: text.replace(PLANTED, "gone"))
    for name, tell in TELL.items():
        assert PLANTED not in (tell(value, policy) or ""), name


@given(odd, odd, odd, odd, policies)
def test_whatever_langchain_tells_of_a_step_it_has_a_record(
    serialized: Any, told: Any, given_input: Any, output: Any, policy: Policy
) -> None:
    """Tools, retrievers and agents get a record whatever is told of them, and its texts keep to the limits."""
    tool = steps.tool_call(None, serialized, {"inputs": told, "tool_call_id": told}, "input", policy)
    steps.add_result(tool, output, policy)
    retrieval = steps.retrieval(None, serialized, "query", policy)
    steps.add_documents(retrieval, output, policy)
    agent = steps.agent(None, given_input, policy)
    steps.add_answer(agent, output, policy)
    assert isinstance(steps.is_failed(output), bool)
    assert tool.name
    assert retrieval.name
    for text in (tool.description, tool.arguments, tool.result, retrieval.query, retrieval.found):
        assert text is None or len(text) <= policy.limits.attribute
    assert len((agent.messages or "") + (agent.answer or "")) <= 2 * policy.limits.attribute
    assert len(f"{tool.arguments or ''}{tool.result or ''}") <= policy.limits.span


@given(st.integers(0, 30), st.integers(200, 3_000))
def test_parts_keep_both_ends(count: int, left: int) -> None:
    """Of a list of parts as many as fit are told from both ends, and a mark says how many are missing."""
    budget = Budget(Policy(True, True, limits=Limits(100, 2_000, 8_000)), left)
    told = both_ends(range(count), lambda index, inside: [inside.frame(type="text", content=str(index))], budget)
    assert len(spelled(told)) <= left
    shown = [part["content"] for part in told]
    marks = [index for index, text in enumerate(shown) if text.startswith("[... ")]
    if not marks:
        assert shown == [str(index) for index in range(count)]
        return
    [mark] = marks
    after = len(shown) - mark - 1
    assert shown[mark] == f"[... {count - mark - after} parts cut ...]"
    assert shown[:mark] == [str(index) for index in range(mark)]
    assert shown[mark + 1 :] == [str(index) for index in range(count - after, count)]
    assert 0 <= mark - after <= 1
