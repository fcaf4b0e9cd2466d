"""The request, as a user copies it from the call of the client library: messages, system, tools, parameters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from sentry_langchain_stream import track_stream
from sentry_langchain_stream.testing import capture_spans
from tests.clients.apis.shared import library
from tests.kit.strategies import in_production
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, content_allowed


def told(allowed: bool = True, shape: str = BOTH_MODELS[0], **options: Any) -> Mapping[str, Any]:
    """The attributes of the span of a stream with these options."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        list(track_stream(iter(["x"]), model="m", **options))
    return captured.find(op="gen_ai.chat").attributes


def gemini(name: str, /, **fields: Any) -> Any:
    return getattr(library("google.genai").types, name)(**fields)


ARGUMENTS = {"city": "Vienna"}
CONVERSATIONS: dict[str, Callable[[], list[Any]]] = {
    "OpenAI's chat": lambda: [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": json.dumps(ARGUMENTS)}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ],
    "OpenAI's Responses": lambda: [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": json.dumps(ARGUMENTS)},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
    ],
    "OpenAI's Responses with a custom tool": lambda: [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": json.dumps(ARGUMENTS)},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "sunny"},
    ],
    "OpenAI's objects": lambda: [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
        library("openai").types.chat.ChatCompletionMessage.model_validate(
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "look", "arguments": json.dumps(ARGUMENTS)}}
                ],
            }
        ),
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ],
    "Anthropic": lambda: [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": ARGUMENTS}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "sunny"}]},
    ],
    "Gemini": lambda: [
        gemini("Content", role="user", parts=[gemini("Part", text="Weather?")]),
        gemini(
            "Content",
            role="model",
            parts=[gemini("Part", function_call=gemini("FunctionCall", id="c1", name="look", args=ARGUMENTS))],
        ),
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c1", "name": "look", "response": {"result": "sunny"}}}],
        },
    ],
    "Gemini's REST": lambda: [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "look", "args": ARGUMENTS}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "name": "look", "response": {"r": "sunny"}}}]},
    ],
    "Bedrock": lambda: [
        {"role": "user", "content": [{"text": "Weather?"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "look", "input": ARGUMENTS}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "sunny"}]}}]},
    ],
    "Ollama": lambda: [
        library("ollama").Message(role="system", content="Be brief."),
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": ARGUMENTS}}]},
        {"role": "tool", "tool_name": "look", "content": "sunny"},
    ],
    "LangChain": lambda: [
        SystemMessage("Be brief."),
        HumanMessage("Weather?"),
        AIMessage("", tool_calls=[{"id": "c1", "name": "look", "args": ARGUMENTS}]),
        ToolMessage("sunny", tool_call_id="c1"),
    ],
}


@pytest.mark.parametrize("library_name", CONVERSATIONS)
def test_messages_of_every_library(library_name: str) -> None:
    """A conversation with a tool call is recorded as text, call and response, whatever library it is written for."""
    messages = CONVERSATIONS[library_name]()
    attributes = told(messages=messages)
    question, call, result = json.loads(attributes["gen_ai.input.messages"])
    assert (question["role"], question["parts"]) == ("user", [{"type": "text", "content": "Weather?"}])
    assert call["role"] == "assistant"
    assert (call["parts"][0]["name"], call["parts"][0]["arguments"]) == ("look", ARGUMENTS)
    assert result["parts"][0]["type"] == "tool_call_response"
    assert "sunny" in result["parts"][0]["result"]
    instructions = attributes.get("gen_ai.system_instructions")
    assert instructions == (None if len(messages) == 3 else "Be brief.")


@pytest.mark.parametrize(
    "system",
    [
        "Be brief.",
        [{"type": "text", "text": "Be brief."}],
        [{"text": "Be brief."}],
        {"parts": [{"text": "Be brief."}]},
    ],
    ids=["text", "Anthropic's blocks", "Bedrock's blocks", "Gemini's content"],
)
def test_system_instructions(system: Any) -> None:
    """The system instructions beside the messages are recorded in every shape, and count as a part of the prompt."""
    attributes = told(system=system, messages="Hi")
    assert attributes["gen_ai.system_instructions"] == "Be brief."
    assert attributes["gen_ai.usage.input_tokens"] > told(messages="Hi")["gen_ai.usage.input_tokens"]


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def look(city: str) -> str:
    """Look."""
    return city


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": SCHEMA}}],
        [{"type": "function", "name": "look", "description": "Look.", "parameters": SCHEMA}],
        [{"name": "look", "description": "Look.", "input_schema": SCHEMA}],
        [{"function_declarations": [{"name": "look", "description": "Look.", "parameters": SCHEMA}]}],
        {"tools": [{"toolSpec": {"name": "look", "description": "Look.", "inputSchema": {"json": SCHEMA}}}]},
        [look],
    ],
    ids=["OpenAI's chat", "OpenAI's Responses", "Anthropic", "Gemini", "Bedrock", "a function for Ollama"],
)
def test_tools_of_every_library(tools: Any) -> None:
    """The tools of the request are recorded by name and description, and with their schema where they have one."""
    [tool] = json.loads(told(tools=tools)["gen_ai.tool.definitions"])
    assert (tool["name"], tool["description"]) == ("look", "Look.")
    assert tool.get("parameters") == (None if callable(tools[0] if isinstance(tools, list) else None) else SCHEMA)


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_parameters(shape: str) -> None:
    """Of the request's keyword arguments the parameters are recorded, with or without leave, and nothing else."""
    request = {
        "model": "other",
        "messages": [{"role": "user", "content": "SECRET"}],
        "temperature": 0.3,
        "config": {"max_output_tokens": 99, "system_instruction": "SECRET"},
        "options": {"top_k": 40},
        "api_key": "SECRET",
    }
    attributes = told(False, shape, parameters=request)
    names = ("temperature", "max_tokens", "top_k")
    assert [attributes[f"gen_ai.request.{name}"] for name in names] == [0.3, 99, 40]
    assert attributes["gen_ai.request.model"] == "m"
    assert "SECRET" not in json.dumps(dict(attributes))


