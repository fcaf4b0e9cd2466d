"""What is recorded of the content blocks in prompts and answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import capture_spans
from tests.kit.parts import call, reasoning, response, text
from tests.kit.wire import content_allowed


def recorded(asked: Any, answer: AIMessage, redact: Any = None) -> tuple[list[Any], list[Any]]:
    """The parts of the prompt's last message and of the answer, as they are in the envelopes."""
    with capture_spans(**content_allowed(True)) as captured:
        model = GenericFakeChatModel(messages=iter([answer]))
        model.invoke([asked], {"callbacks": [SentryStreamHandler(redact=redact)]})
    attributes = captured.find(op="gen_ai.chat").attributes
    prompt, said = (json.loads(attributes[f"gen_ai.{each}.messages"]) for each in ("input", "output"))
    return prompt[-1]["parts"], said[0]["parts"]


TEXTS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "compaction": ({"type": "compaction", "content": "a summary"}, [{"type": "compaction", "content": "a summary"}]),
    "guarded": ({"guardContent": {"text": {"text": "a question"}}}, [text("a question")]),
    "cited": ({"citationsContent": {"content": [{"text": "a "}, {"text": "quote"}]}}, [text("a quote")]),
    "json": ({"json": {"sky": "blue"}}, [{"type": "json", "content": '{"sky": "blue"}'}]),
    "not standard": ({"type": "non_standard", "value": {"text": "words"}}, [text("words")]),
    "document": (
        {
            "type": "document",
            "title": "T",
            "source": {
                "type": "content",
                "content": [{"type": "text", "text": "chunk one"}, {"type": "text", "text": "chunk two"}],
            },
        },
        [text("chunk one\nchunk two")],
    ),
}


@pytest.mark.parametrize(("block", "expected"), TEXTS.values(), ids=TEXTS)
def test_the_text_of_a_block_is_recorded(block: dict[str, Any], expected: list[Any]) -> None:
    """The text of a block is recorded, also where its provider wraps it, in prompts and in answers."""
    assert recorded(HumanMessage([block]), AIMessage([block])) == (expected, expected)


@pytest.mark.parametrize("block", [block for block, _ in TEXTS.values()], ids=TEXTS)
def test_the_text_of_a_block_is_redacted(block: dict[str, Any]) -> None:
    """Such a text passes `redact`."""
    for parts in recorded(HumanMessage([block]), AIMessage([block]), redact=lambda text: "***"):
        assert "***" in parts[0]["content"]
        assert not any(word in str(parts) for word in ("summary", "question", "quote", "words", "chunk"))


FAILURES: dict[str, tuple[dict[str, Any], Any]] = {
    "anthropic, MCP": (
        {"type": "mcp_tool_result", "tool_use_id": "1", "is_error": True, "content": [{"type": "text", "text": "no"}]},
        response("no", "1", status="error"),
    ),
    "anthropic": (
        {"type": "tool_result", "tool_use_id": "1", "is_error": True, "content": "no"},
        response("no", "1", status="error"),
    ),
    "anthropic, a success": (
        {"type": "tool_result", "tool_use_id": "1", "is_error": False, "content": "yes"},
        response("yes", "1"),
    ),
    "openai, MCP": (
        {"type": "mcp_call", "id": "1", "name": "f", "arguments": "{}", "output": None, "error": "refused"},
        response("refused", "1", status="error"),
    ),
    "openai, MCP, with a code": (
        {"type": "mcp_call", "id": "1", "name": "f", "arguments": "{}", "error": {"code": 4, "message": "refused"}},
        response('{"code": 4, "message": "refused"}', "1", status="error"),
    ),
    "openai, MCP, in LangChain's format": (
        {
            "type": "server_tool_result",
            "tool_call_id": "1",
            "status": "error",
            "output": "",
            "extras": {"error": "refused"},
        },
        response("refused", "1", status="error"),
    ),
    "openai, a success": (
        {"type": "mcp_call", "id": "1", "name": "f", "arguments": "{}", "output": "yes", "error": None},
        response("yes", "1"),
    ),
}


@pytest.mark.parametrize(("block", "expected"), FAILURES.values(), ids=FAILURES)
def test_the_failure_of_a_providers_tool_is_recorded(block: dict[str, Any], expected: Any) -> None:
    """The response of a tool that failed on the provider's side has the status and the text of the error."""
    for parts in recorded(HumanMessage([block]), AIMessage([block])):
        assert parts[-1] == expected


def test_a_tool_of_an_mcp_server_has_its_own_name() -> None:
    """LangChain's common format calls all of them `remote_mcp`."""
    block = {"type": "server_tool_call", "id": "1", "name": "remote_mcp", "args": {}, "extras": {"tool_name": "roll"}}
    for parts in recorded(HumanMessage([block]), AIMessage([block])):
        assert parts == [call("roll", "1")]


@pytest.mark.parametrize("error", [False, "", {}], ids=repr)
def test_an_error_without_content_is_no_failure(error: Any) -> None:
    """A provider's tool whose error is `False` or empty has not failed: its response has no status."""
    block = {"type": "mcp_call", "id": "1", "name": "f", "arguments": "{}", "output": "yes", "error": error}
    for parts in recorded(HumanMessage([block]), AIMessage([block])):
        assert parts == [call("f", "1"), response("yes", "1")]


def test_the_same_reasoning_under_two_keys_is_recorded_once() -> None:
    """Servers that send their reasoning under both of its keys have it recorded once, and two different ones twice."""
    for second, expected in (("hm", [reasoning("hm")]), ("ha", [reasoning("hm"), reasoning("ha")])):
        answer = AIMessage("words", additional_kwargs={"reasoning_content": "hm", "reasoning": second})
        assert recorded(HumanMessage("Hi"), answer)[1] == [*expected, text("words")]


OUTSIDE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "reasoning": ({"reasoning": {"summary": [{"type": "summary_text", "text": "hm"}]}}, [reasoning("hm")]),
    "tools": (
        {"tool_outputs": [{"type": "web_search_call", "id": "1", "action": {"query": "q"}}]},
        [call("web_search", "1", query="q")],
    ),
}


@pytest.mark.parametrize(("extra", "expected"), OUTSIDE.values(), ids=OUTSIDE)
def test_an_answer_outside_of_the_content_is_recorded(extra: dict[str, Any], expected: list[Any]) -> None:
    """An answer of reasoning or of OpenAI's own tools only is recorded, also with `output_version="v0"`."""
    assert recorded(HumanMessage("Hi"), AIMessage("", additional_kwargs=extra))[1] == expected
