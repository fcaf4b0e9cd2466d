"""However much there is to record: what leaves is bounded, and says what was cut."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream._content.policy import Limits
from sentry_langchain_stream.testing import Captured, CapturedSpan, capture_spans
from tests.kit.canary import Shelf
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, content_allowed

CONTENT = (
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "langchain_stream.query",
    "langchain_stream.found",
)
OVERHEAD = 4_000
"""Bytes of an envelope besides content: names, numbers, what the SDK adds; of a span and of a root above it."""
IMAGE = base64.b64encode(bytes(range(256)) * 800).decode()
"""An image of 200 KB, in base64."""


@pytest.fixture(params=WIRE_SHAPES)
def captured(request: pytest.FixtureRequest) -> Iterator[Captured]:
    """What is sent while everything may be recorded, in each wire shape."""
    with capture_spans(**WIRE_SHAPES[request.param], **content_allowed(True)) as found:
        yield found


def told(span: CapturedSpan) -> dict[str, str]:
    """The attributes of a span that hold content."""
    return {key: span.attributes[key] for key in CONTENT if key in span.attributes}


def check(captured: Captured, limits: Limits) -> None:
    """All content of every span is within the limits, and nothing large is anywhere else."""
    for span in captured.spans:
        sizes = {key: len(value) for key, value in told(span).items()}
        assert max(sizes.values(), default=0) <= limits.attribute
        assert sum(sizes.values()) <= limits.span
        assert len(str(span)) <= limits.span + OVERHEAD


def parts(span: CapturedSpan, key: str = "gen_ai.input.messages") -> list[Any]:
    """The parts of all messages in an attribute."""
    return [part for message in json.loads(span.attributes[key]) for part in message["parts"]]


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_an_image_leaves_as_a_placeholder_and_a_long_prompt_with_a_mark(captured: Captured, way: Way) -> None:
    """Of an image of 200 KB its type and size leave, of a prompt of 300 KB both ends and how much is missing."""
    prompt = f"BEGIN {'word ' * 60_000}END"
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}}
    asked = HumanMessage([{"type": "text", "text": prompt}, image])
    await way.run(ScriptedModel(), [asked], {"callbacks": [SentryStreamHandler()]})
    text, picture = parts(captured.find(op="gen_ai.chat"))
    assert re.fullmatch(r"BEGIN (word )+.*\[\.\.\. 28\d{4} characters cut \.\.\.\].*( word)+ END", text["content"])
    assert len(text["content"]) <= Limits().part
    assert picture == {
        "type": "blob",
        "modality": "image",
        "mime_type": "image/png",
        "content": "[Blob substitute]",
        "size": 204_800,
    }
    check(captured, Limits())
    assert sum(map(len, captured.envelopes)) < Limits().part + 2 * OVERHEAD
    assert IMAGE[1_000:1_100].encode() not in b"".join(captured.envelopes)


@pytest.mark.parametrize(
    "chosen", [None, Limits(), Limits(500, 2_000, 8_000), Limits(50_000, 60_000, 150_000)], ids=repr
)
async def test_the_limits_are_those_that_the_user_sets(captured: Captured, chosen: Limits | None) -> None:
    """`limits` bounds each text, each attribute and each span; what is cut is about as long as it may be."""
    limits = chosen or Limits()
    model = ScriptedModel(pieces=("answer " * 50_000,))
    messages = [SystemMessage("system " * 50_000), HumanMessage("prompt " * 50_000)]
    model.invoke(messages, config={"callbacks": [SentryStreamHandler(limits=chosen)]})
    span = captured.find(op="gen_ai.chat")
    check(captured, limits)
    part = min(limits.part, limits.span // 4, limits.attribute - 400)
    for text in (parts(span)[0], parts(span, "gen_ai.output.messages")[0]):
        assert 0.9 * part < len(text["content"]) <= limits.part
        assert "characters cut ...]" in text["content"]
    assert 0.9 * part < len(span.attributes["gen_ai.system_instructions"]) <= limits.part


@pytest.mark.parametrize("limits", [Limits(), Limits(2_000, 4_000, 9_000)], ids=["default", "low"])
async def test_everything_at_once_keeps_to_a_spans_limit(captured: Captured, limits: Limits) -> None:
    """Instructions, tools, history and answer, each far too long, share a span's limit, and each is told."""

    def look(subject: str) -> str:
        """Look."""
        return subject

    tools = [
        convert_to_openai_tool(StructuredTool.from_function(look, name=f"look_{number}", description="look " * 5_000))
        for number in range(20)
    ]
    messages = [
        SystemMessage([{"type": "text", "text": "system " * 5_000}] * 20),
        *(HumanMessage("prompt " * 5_000) for _ in range(20)),
    ]
    model = ScriptedModel(pieces=("answer " * 50_000,)).bind(tools=tools)
    model.invoke(messages, config={"callbacks": [SentryStreamHandler(limits=limits)]})
    span = captured.find(op="gen_ai.chat")
    check(captured, limits)
    assert set(told(span)) == {
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
        "gen_ai.tool.definitions",
    }
    assert all(" cut ...]" in value for value in told(span).values())
    assert sum(map(len, told(span).values())) > 0.5 * limits.span