def test_the_config_object_of_gemini() -> None:
    """Gemini's parameters may be its own object."""
    config = gemini("GenerateContentConfig", temperature=0.3, max_output_tokens=99)
    attributes = told(parameters={"model": "m", "config": config})
    assert (attributes["gen_ai.request.temperature"], attributes["gen_ai.request.max_tokens"]) == (0.3, 99)


@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_given_is_recorded_only_if_allowed(allowed: bool) -> None:
    """Messages, system, tools and metadata are inputs: they need the client's leave, and the veto holds."""
    given: dict[str, Any] = {
        "messages": [{"role": "user", "content": "SECRET"}],
        "system": "SECRET",
        "tools": [{"name": "look", "description": "SECRET"}],
        "metadata": {"customer": "SECRET"},
    }
    keys = (
        *("gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions"),
        "langchain_stream.metadata.customer",
    )
    for include_prompts in (True, False):
        attributes = told(allowed, include_prompts=include_prompts, **given)
        recorded = allowed and include_prompts
        assert [("SECRET" in attributes.get(key, "")) for key in keys] == [recorded] * len(keys)
        assert ("SECRET" in json.dumps(dict(attributes))) == recorded


@pytest.mark.parametrize("shape", BOTH_MODELS)
def test_the_conversation(shape: str) -> None:
    """An opaque id of the conversation is recorded as it is, and another one is hashed."""
    assert told(False, shape, conversation_id="c-42")["gen_ai.conversation.id"] == "c-42"
    hashed = told(False, shape, conversation_id="ann@example.com")["gen_ai.conversation.id"]
    assert len(hashed) == 32
    assert "ann" not in hashed


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"conversation_id": 7}, "conversation_id"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata": {7: "x"}}, "metadata"),
        ({"prompt": ["x"]}, "prompt"),
        ({"messages": 7}, "messages"),
        ({"system": b"x"}, "system"),
        ({"tools": "look"}, "tools"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], name: str) -> None:
    """An argument of the wrong type is refused at once, as a decorator's, too."""
    for stream in ([iter(["x"])], []):
        with pytest.raises(TypeError, match=f"^{name} must"):
            track_stream(*stream, model="m", **options)


def test_the_counter_counts_messages() -> None:
    """With a `token_counter` the prompt's tokens are those of all texts of the messages."""
    attributes = told(messages=[{"role": "user", "content": "four"}], system="123", token_counter=len)
    assert attributes["gen_ai.usage.input_tokens"] == 7


ASKED: list[dict[str, Any]] = [
    {"prompt": "What is it?"},
    {"messages": [{"role": "user", "content": "What is it?"}], "system": "Be brief."},
]


def tokens(**options: Any) -> tuple[Any, Any]:
    """The tokens of the prompt and of the answer."""
    attributes = told(**options)
    return attributes.get("gen_ai.usage.input_tokens"), attributes.get("gen_ai.usage.output_tokens")


@pytest.mark.parametrize("asked", ASKED, ids=["prompt", "messages"])
def test_the_counter_may_count_parts_of_a_token(asked: dict[str, Any]) -> None:
    """The parts of all messages add up, and what is left of a token is one."""
    texts = 1 + ("system" in asked)
    assert tokens(**asked, token_counter=lambda text: 1.25) == (-(-5 * texts // 4), 2)


@pytest.mark.parametrize("asked", ASKED, ids=["prompt", "messages"])
@pytest.mark.parametrize("counted", [-1, float("nan"), True, None, ValueError("broken")], ids=repr)
def test_what_the_counter_cannot_count_is_estimated(asked: dict[str, Any], counted: Any) -> None:
    """What is no number of tokens leaves the prompt with an estimate, as without a `token_counter`."""

    def counter(text: str) -> Any:
        if isinstance(counted, Exception):
            raise counted
        return counted

    with in_production():
        assert tokens(**asked, token_counter=counter) == tokens(**asked) != (None, None)


@pytest.mark.parametrize("counter", [None, len])
def test_a_prompt_counts_beside_its_instructions(counter: Any) -> None:
    """As in the request of Ollama's `generate`: the same as with the prompt as a message."""
    both = tokens(prompt="What is it?", system="Be brief.", token_counter=counter)
    assert both == tokens(messages=["What is it?"], system="Be brief.", token_counter=counter)
    assert both[0] > tokens(system="Be brief.", token_counter=counter)[0]
