"""Requests and tools: what the call really sends, and what the span then records."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, SystemMessage, ToolMessage
from langchain_core.tools import BaseTool, tool

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.kit.replay import replaying
from tests.kit.wire import WIRE_SHAPES, content_allowed
from tests.numbers.kit import answered, ask, chat, of, says
from tests.numbers.test_answers import GEMINI, RESPONSE, openai

ANSWER = chat({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12})
CLAUDES = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-example",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 9, "output_tokens": 3},
}

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.mark.parametrize("way", ["invoke", "bound"])
@pytest.mark.parametrize(
    ("made", "called", "key", "expected"),
    [
        ({"stop": ["A"]}, {"stop": ["B"]}, "stop_sequences", ["B"]),
        ({"stop": ["A"]}, {}, "stop_sequences", ["A"]),
        ({"temperature": 0.1}, {"temperature": 0.7}, "temperature", 0.7),
        ({"max_tokens": 5}, {"max_tokens": 9}, "max_tokens", 9),
    ],
)
def test_what_the_call_says_wins(
    way: str, made: dict[str, Any], called: dict[str, Any], key: str, expected: object
) -> None:
    """Where the model and the call disagree, the span has what was sent."""
    with replaying(ANSWER) as server:
        model = openai(**made)(server.url)
        span = ask(model.bind(**called)) if way == "bound" else ask(model, call=called)
    (sent,) = server.requests
    assert span.attributes[f"gen_ai.request.{key}"] == expected
    names = {"stop_sequences": ("stop",), "max_tokens": ("max_completion_tokens", "max_tokens")}.get(key, (key,))
    assert next(sent[name] for name in names if name in sent) == expected


def test_the_stop_of_a_call_wins_for_anthropic_too() -> None:
    """ChatAnthropic calls it `stop_sequences` in its parameters, and `stop` in the call."""
    with replaying(CLAUDES) as server:
        model = of("langchain_anthropic", "ChatAnthropic")(
            model="claude-example", base_url=server.url, api_key="none", stop=["A"]
        )
        span = ask(model, call={"stop": ["B"]})
    assert span.attributes["gen_ai.request.stop_sequences"] == server.requests[0]["stop_sequences"] == ["B"]


# -- Reasoning -----------------------------------------------------------------------------------------------------


def claude(**options: Any) -> Any:
    def make(url: str) -> Any:
        model: Any = of("langchain_anthropic", "ChatAnthropic")
        known = {*model.model_fields, *(field.alias for field in model.model_fields.values())}
        if not options.keys() <= known:
            pytest.skip(f"this version of langchain-anthropic has no {options}")
        return model(model="claude-example", base_url=url, api_key="none", max_tokens=4000, **options)

    return make


def gemini(**options: Any) -> Any:
    return lambda url: of("langchain_google_genai", "ChatGoogleGenerativeAI")(
        model="gemini-example", base_url=url, api_version="v1beta", api_key="none", max_retries=1, **options
    )


LEVELS = [
    pytest.param(openai(reasoning_effort="low"), ANSWER, "low", id="OpenAI, chat"),
    pytest.param(openai(reasoning={"effort": "high"}), RESPONSE, "high", id="OpenAI, Responses"),
    pytest.param(openai(extra_body={"reasoning": {"max_tokens": 2000}}), ANSWER, "2000", id="OpenRouter, a budget"),
    pytest.param(
        claude(thinking={"type": "enabled", "budget_tokens": 2000}), CLAUDES, "2000", id="Anthropic, a budget"
    ),
    pytest.param(claude(thinking={"type": "adaptive"}), CLAUDES, "adaptive", id="Anthropic, adaptive"),
    pytest.param(claude(effort="medium"), CLAUDES, "medium", id="Anthropic, effort"),
    pytest.param(gemini(thinking_budget=1024), GEMINI, "1024", id="Gemini, a budget"),
    pytest.param(gemini(thinking_budget=0), GEMINI, "0", id="Gemini, none"),
    pytest.param(gemini(thinking_budget=-1), GEMINI, "dynamic", id="Gemini, its own choice"),
    pytest.param(gemini(thinking_level="low"), GEMINI, "low", id="Gemini, a level"),
    pytest.param(
        lambda url: of("langchain_groq", "ChatGroq")(model="m", base_url=url, api_key="x", reasoning_effort="low"),
        ANSWER,
        "low",
        id="Groq",
    ),
    pytest.param(openai(), ANSWER, None, id="not asked for"),
]


@pytest.mark.parametrize(("make", "answer", "expected"), LEVELS)
def test_how_much_a_model_may_think_is_recorded(make: Any, answer: Any, expected: str | None) -> None:
    """An effort by its name, a budget as a number of tokens, as one string."""
    span = answered(make, answer)
    assert span.attributes.get("gen_ai.request.reasoning.level") == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"reasoning": True}, None),
        ({"reasoning": "low"}, "low"),
        ({"thinking": {"type": "disabled"}}, "disabled"),
        ({"additional_model_request_fields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}, "1024"),
        ({"generation_config": {"thinking_config": {"thinking_budget": 512}}}, "512"),
        ({"reasoning_effort": ["low"]}, None),
        ({"reasoning_effort": None, "thinking": {"type": "enabled", "budget_tokens": float("nan")}}, "enabled"),
    ],
    ids=str,
)
def test_other_shapes_of_the_same(given: dict[str, Any], expected: str | None) -> None:
    """Ollama's, Bedrock's, Vertex AI's; what is none is left out."""
    span = ask(says(AIMessage("Hello")), call=given)
    assert span.attributes.get("gen_ai.request.reasoning.level") == expected