def turns(count: int) -> Iterator[BaseMessage]:
    """An agent's history: what it was asked, and then so many calls of a tool with their results."""
    yield SystemMessage("Be brief.")
    yield HumanMessage("What is the weather like, everywhere?")
    for number in range(count):
        call = ToolCall(name="weather", args={"city": f"city {number}"}, id=f"call-{number}", type="tool_call")
        yield AIMessage("", tool_calls=[call])
        yield ToolMessage(f"In city {number}: {'mild ' * 300}", tool_call_id=f"call-{number}")


async def test_a_long_system_prompt_leaves_room_for_the_question(captured: Captured) -> None:
    """System instructions that would fill the span get a quarter of it, and the question keeps its own limit."""
    limits = Limits(part=2_000, attribute=8_000, span=16_000)
    rules, questions = SystemMessage(["Be brief. " * 200] * 9), HumanMessage(["Where to? " * 200] * 9)
    ScriptedModel().invoke([rules, questions], {"callbacks": [SentryStreamHandler(limits=limits)]})
    recorded = told(captured.find(op="gen_ai.chat"))
    assert len(recorded["gen_ai.system_instructions"]) <= limits.span // 4
    assert len(recorded["gen_ai.input.messages"]) > limits.attribute - limits.part


async def test_a_long_history_keeps_its_beginning_and_its_end(captured: Captured) -> None:
    """Of an agent's history of 600 KB the system prompt, what the user asked and the latest turns are kept."""
    ScriptedModel().invoke(list(turns(400)), config={"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.chat")
    check(captured, Limits())
    assert span.attributes["gen_ai.system_instructions"] == "Be brief."
    first, cut, *latest = json.loads(span.attributes["gen_ai.input.messages"])
    assert first["parts"] == [{"type": "text", "content": "What is the weather like, everywhere?"}]
    assert re.fullmatch(r"\[\.\.\. \d+ messages, \d+ characters cut \.\.\.\]", cut["parts"][0]["content"])
    assert latest[-1]["parts"][0]["result"].startswith("In city 399: mild")
    ids = [part.get("id") for message in latest for part in message["parts"]]
    assert ids[-4:] == ["call-398", "call-398", "call-399", "call-399"]
    assert len(ids) > 50


async def test_an_answer_that_is_left_is_bounded(captured: Captured) -> None:
    """Of an answer of 300 KB whose reader leaves both ends are kept, and how much is missing."""
    model = ScriptedModel(pieces=("BEGIN ", *(["word " * 20] * 3_000), "END"))
    stream = model.stream("Hi", config={"callbacks": [SentryStreamHandler()]})
    for number, _ in enumerate(stream):
        if number == 3_001:
            break
    stream.close()  # type: ignore[attr-defined]
    (text,) = parts(captured.find(op="gen_ai.chat"), "gen_ai.output.messages")
    assert re.fullmatch(r"BEGIN (word )+.*\[\.\.\. 28\d{4} characters cut \.\.\.\].*( word)+ END", text["content"])
    check(captured, Limits())


async def test_a_tools_arguments_and_result_are_bounded(captured: Captured) -> None:
    """What a tool is called with and what it returns share a span's limit, texts and structures."""

    def find(subject: str, deep: dict[str, Any]) -> Any:
        """Find."""
        return {"rows": [{"text": subject, "deep": deep}] * 100}

    tool = StructuredTool.from_function(find)
    given = {"subject": "word " * 60_000, "deep": {"list": ["word " * 1_000] * 100}}
    tool.invoke(given, config={"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.execute_tool")
    check(captured, Limits())
    for key in ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"):
        assert "characters cut ...]" in span.attributes[key]
        assert json.loads(span.attributes[key])


async def test_documents_are_bounded(captured: Captured) -> None:
    """Of documents that are too long the best are kept, those that a retriever names first."""
    found = Document("word " * 60_000, metadata={"source": "s" * 60_000})
    Shelf(holds=found).invoke("query " * 60_000, config={"callbacks": [SentryStreamHandler()]})
    span = captured.find(name="retrieve Shelf")
    check(captured, Limits())
    (document,) = json.loads(span.attributes["langchain_stream.found"])
    assert "characters cut ...]" in document["content"]
    assert "characters cut ...]" in span.attributes["langchain_stream.query"]


async def test_what_a_tool_says_of_itself_is_bounded(captured: Captured) -> None:
    """A tool's description is a text like any other."""

    def find(subject: str) -> str:
        return subject

    tool = StructuredTool.from_function(find, description="word " * 60_000)
    tool.invoke({"subject": "it"}, config={"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.execute_tool")
    assert "characters cut ...]" in span.attributes["gen_ai.tool.description"]
    assert len(span.attributes["gen_ai.tool.description"]) <= Limits().part
