"""Every provider's messages, and the parts that they are recorded as."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)
from pydantic import BaseModel, Field, SecretStr

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
from sentry_langchain_stream._content.parts import has_answer
from sentry_langchain_stream._content.policy import NOTHING, Policy
from tests.kit.parts import DATA, SIGNED, blob, call, conforming, reasoning, response, text

OPEN = Policy(inputs=True, outputs=True)


def told(message: Any) -> list[Any]:
    """The parts of a message that is the model's answer, read from the recorded JSON."""
    [recorded] = conforming(output_messages([(message, None)], OPEN))
    return list(recorded["parts"])


CALL = {"id": "call-1", "name": "weather", "args": {"city": "Paris"}, "type": "tool_call"}
PARIS = call(city="Paris")

DATA_BLOCKS = [{"type": "json", "content": "0"}, {"type": "json", "content": "{}"}]

ANSWERS = {
    "openai chat": (AIMessage("Hi", tool_calls=[CALL]), [text("Hi"), PARIS]),
    "openai chat, as its own dict": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
            ],
        },
        [PARIS],
    ),
    "openai refusal": (AIMessage("", additional_kwargs={"refusal": "I can't."}), [text("I can't.")]),
    "openai audio": (
        AIMessage("", additional_kwargs={"audio": {"id": "audio-1", "data": DATA, "transcript": "Hello there"}}),
        [blob("audio", None), text("Hello there")],
    ),
    "openai legacy function call": (
        AIMessage("", additional_kwargs={"function_call": {"name": "weather", "arguments": '{"city": "Paris"}'}}),
        [call(identity=None, city="Paris")],
    ),
    "openai legacy tool calls, told once": (
        AIMessage(
            "",
            tool_calls=[CALL],
            additional_kwargs={
                "tool_calls": [
                    {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": '{"city": 1}'}}
                ]
            },
        ),
        [PARIS],
    ),
    "openai responses": (
        AIMessage(
            [
                {
                    "type": "reasoning",
                    "id": "rs_1",
                    "summary": [{"type": "summary_text", "text": "Let me"}, {"text": "see"}],
                },
                {
                    "type": "web_search_call",
                    "id": "ws_1",
                    "status": "completed",
                    "action": {"type": "search", "query": "weather"},
                },
                {
                    "type": "text",
                    "text": "Sunny",
                    "annotations": [
                        {"type": "url_citation", "url": SIGNED, "title": "Weather", "start_index": 0, "end_index": 5}
                    ],
                },
                {
                    "type": "function_call",
                    "id": "fc_1",
                    "call_id": "call-1",
                    "name": "weather",
                    "arguments": '{"city": 1}',
                },
                {"type": "refusal", "refusal": "No more."},
            ],
            tool_calls=[CALL],
        ),
        [
            reasoning("Let me\nsee"),
            call("web_search", "ws_1", type="search", query="weather"),
            {**text("Sunny"), "citations": [{"title": "Weather", "url": "https://example.com/cat.png"}]},
            text("No more."),
            PARIS,
        ],
    ),
    "openai responses, its own tools": (
        AIMessage(
            [
                {"type": "file_search_call", "id": "1", "queries": ["q"], "results": [{"text": "found"}]},
                {"type": "code_interpreter_call", "id": "2", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
                {"type": "mcp_call", "id": "3", "name": "roll", "arguments": '{"n": 6}', "output": "4"},
                {"type": "image_generation_call", "id": "4", "result": DATA, "output_format": "png"},
                {
                    "type": "apply_patch_call",
                    "id": "6",
                    "call_id": "7",
                    "operation": {"type": "delete_file", "path": "a"},
                },
                {
                    "type": "mcp_approval_request",
                    "id": "8",
                    "server_label": "s",
                    "name": "roll",
                    "arguments": '{"n": 6}',
                },
                {"type": "function_call", "call_id": "5", "name": "weather", "arguments": '{"city": "Paris"}'},
            ]
        ),
        [
            call("file_search", "1", queries=["q"]),
            response("found", "1"),
            call("code_interpreter", "2", code="1+1"),
            response('[{"type": "logs", "logs": "2"}]', "2"),
            call("roll", "3", n=6),
            response("4", "3"),
            blob("image", "image/png"),
            call("apply_patch", "7", type="delete_file", path="a"),
            call("roll", "8", n=6),
            call("weather", "5", city="Paris"),
        ],
    ),
    "openai responses before langchain 1.0": (
        AIMessage(
            "Hi",
            additional_kwargs={
                "reasoning": {"id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
                "tool_outputs": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}],
            },
        ),
        [reasoning("hm"), text("Hi"), call("web_search", "ws_1")],
    ),
    "anthropic": (
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm", "signature": DATA},
                {"type": "redacted_thinking", "data": DATA},
                {
                    "type": "text",
                    "text": "Look",
                    "citations": [{"cited_text": "quote", "document_title": "Book", "type": "x"}],
                },
                {"type": "tool_use", "id": "call-1", "name": "weather", "input": {"city": "Paris"}},
                {"type": "server_tool_use", "id": "srv-1", "name": "web_search", "input": {"query": "q"}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "srv-1",
                    "content": [
                        {"type": "web_search_result", "url": "https://a.b", "title": "A", "encrypted_content": DATA}
                    ],
                },
            ],
            tool_calls=[CALL],
        ),
        [
            reasoning("hm"),
            {"type": "redacted_thinking"},
            {**text("Look"), "citations": [{"title": "Book", "cited_text": "quote"}]},
            call("web_search", "srv-1", query="q"),
            response('[{"type": "web_search_result", "url": "https://a.b", "title": "A"}]', "srv-1"),
            PARIS,
        ],
    ),
    "anthropic, as its own dict": (
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "call-1", "name": "weather", "input": {"city": "Paris"}}],
        },
        [PARIS],
    ),
    "google": (
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm"},
                {"type": "executable_code", "executable_code": "1+1", "language": "PYTHON"},
                {"type": "code_execution_result", "code_execution_result": "2", "outcome": 1},
                "Two",
                {"type": "function_call", "name": "weather", "args": {"city": "Paris"}},
            ],
            tool_calls=[CALL],
        ),
        [
            reasoning("hm"),
            call("executable_code", None, executable_code="1+1", language="PYTHON"),
            response("2", None),
            text("Two"),
            PARIS,
        ],
    ),
    "bedrock converse": (
        AIMessage(
            [
                {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": DATA}},
                {"type": "text", "text": "Hi"},
                {"type": "tool_use", "id": "call-1", "name": "weather", "input": {"city": "Paris"}},
            ],
            tool_calls=[CALL],
        ),
        [reasoning("hm"), text("Hi"), PARIS],
    ),
    "bedrock's own blocks": (
        AIMessage(
            [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": DATA}}},
                {"reasoningContent": {"redactedContent": b"secret"}},
                {"text": "Hi"},
                {"toolUse": {"toolUseId": "call-1", "name": "weather", "input": {"city": "Paris"}}},
                {"toolResult": {"toolUseId": "call-1", "content": [{"text": "18"}], "status": "error"}},
                {"cachePoint": {"type": "default"}},
            ]
        ),
        [reasoning("hm"), text("Hi"), PARIS, response("18", status="error"), {"type": "unknown"}],
    ),
    "ollama": (AIMessage("Hi", additional_kwargs={"reasoning_content": "hm"}), [reasoning("hm"), text("Hi")]),
    "reasoning is told once": (
        AIMessage([{"type": "thinking", "thinking": "hm"}], additional_kwargs={"reasoning_content": "hm"}),
        [reasoning("hm")],
    ),
    "mistral": (
        AIMessage(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]},
                {"type": "text", "text": "Hi"},
                {"type": "reference", "reference_ids": [1]},
            ]
        ),
        [reasoning("h\nm"), text("Hi"), {"type": "reference"}],
    ),
    "cohere": (
        AIMessage(
            "Hi", additional_kwargs={"documents": [{"text": "x"}], "citations": [{"text": "x"}]}, tool_calls=[CALL]
        ),
        [text("Hi"), PARIS],
    ),
    "standard blocks": (
        AIMessage(
            [
                {"type": "reasoning", "reasoning": "hm", "extras": {"signature": DATA}},
                {
                    "type": "text",
                    "text": "Hi",
                    "annotations": [
                        {"type": "citation", "url": SIGNED, "title": "A", "cited_text": "b", "extras": {"x": DATA}},
                        {"type": "non_standard_annotation", "value": {"data": DATA}},
                    ],
                },
                {"type": "text-plain", "text": "A file", "mime_type": "text/plain"},
                {"type": "server_tool_call", "id": "1", "name": "web_search", "args": {"query": "q"}},
                {"type": "server_tool_result", "tool_call_id": "1", "status": "error", "output": {"a": [1, "b"]}},
                {"type": "server_tool_call_chunk", "args": '{"a'},
                {"type": "invalid_tool_call", "id": "2", "name": "f", "args": '{"a', "error": "no JSON"},
                {"type": "non_standard", "value": {"type": "thinking", "thinking": "ha"}},
                {"type": "non_standard", "value": {"data": DATA}},
                {"type": "non_standard", "value": {"type": "unheard_of", "data": DATA}},
            ]
        ),
        [
            reasoning("hm"),
            {**text("Hi"), "citations": [{"title": "A", "url": "https://example.com/cat.png", "cited_text": "b"}]},
            text("A file"),
            call("web_search", "1", query="q"),
            response('{"a": [1, "b"]}', "1", status="error"),
            {"type": "tool_call", "id": "2", "name": "f", "arguments": '{"a'},
            reasoning("ha"),
            {"type": "non_standard"},
            {"type": "unheard_of"},
        ],
    ),
    "an invalid tool call": (
        AIMessage("", invalid_tool_calls=[{"id": "1", "name": "f", "args": '{"a', "error": "no JSON"}]),
        [{"type": "tool_call", "id": "1", "name": "f", "arguments": '{"a'}],
    ),
    "a chunk of a stream": (
        AIMessageChunk(
            content=[
                {"type": "tool_use", "id": "call-1", "name": "weather", "input": {}, "index": 0},
                {"type": "input_json_delta"},
            ],
            tool_call_chunks=[{"id": "call-1", "name": "weather", "args": '{"city": "Paris"}', "index": 0}],
        ),
        [PARIS],
    ),
    "several calls": (
        AIMessage(
            [
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "f", "input": {}},
            ],
            tool_calls=[{"id": "a", "name": "f", "args": {}}],
        ),
        [call("f", "b"), call("f", "a")],
    ),
    "a custom role": (ChatMessage(content="Ahoy", role="captain"), [text("Ahoy")]),
    "a call without a name": ({"role": "ai", "content": "", "tool_calls": [{"args": {}}]}, [call("unknown", None)]),
    "data as a block": (AIMessage([{"json": 0}, {"json": {}}, {"json": None}]), [*DATA_BLOCKS, {"type": "json"}]),
    "a search result": (
        HumanMessage([{"type": "search_result", "source": SIGNED, "content": [{"type": "text", "text": "found"}]}]),
        [{"type": "search_result", "content": "found"}],
    ),
}