# -- Instructions and tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_instructions_of_a_call_are_system_instructions(shape: str, allowed: bool) -> None:
    """What the Responses API gets beside the messages is recorded with the system messages, if inputs may be."""
    with replaying(RESPONSE) as server, capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        openai(use_responses_api=True)(server.url).invoke(
            [SystemMessage("Speak German."), ("user", "Hi")],
            {"callbacks": [SentryStreamHandler()]},
            instructions="Be brief.",
        )
    span = captured.find(op="gen_ai.chat")
    expected = "Be brief.\nSpeak German." if allowed else None
    assert span.attributes.get("gen_ai.system_instructions") == expected
    assert allowed or b"Be brief" not in b"".join(captured.envelopes)


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"sunny in {city}"


# https://docs.cohere.com/reference/chat
COHERES = {
    "id": "c1",
    "finish_reason": "COMPLETE",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    "usage": {
        "tokens": {"input_tokens": 10, "output_tokens": 3},
        "billed_units": {"input_tokens": 8, "output_tokens": 3},
    },
}
ORIGIN = "auto.ai.langchain_stream"


@pytest.mark.parametrize("allowed", [True, False])
def test_the_tools_of_cohere_are_recorded(allowed: bool) -> None:
    """langchain-cohere offers tools as objects of Cohere's client."""
    make = of("langchain_cohere", "ChatCohere")
    with replaying(COHERES) as server, capture_spans(**content_allowed(allowed)) as captured:
        model: Any = make(model="command-r", base_url=server.url, cohere_api_key="none")
        model.bind_tools([weather]).invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    # Sentry's own integration of Cohere's client may make a span too.
    (span,) = [each for each in captured.spans if each.origin == ORIGIN and each.op == "gen_ai.chat"]
    assert_weather(span.attributes.get("gen_ai.tool.definitions"), allowed)


class Offered:
    """A tool as an object, as pydantic makes them."""

    def model_dump(self, **options: Any) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        function = {"name": "weather", "description": "The weather of a city.", "parameters": schema}
        return {"type": "function", "function": function}


def test_tools_that_are_objects_are_recorded() -> None:
    """The same without Cohere's client."""
    span = ask(says(AIMessage("Hello")), call={"tools": [Offered()]})
    assert_weather(span.attributes.get("gen_ai.tool.definitions"), True)


def assert_weather(found: Any, allowed: bool) -> None:
    if not allowed:
        assert found is None
        return
    (definition,) = json.loads(found)
    assert (definition["name"], definition["description"]) == ("weather", "The weather of a city.")
    assert list(definition["parameters"]["properties"]) == ["city"]


def called(subject: BaseTool, arguments: Any, allowed: bool = True, shape: str = "", **config: Any) -> CapturedSpan:
    shapes = WIRE_SHAPES[shape] if shape else {}
    watched: Any = {**config, "callbacks": [SentryStreamHandler()]}
    with capture_spans(**shapes, **content_allowed(allowed)) as captured:
        subject.invoke(arguments, watched)
    return captured.find(op="gen_ai.execute_tool")


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_name_of_a_tools_run_is_recorded(shape: str) -> None:
    """A run name that the call was given stands beside the tool's own."""
    span = called(weather, {"city": "Vienna"}, shape=shape, run_name="ask the sky")
    assert span.attributes["gen_ai.tool.name"] == "weather"
    assert span.attributes["langchain_stream.run_name"] == "ask the sky"
    assert "langchain_stream.run_name" not in called(weather, {"city": "Vienna"}, shape=shape).attributes


def returning(result: Any) -> BaseTool:
    @tool
    def look() -> Any:
        """Looks something up."""
        return result

    return look


CALL: Any = {"type": "tool_call", "id": "call-1", "name": "look", "args": {}}
BLOCKS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
RESULTS = [
    pytest.param(BLOCKS, CALL, "a\nb", 3, id="two blocks"),
    pytest.param(["a", "b"], CALL, "a\nb", 3, id="two texts"),
    pytest.param(BLOCKS, {}, "a\nb", 3, id="two blocks, bare"),
    pytest.param("süß", CALL, "süß", 5, id="a text"),
    pytest.param("süß", {}, "süß", 5, id="a text, bare"),
    pytest.param({"a": "ü"}, {}, '{"a": "ü"}', 11, id="a structure"),
    pytest.param(ToolMessage("done", tool_call_id="call-1"), CALL, "done", 4, id="a message"),
    pytest.param("x" * 100_000, CALL, None, 100_000, id="more than is recorded"),
    pytest.param(object(), {}, None, None, id="no plain value"),
]


@pytest.mark.parametrize(("result", "arguments", "expected", "size"), RESULTS)
def test_a_result_keeps_its_texts_apart(result: Any, arguments: Any, expected: str | None, size: int | None) -> None:
    """Two texts are two lines. The size is that of the whole result in bytes, before anything is cut."""
    span = called(returning(result), arguments)
    if expected is not None:
        assert span.attributes["gen_ai.tool.call.result"] == expected
    assert span.attributes.get("gen_ai.tool.call.result.size") == size


def test_the_size_of_a_result_is_no_content() -> None:
    """It is recorded where the result is not."""
    span = called(returning("a secret"), {}, allowed=False)
    assert span.attributes["gen_ai.tool.call.result.size"] == 8
    assert "gen_ai.tool.call.result" not in span.attributes