@pytest.mark.parametrize(("message", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_in_a_providers_shape(message: Any, expected: list[dict[str, Any]]) -> None:
    """Texts, reasoning and calls are told in one shape, each of them once, and nothing encrypted or encoded is."""
    assert told(message) == expected
    assert DATA not in output_messages([(message, None)], OPEN)


SAID = [{"role": "user", "parts": [text("Hi")]}]
SPELLINGS = {
    "message": HumanMessage("Hi"),
    "pair": ("user", "Hi"),
    "langchain's pair": ("human", "Hi"),
    "dict": {"role": "user", "content": "Hi"},
    "langchain's dict": {"type": "human", "content": "Hi"},
    "text": "Hi",
    "openai's item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
    "serialised": message_to_dict(HumanMessage("Hi")),
    "dumped": dumpd(HumanMessage("Hi")),
    "object": SimpleNamespace(type="human", content="Hi"),
}


@pytest.mark.parametrize("message", SPELLINGS.values(), ids=SPELLINGS)
def test_a_message_however_it_is_spelled(message: Any) -> None:
    """A graph's state may hold a message in any of LangChain's spellings."""
    assert conforming(input_messages([message], OPEN) or "") == SAID
    assert conforming(agent_question({"messages": message}, OPEN) or "") == SAID


@pytest.mark.parametrize(
    "message",
    [SystemMessage("Be kind."), ("system", "Be kind."), {"role": "developer", "content": "Be kind."}],
    ids=["message", "pair", "developer"],
)
def test_instructions_are_told_apart_however_they_are_spelled(message: Any) -> None:
    """Whoever a provider calls it, what the application says to the model are instructions."""
    assert system_instructions([message, "Hi"], OPEN) == "Be kind."
    assert conforming(input_messages([message, "Hi"], OPEN) or "") == SAID


def test_a_message_that_removes_one_is_none() -> None:
    """What tells LangGraph to forget a message was said by nobody."""
    assert conforming(input_messages([RemoveMessage(id="1"), "Hi"], OPEN) or "") == SAID
    assert input_messages([RemoveMessage(id="1")], OPEN) is None


RESULTS = {
    "text": (ToolMessage("18", tool_call_id="call-1"), "18"),
    "texts": (ToolMessage(["1", "8"], tool_call_id="call-1"), "1\n8"),
    "a block of text": (ToolMessage([{"type": "text", "text": "18"}], tool_call_id="call-1"), "18"),
    "error": (ToolMessage("No", tool_call_id="call-1", status="error"), "No"),
    "blocks": (
        ToolMessage(
            [{"type": "text", "text": "18"}, "degrees", {"type": "image", "base64": DATA, "mime_type": "image/png"}],
            tool_call_id="call-1",
        ),
        "18\ndegrees\n[Blob substitute: image/png, 26 bytes]",
    ),
    "uri": (
        ToolMessage([{"type": "image", "url": SIGNED}], tool_call_id="call-1"),
        "[image: https://example.com/cat.png]",
    ),
    "artifact": (ToolMessage("18", tool_call_id="call-1", artifact={"secret": DATA}), "18"),
    "json block": (ToolMessage([{"json": {"degrees": 18}}], tool_call_id="call-1"), '[{"json": {"degrees": 18}}]'),
    "nothing": (ToolMessage([], tool_call_id="call-1"), ""),
}


@pytest.mark.parametrize(("message", "expected"), RESULTS.values(), ids=RESULTS)
def test_a_tools_message(message: ToolMessage, expected: str) -> None:
    """A tool's answer is one text, in a conversation and on the tool's own span; its artifact is nowhere."""
    more = {"status": "error"} if message.status == "error" else {}
    recorded = conforming(input_messages([message], OPEN) or "")
    assert recorded == [{"role": "tool", "parts": [response(expected, **more)]}]
    assert tool_result(message, OPEN) == expected


def test_a_functions_message() -> None:
    """The predecessor of tools has no id to tie its answer to."""
    recorded = conforming(input_messages([FunctionMessage(content="18", name="weather")], OPEN) or "")
    assert recorded == [{"role": "tool", "parts": [response("18", None)]}]


@dataclass
class Place:
    """Somebody's own type."""

    city: str
    exact: bool = True


class Trip(BaseModel):
    """Somebody's own model."""

    to: Place
    days: int = 2
    word: SecretStr = SecretStr("word")
    hidden: str = Field(default="hidden", repr=False)
    left_out: str = Field(default="left out", exclude=True)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("18", "18"),
        (18, "18"),
        (None, None),
        ({"degrees": 18, "sky": ["blue"]}, '{"degrees": 18, "sky": ["blue"]}'),
        (["a", "b"], '["a", "b"]'),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "person", "name": "Ada"}], '[{"type": "person", "name": "Ada"}]'),
        (b"12345", '"[Blob substitute: 5 bytes]"'),
        (Trip(to=Place("Paris")), '{"to": {"city": "Paris", "exact": true}, "days": 2, "word": "**********"}'),
        (Document("words", metadata={"page": 3}), None),
        (AIMessage("Hi", response_metadata={"headers": "secret"}), "Hi"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_tools_result(output: Any, expected: str | None) -> None:
    """What a tool returns is a text where it is one, and JSON where it is a structure."""
    recorded = tool_result(output, OPEN)
    if isinstance(output, Document):
        assert json.loads(recorded or "") == {
            "id": None,
            "metadata": {"page": 3},
            "page_content": "words",
            "type": "Document",
        }
    else:
        assert recorded == expected
    assert tool_result(output, Policy(inputs=True)) is None


def test_a_tools_result_that_is_a_command() -> None:
    """Of LangGraph's commands the update is the result, and of an update its messages."""
    types = pytest.importorskip("langgraph.types")
    said, more = (ToolMessage(text, tool_call_id=text) for text in "ab")
    for output, expected in (
        (types.Command(update={"messages": [said], "other": 1}), "a"),
        (types.Command(update={"city": "Paris"}, goto="next"), '{"city": "Paris"}'),
        (types.Command(goto="next"), "{}"),
        ([said, types.Command(update={"messages": [more]})], "a\nb"),
    ):
        assert tool_result(output, OPEN) == expected
        assert tool_result(output, Policy(inputs=True)) is None


def test_a_tools_arguments() -> None:
    """A tool's inputs are JSON, or the text that they are."""
    assert tool_arguments({"city": "Paris", "days": 2}, OPEN) == '{"city": "Paris", "days": 2}'
    assert tool_arguments("Paris", OPEN) == "Paris"
    assert tool_arguments("Paris", Policy(outputs=True)) is None


def test_documents() -> None:
    """Of a document there is its text, its id and the scalars of its metadata; embeddings are nowhere."""
    found = [
        Document("words", id="1", metadata={"page": 3, "source": "a.pdf", "score": 0.5, "ok": True, "deep": {"a": 1}}),
        Document("more", metadata={"embedding": "0.1 0.2", "vector": [0.1, 0.2]}),
        "bare",
    ]
    assert json.loads(retrieved_documents(found, OPEN) or "") == [
        {"content": "words", "id": "1", "metadata": {"page": 3, "source": "a.pdf", "score": 0.5, "ok": True}},
        {"content": "more", "metadata": {}},
        {"content": "bare"},
    ]
    assert retrieved_documents([], OPEN) == "[]"
    assert retrieved_documents(found, Policy(inputs=True)) is None


def test_embeddings_are_left_out() -> None:
    """Long lists of fractions, and what is named so, are no content."""
    recorded = tool_result({"vector": [0.5] * 1536, "embedding": [1], "few": [0.5, 1.5]}, OPEN)
    assert json.loads(recorded or "") == {"vector": "[1536 numbers left out]", "few": [0.5, 1.5]}


@pytest.mark.parametrize(
    "state",
    [
        {"messages": ["Hi"]},
        {"messages": "Hi", "other": object()},
        SimpleNamespace(messages=[HumanMessage("Hi")]),
        [HumanMessage("Hi")],
    ],
    ids=["dict", "one message", "object", "list"],
)
def test_a_conversation_is_what_a_graph_is_given(state: Any) -> None:
    """The messages of a state are found wherever LangGraph allows them."""
    assert conforming(agent_question(state, OPEN) or "") == SAID
    assert agent_question(state, Policy(outputs=True)) is None


def test_a_conversation_may_overwrite_another() -> None:
    """Messages that are to replace those of the state, rather than to be added, are found too."""
    overwrite = getattr(pytest.importorskip("langgraph.types"), "Overwrite", None)
    if overwrite is None:
        pytest.skip("this version of langgraph has no Overwrite")
    assert conforming(agent_question({"messages": overwrite([HumanMessage("Hi")])}, OPEN) or "") == SAID


@pytest.mark.parametrize("state", [None, {}, {"question": "Hi"}, {"messages": []}, object(), 3])
def test_without_messages_there_is_no_conversation(state: Any) -> None:
    """What has no messages is no conversation, rather than an empty one."""
    assert agent_question(state, OPEN) is None
    assert agent_answer(state, OPEN) is None


def test_the_answer_is_the_assistants_last_message() -> None:
    """A graph ends with its whole history: the answer is what the assistant said last, after the user's last turn."""
    history = [
        HumanMessage("Hi"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("18", tool_call_id="1"),
        AIMessage("18!"),
    ]
    said = [{"role": "assistant", "parts": [text("18!")]}]
    assert conforming(agent_answer({"messages": history}, OPEN) or "") == said
    assert conforming(agent_answer({"messages": [*history, RemoveMessage(id="1")]}, OPEN) or "") == said
    assert agent_answer({"messages": [*history, HumanMessage("Thanks")]}, OPEN) is None
    assert agent_answer({"messages": history}, NOTHING) is None


def test_the_answer_has_the_tool_messages_at_its_end() -> None:
    """After a tool with `return_direct` an agent says no more: its user gets what the tool returned."""
    asked = AIMessage("", tool_calls=[CALL, {**CALL, "id": "call-2"}])
    results = [ToolMessage("18", tool_call_id="call-1"), ToolMessage("no", tool_call_id="call-2", status="error")]
    found = conforming(agent_answer({"messages": [HumanMessage("Hi"), asked, *results]}, OPEN) or "")
    assert found == [
        {
            "role": "assistant",
            "parts": [call("weather", "call-1", city="Paris"), call("weather", "call-2", city="Paris")],
        },
        {"role": "tool", "parts": [response("18", "call-1")]},
        {"role": "tool", "parts": [{**response("no", "call-2"), "status": "error"}]},
    ]
    assert agent_answer({"messages": [asked, results[0], HumanMessage("Thanks")]}, OPEN) is None
    assert agent_answer({"messages": results}, OPEN) is None


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"type": "text", "text": "", "phase": "final_answer", "index": 0}, False),
        ({"type": "reasoning", "id": "rs", "summary": [], "status": "in_progress"}, False),
        ({"type": "thinking", "thinking": "", "signature": "c2ln"}, False),
        ({"type": "thinking", "thinking": "hm", "signature": "c2ln"}, True),
        ({"type": "redacted_thinking", "data": "c2ln"}, True),
    ],
    ids=repr,
)
def test_the_description_of_a_block_is_no_piece_of_an_answer(block: dict[str, Any], expected: bool) -> None:
    """The first chunk has arrived when something of the answer has, not when it is announced or signed."""
    assert has_answer(block) is expected
