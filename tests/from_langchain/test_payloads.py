"""From LangChain's payloads to plain values."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.runnables.config import set_config_context

from sentry_langchain_stream._content.policy import NOTHING, Policy
from sentry_langchain_stream._from_langchain import answer_texts, answers, internals, requests
from sentry_langchain_stream._from_langchain.described import Descriptions
from sentry_langchain_stream._runs.call import Request
from sentry_langchain_stream._runs.estimates import approximate, weight
from sentry_langchain_stream._runs.usage import Usage

OPEN = Policy(inputs=True, outputs=True)
USED = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
PAID = {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}


def asked(
    serialized: object = None,
    *,
    messages: Sequence[BaseMessage] | None = (HumanMessage("Hello"),),
    prompts: Sequence[str] | None = None,
    policy: Policy = OPEN,
    token_counter: Callable[[str], int] | None = None,
    metadata: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    name: str | None = "ChatOpenAI",
) -> Request:
    """`extract.request` of a chat call, with what a test varies."""
    return requests.request(
        Descriptions().of(serialized, metadata or {}, options or {}),
        messages=messages,
        prompts=prompts,
        policy=policy,
        token_counter=token_counter,
        options=options or {},
        name=name,
    )


def chat_result(*messages: AIMessage, llm_output: dict[str, Any] | None = None) -> LLMResult:
    """A result of a chat model, a generation per message."""
    return LLMResult(generations=[[ChatGeneration(message=message) for message in messages]], llm_output=llm_output)


def text_result(*texts: str, info: dict[str, Any] | None = None, llm_output: dict[str, Any] | None = None) -> LLMResult:
    """A result of a non-chat model, a generation per text."""
    return LLMResult(
        generations=[[Generation(text=text, generation_info=info) for text in texts]], llm_output=llm_output
    )


def chunk(content: Any = "", **fields: Any) -> ChatGenerationChunk:
    """A streamed chunk of a chat model."""
    return ChatGenerationChunk(message=AIMessageChunk(content=content, **fields))


# -- what was asked -------------------------------------------------------------------------------------------


def test_a_chat_request() -> None:
    """All that LangChain tells at the start of a chat model is in the request."""
    request = asked(
        {"id": ["langchain", "chat_models", "openai", "ChatOpenAI"]},
        messages=[SystemMessage("Be brief."), HumanMessage("Hello")],
        metadata={"ls_provider": "openai", "ls_model_name": "gpt-4o-mini"},
        options={"_type": "openai-chat", "model": "gpt-4o-mini", "temperature": 0.5},
    )
    assert (request.operation, request.model, request.provider) == ("chat", "gpt-4o-mini", "openai")
    assert (request.platform, request.function) == ("openai", "ChatOpenAI")
    assert request.parameters == {"temperature": 0.5}
    assert request.messages is not None
    assert json.loads(request.messages) == [{"role": "user", "parts": [{"type": "text", "content": "Hello"}]}]
    assert request.system == "Be brief."
    assert request.estimated_input is not None
    assert request.estimated_input > 0


def test_a_completion_request() -> None:
    """A model that is given prompts is asked for a text completion."""
    request = asked(messages=None, prompts=["Once upon"], metadata={"ls_provider": "cohere"}, name="Cohere")
    assert (request.operation, request.provider, request.platform) == ("text_completion", "cohere", "cohere")
    assert request.messages is not None
    assert json.loads(request.messages) == [{"role": "user", "parts": [{"type": "text", "content": "Once upon"}]}]
    assert request.system is None


@pytest.mark.parametrize("serialized", [None, {}, "ChatOpenAI", {"id": None, "kwargs": None}, {"id": "x"}], ids=repr)
def test_a_request_that_tells_nothing(serialized: object) -> None:
    """Where LangChain tells nothing, all is unknown, and nothing is made up."""
    request = asked(serialized, messages=[], name=None)
    assert request == Request(operation="chat", parameters={})


@pytest.mark.parametrize(
    ("serialized", "metadata", "options", "model"),
    [
        (None, {}, {"model": "a", "model_name": "b", "model_id": "c"}, "a"),
        (None, {}, {"model_name": "b", "model_id": "c"}, "b"),
        (None, {}, {"model_id": "c"}, "c"),
        (None, {}, {"azure_deployment": "d"}, "d"),
        (None, {"ls_model_name": "m"}, {"model": "a"}, "a"),
        (None, {"ls_model_name": "m"}, {"model": None}, "m"),
        (None, {"ls_model_name": "m"}, {"model": ""}, "m"),
        ({"kwargs": {"model": "k"}}, {"ls_model_name": "m"}, {}, "m"),
        ({"kwargs": {"model": "k"}}, {}, {}, "k"),
        ({"kwargs": {"model_name": "k"}}, {}, {}, "k"),
        (None, {"ls_model_name": ["m"]}, {"model": {"x": 1}}, None),
        (None, {}, {}, None),
    ],
    ids=repr,
)
def test_the_model_asked_for(
    serialized: object, metadata: dict[str, Any], options: dict[str, Any], model: str | None
) -> None:
    """The invocation's own word goes before LangChain's metadata, and that before the class's description."""
    assert asked(serialized, metadata=metadata, options=options).model == model


@pytest.mark.parametrize(
    ("options", "metadata", "expected"),
    [
        ({"temperature": 0}, {}, {"temperature": 0.0}),
        ({"temperature": 0.0}, {"ls_temperature": 1.0}, {"temperature": 0.0}),
        ({}, {"ls_temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": None}, {"ls_temperature": 0.7}, {"temperature": 0.7}),
        ({"temperature": "hot"}, {"ls_temperature": 0.7}, {"temperature": 0.7}),
        ({"top_p": 1}, {}, {"top_p": 1.0}),
        ({"top_k": 40}, {}, {"top_k": 40}),
        ({"max_tokens": 9}, {}, {"max_tokens": 9}),
        ({"max_completion_tokens": 9}, {}, {"max_tokens": 9}),
        ({"max_output_tokens": 9}, {}, {"max_tokens": 9}),
        ({"max_new_tokens": 9}, {}, {"max_tokens": 9}),
        ({"options": {"num_predict": 9, "temperature": 0.2}}, {}, {"max_tokens": 9, "temperature": 0.2}),
        ({"options": [1]}, {}, {}),
        ({}, {"ls_max_tokens": 9}, {"max_tokens": 9}),
        ({"seed": 7}, {}, {"seed": "7"}),
        ({"seed": 0}, {}, {"seed": "0"}),
        ({"stop": "END"}, {}, {"stop": ["END"]}),
        ({"stop": ["A", "B"]}, {}, {"stop": ["A", "B"]}),
        ({"stop_sequences": ("A",)}, {}, {"stop": ["A"]}),
        ({"stop": []}, {"ls_stop": ["A"]}, {"stop": ["A"]}),
        (
            {"frequency_penalty": 0.1, "presence_penalty": -0.2},
            {},
            {"frequency_penalty": 0.1, "presence_penalty": -0.2},
        ),
        ({"model_kwargs": {"top_k": 4}}, {}, {"top_k": 4}),
        ({"extra_body": {"top_k": 4}, "top_k": 5}, {}, {"top_k": 5}),
        ({"generation_config": {"max_output_tokens": 9, "top_p": 0.5}}, {}, {"max_tokens": 9, "top_p": 0.5}),
        (
            {"inferenceConfig": {"maxTokens": 9, "topP": 0.5, "stopSequences": ["A"]}},
            {},
            {"max_tokens": 9, "top_p": 0.5, "stop": ["A"]},
        ),
        ({"additional_model_request_fields": {"top_k": 4}}, {}, {"top_k": 4}),
        ({"stream": True, "tools": [{"x": 1}], "api_key": "k"}, {"thread_id": "t"}, {}),
    ],
    ids=repr,
)
def test_request_parameters(options: dict[str, Any], metadata: dict[str, Any], expected: dict[str, Any]) -> None:
    """Parameters are found under each provider's names for them, typed, and a zero is a value."""
    found = asked(options=options, metadata=metadata).parameters
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_what_the_model_was_made_with_has_the_last_word_only() -> None:
    """Some classes tell their parameters in their description alone; how the call is made goes before it."""
    made = {"kwargs": {"temperature": 0.1, "top_p": 0.9, "stop_sequences": ["A"], "api_key": {"type": "secret"}}}
    found = asked(made, options={"temperature": 0.5, "stop": None}, metadata={"ls_max_tokens": 9}).parameters
    assert found == {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": ["A"]}


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION = {"type": "function", "name": "weather", "description": "Of a city.", "parameters": SCHEMA}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "weather", "description": "Of a city.", "parameters": SCHEMA},
                    }
                ]
            },
            [FUNCTION],
            id="OpenAI",
        ),
        pytest.param({"tools": [FUNCTION]}, [FUNCTION], id="OpenAI Responses"),
        pytest.param(
            {"functions": [{"name": "weather", "description": "Of a city.", "parameters": SCHEMA}]},
            [FUNCTION],
            id="OpenAI's functions of old",
        ),
        pytest.param(
            {"tools": [{"name": "weather", "description": "Of a city.", "input_schema": SCHEMA, "type": "custom"}]},
            [FUNCTION],
            id="Anthropic",
        ),
        pytest.param(
            {
                "toolConfig": {
                    "tools": [
                        {
                            "toolSpec": {
                                "name": "weather",
                                "description": "Of a city.",
                                "inputSchema": {"json": SCHEMA},
                            }
                        },
                        {"cachePoint": {"type": "default"}},
                    ]
                }
            },
            [FUNCTION, {"type": "cachePoint"}],
            id="Bedrock",
        ),
        pytest.param(
            {
                "tools": [
                    {
                        "function_declarations": [
                            {"name": "weather", "description": "Of a city.", "parameters_json_schema": SCHEMA},
                            {"name": "time"},
                        ]
                    },
                    {"google_search": {}},
                ]
            },
            [FUNCTION, {"type": "function", "name": "time"}, {"type": "google_search"}],
            id="Gemini",
        ),
        pytest.param(
            {
                "tools": [
                    {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
                    {"type": "mcp", "server_url": "https://x", "authorization": "Bearer abc", "headers": {"k": "v"}},
                ]
            },
            [{"type": "web_search_20250305", "name": "web_search"}, {"type": "mcp"}],
            id="a provider's own tools, without what they are set up with",
        ),
        pytest.param({"tools": []}, None, id="no tools"),
        pytest.param({"tools": [object(), {}, {"a": 1, "b": 2}]}, None, id="no tool that can be told"),
        pytest.param({"tools": "weather"}, None, id="no list"),
        pytest.param({}, None, id="nothing"),
    ],
)
def test_offered_tools_are_told_in_one_shape(options: dict[str, Any], expected: list[dict[str, Any]] | None) -> None:
    """However a provider spells its tools, they are told by type, name, description and schema alone."""
    told = asked(options=options).tools
    assert (json.loads(told) if told else told) == expected


def test_without_leave_no_tool_is_told() -> None:
    """Offered tools are an input: with inputs off nothing of them is kept."""
    assert asked(options={"tools": [FUNCTION]}, policy=Policy(inputs=False, outputs=True)).tools is None


def test_the_words_in_a_tools_definition_are_redacted() -> None:
    """Descriptions, defaults and choices pass `redact`; names and types are structure and stay."""
    schema = {
        "type": "object",
        "description": "secret",
        "properties": {
            "description": {"type": "string", "enum": ["secret", 1], "default": {"type": "secret", "limit": math.inf}}
        },
        "required": ["description"],
    }
    tool = {"type": "function", "name": "weather", "description": "secret", "parameters": schema}
    told = asked(options={"tools": [tool]}, policy=Policy(True, True, lambda text: "***")).tools
    assert told is not None
    assert json.loads(told) == [
        {
            "type": "function",
            "name": "weather",
            "description": "***",
            "parameters": {
                "type": "object",
                "description": "***",
                "properties": {
                    "description": {
                        "type": "string",
                        "enum": ["***", 1],
                        "default": {"type": "***", "limit": "***"},
                    }
                },
                "required": ["description"],
            },
        }
    ]


@pytest.mark.usefixtures("lenient")
def test_a_tools_description_is_dropped_where_redact_fails() -> None:
    """A description that could not be redacted is left out, the tool stays."""

    def redact(text: str) -> str:
        raise ValueError

    told = asked(options={"tools": [FUNCTION]}, policy=Policy(True, True, redact)).tools
    assert told is not None
    assert json.loads(told) == [{"type": "function", "name": "weather", "parameters": SCHEMA}]


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": True},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": "0.5"},
        {"top_k": 1.5},
        {"max_tokens": -1},
        {"max_tokens": True},
        {"seed": True},
        {"seed": [1]},
        {"stop": 3},
        {"stop": [3, None]},
        {"frequency_penalty": {}},
    ],
    ids=repr,
)
def test_a_parameter_that_cannot_be_one_is_left_out(options: dict[str, Any]) -> None:
    """A value of the wrong type, NaN, infinite or negative where it cannot be, is not stated."""
    assert asked(options=options).parameters == {}


def test_nothing_of_a_prompt_is_kept_without_leave() -> None:
    """With inputs off neither messages nor instructions are kept, and `redact` is not even called."""
    shown: list[str] = []

    def redact(text: str) -> str:
        shown.append(text)
        return text

    request = asked(
        messages=[SystemMessage("Be brief."), HumanMessage("Hello")], policy=Policy(False, True, redact=redact)
    )
    assert (request.messages, request.system, shown) == (None, None, [])
    assert "Hello" not in repr(request)
    assert "brief" not in repr(request)
    assert request.estimated_input


def test_the_prompt_is_redacted() -> None:
    """Messages and instructions are kept as `redact` returns them."""
    request = asked(
        messages=[SystemMessage("Be brief."), HumanMessage("Hello")], policy=Policy(True, True, lambda text: "***")
    )
    assert request.system == "***"
    assert request.messages is not None
    assert json.loads(request.messages)[0]["parts"] == [{"type": "text", "content": "***"}]


@pytest.mark.parametrize(
    ("messages", "prompts", "seen"),
    [
        (
            [SystemMessage("abc"), HumanMessage([{"type": "text", "text": "de"}, {"type": "image"}])],
            None,
            ["abc", "de"],
        ),
        (None, ["abc", "de"], ["abc", "de"]),
    ],
)
def test_the_prompts_estimate_is_the_users_count(
    messages: list[BaseMessage] | None, prompts: list[str] | None, seen: list[str]
) -> None:
    """The user's `token_counter` counts each text of the prompt, whether or not it may be recorded."""
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return len(text)

    request = asked(messages=messages, prompts=prompts, token_counter=count, policy=NOTHING)
    assert request.estimated_input == 5
    assert counted == seen


@pytest.mark.parametrize("answer", [-1, True, math.nan, "3", None], ids=repr)
@pytest.mark.usefixtures("lenient")
def test_a_senseless_count_is_no_estimate(answer: Any) -> None:
    """What a `token_counter` returns is checked: if it is no count, the prompt is estimated as without one."""
    assert asked(token_counter=lambda text: answer).estimated_input == asked().estimated_input


def test_without_a_counter_the_prompt_is_estimated_from_its_length() -> None:
    """About a token for five letters, and what LangChain counts for a message."""
    for request in (asked(messages=[HumanMessage("x" * 4000)]), asked(messages=None, prompts=["x" * 4000])):
        assert request.estimated_input is not None
        assert 840 <= request.estimated_input <= 850


@pytest.mark.parametrize("counter", [None, len])
def test_without_a_prompt_there_is_no_estimate(counter: Callable[[str], int] | None) -> None:
    """Where no prompt is known its tokens are unknown, not zero."""
    assert asked(messages=[], token_counter=counter).estimated_input is None
    assert asked(messages=None, prompts=None, token_counter=counter).estimated_input is None


@pytest.mark.usefixtures("lenient")
def test_one_fact_that_fails_costs_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    """A `token_counter` that raises costs its own estimate, and is said without the prompt's words."""

    def count(text: str) -> int:
        raise ValueError(text)

    request = asked(token_counter=count, metadata={"ls_provider": "openai", "ls_model_name": "gpt-4o-mini"})
    known = (asked().estimated_input, "gpt-4o-mini", "openai")
    assert (request.estimated_input, request.model, request.provider) == known
    assert request.messages is not None
    assert "token_counter failed with ValueError" in caplog.text
    assert "Hello" not in caplog.text


@pytest.mark.usefixtures("lenient")
def test_one_parameter_that_fails_costs_itself_only(caplog: pytest.LogCaptureFixture) -> None:
    """A parameter that cannot be converted is left out, the others stay."""
    assert asked(options={"temperature": 10**400, "top_k": 4}).parameters == {"top_k": 4}
    assert "request parameter temperature failed with OverflowError" in caplog.text


def test_a_number_that_python_refuses_to_spell_is_left_out() -> None:
    """A number far too large to be one is no seed and no name; it costs nothing else, and is no failure."""
    assert asked(options={"seed": 10**5_000, "top_k": 4}).parameters == {"top_k": 4}
    assert asked(options={"seed": 2**63}).parameters == {"seed": str(2**63)}


def test_asking_changes_nothing() -> None:
    """What LangChain hands over is left as it was, and the request holds none of it."""
    serialized = {"id": ["langchain", "ChatOpenAI"], "kwargs": {"model": "m"}}
    options = {"stop": ["END"], "options": {"seed": 1}}
    metadata = {"ls_provider": "openai"}
    messages = [HumanMessage([{"type": "text", "text": "Hello"}])]
    before = copy.deepcopy((serialized, options, metadata, messages))
    request = asked(serialized, messages=messages, metadata=metadata, options=options)
    assert (serialized, options, metadata, messages) == before
    assert request.parameters["stop"] is not options["stop"]


@pytest.mark.parametrize(
    ("metadata", "options", "integration"),
    [
        ({"ls_provider": "openai"}, {}, "openai"),
        ({"ls_provider": "azure"}, {}, "openai"),
        ({"ls_provider": "anthropic"}, {}, "anthropic"),
        ({"ls_provider": "google_genai"}, {}, "google_genai"),
        ({"ls_provider": "ollama"}, {}, None),
        ({}, {"_type": "openai-chat"}, "openai"),
        ({}, {}, None),
    ],
    ids=repr,
)
def test_the_rival_integration(metadata: dict[str, Any], options: dict[str, Any], integration: str | None) -> None:
    """The Sentry integration of the provider's client library is named, where there is one."""
    provider = requests.provider(None, metadata, options)
    assert (provider and provider.integration) == integration


# -- what was answered ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "model", "identity", "reasons"),
    [
        pytest.param(
            chat_result(
                AIMessage(
                    "Hi",
                    id="lc_run--1",
                    response_metadata={"model_name": "gpt-4o-mini-2024", "id": "chatcmpl-1", "finish_reason": "stop"},
                )
            ),
            "gpt-4o-mini-2024",
            "chatcmpl-1",
            ("stop",),
            id="OpenAI",
        ),
        pytest.param(
            chat_result(
                AIMessage("Hi", response_metadata={"model": "claude-3", "id": "msg_1", "stop_reason": "end_turn"})
            ),
            "claude-3",
            "msg_1",
            ("end_turn",),
            id="Anthropic",
        ),
        pytest.param(
            chat_result(AIMessage("Hi", response_metadata={"model_id": "nova", "stopReason": "end_turn"})),
            "nova",
            None,
            ("end_turn",),
            id="Bedrock",
        ),
        pytest.param(
            chat_result(AIMessage("Hi", response_metadata={"model": "llama3", "done_reason": "stop"})),
            "llama3",
            None,
            ("stop",),
            id="Ollama",
        ),
        pytest.param(
            chat_result(AIMessage("Hi", id="msg-from-provider")), None, "msg-from-provider", (), id="message id"
        ),
        pytest.param(chat_result(AIMessage("Hi", id="lc_run--1")), None, None, (), id="LangChain's own id"),
        pytest.param(chat_result(AIMessage("Hi", id="run-1")), None, None, (), id="LangChain's older id"),
        pytest.param(
            text_result("Hi", info={"finish_reason": "length"}, llm_output={"model_name": "davinci"}),
            "davinci",
            None,
            ("length",),
            id="completion",
        ),
        pytest.param(
            chat_result(
                AIMessage("a", response_metadata={"finish_reason": "stop"}),
                AIMessage("b", response_metadata={"finish_reason": "length"}),
            ),
            None,
            None,
            ("stop", "length"),
            id="two generations",
        ),
        pytest.param(
            LLMResult(
                generations=[[ChatGeneration(message=AIMessage("a"), generation_info={"finish_reason": "stop"})]]
            ),
            None,
            None,
            ("stop",),
            id="reason in the generation's info",
        ),
        *(
            pytest.param(
                chat_result(
                    AIMessage("Hi", response_metadata={"object": "response", "model": "m", "id": "resp_1", **told})
                ),
                "m",
                "resp_1",
                reasons,
                id=f"OpenAI Responses, {told['status']}",
            )
            for told, reasons in (
                ({"status": "completed", "incomplete_details": None}, ("completed",)),
                (
                    {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
                    ("max_output_tokens",),
                ),
                ({"status": "failed"}, ("failed",)),
                ({"status": "in_progress"}, ()),
            )
        ),
        pytest.param(LLMResult(generations=[]), None, None, (), id="nothing"),
        pytest.param(LLMResult(generations=[[], []]), None, None, (), id="empty"),
    ],
)
def test_the_response(result: LLMResult, model: str | None, identity: str | None, reasons: tuple[str, ...]) -> None:
    """Model, id and finish reasons are found where each provider puts them; what LangChain makes up does not count."""
    response = answers.response(result, OPEN)
    assert (response.model, response.id, response.finish_reasons) == (model, identity, reasons)


def test_the_answer_is_recorded() -> None:
    """Every generation with an answer is recorded, with its own finish reason."""
    result = chat_result(
        AIMessage("Hi", response_metadata={"finish_reason": "stop"}),
        AIMessage("", tool_calls=[{"id": "1", "name": "f", "args": {}}]),
    )
    messages = answers.response(result, OPEN).messages
    assert messages is not None
    assert json.loads(messages) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "Hi"}], "finish_reason": "stop"},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {}}]},
    ]


def test_nothing_of_an_answer_is_kept_without_leave() -> None:
    """With outputs off no message is kept, but model and finish reason are."""
    result = chat_result(AIMessage("Hello", response_metadata={"model_name": "m", "finish_reason": "stop"}))
    response = answers.response(result, Policy(inputs=True, outputs=False))
    assert response.messages is None
    assert "Hello" not in repr(response)
    assert (response.model, response.finish_reasons) == ("m", ("stop",))


@pytest.mark.parametrize(
    "result", [LLMResult(generations=[]), LLMResult(generations=[[]]), chat_result(AIMessage(""))], ids=repr
)
def test_without_an_answer_there_are_no_messages(result: LLMResult) -> None:
    """Where nothing was answered there are no messages, rather than an empty list of them."""
    assert answers.response(result, OPEN).messages is None


def test_an_http_errors_headers_and_body_are_not_recorded() -> None:
    """LangChain puts an HTTP error's headers and body into a stand-in answer: none of it is kept."""
    stand_in = AIMessage(
        "",
        response_metadata={
            "body": '{"error": "the prompt"}',
            "headers": {"authorization": "Bearer abc", "x-request-id": "req"},
            "status_code": 429,
            "request_id": "req",
        },
    )
    response = answers.response(chat_result(stand_in), OPEN)
    for leaked in ("Bearer", "the prompt", "429", "req"):
        assert leaked not in repr(response)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        pytest.param(
            chat_result(AIMessage("Hi", usage_metadata=USED), llm_output={"token_usage": PAID}),
            Usage(3, 4, 7),
            id="the message's goes first",
        ),
        pytest.param(chat_result(AIMessage("Hi"), llm_output={"token_usage": PAID}), Usage(5, 6, 11), id="llm_output"),
        pytest.param(chat_result(AIMessage("Hi"), llm_output={"usage": PAID}), Usage(5, 6, 11), id="llm_output usage"),
        pytest.param(
            chat_result(AIMessage("Hi", response_metadata={"token_usage": PAID})), Usage(5, 6, 11), id="token_usage"
        ),
        pytest.param(
            chat_result(AIMessage("Hi", response_metadata={"usage": PAID})), Usage(5, 6, 11), id="metadata's usage"
        ),
        pytest.param(text_result("Hi", llm_output={"token_usage": PAID}), Usage(5, 6, 11), id="completion"),
        pytest.param(text_result("Hi", info={"token_usage": PAID}), Usage(5, 6, 11), id="completion's info"),
        pytest.param(
            # Google's completion models put LangChain's own shape there.
            text_result("Hi", info={"usage_metadata": USED}),
            Usage(3, 4, 7),
            id="completion's info, Google",
        ),
        pytest.param(
            chat_result(AIMessage("", usage_metadata={"input_tokens": 0, "output_tokens": 0, "total_tokens": 0})),
            Usage(0, 0, 0),
            id="zero is reported",
        ),
        pytest.param(
            chat_result(AIMessage("a", usage_metadata=USED), AIMessage("b", usage_metadata=USED)),
            Usage(3, 4, 7),
            id="n answers to one prompt carry one usage",
        ),
        pytest.param(
            LLMResult(
                generations=[
                    [ChatGeneration(message=AIMessage("a", usage_metadata=USED)) for _ in range(2)],
                    [ChatGeneration(message=AIMessage("b", usage_metadata=USED))],
                ]
            ),
            Usage(6, 8, 14),
            id="two prompts have a usage each",
        ),
        pytest.param(
            text_result("Hi", info={"amazon-bedrock-invocationMetrics": {"inputTokenCount": 5, "outputTokenCount": 6}}),
            Usage(5, 6, 11),
            id="completion's info, Bedrock",
        ),
        pytest.param(
            text_result("Hi", info={"token_count": {"input_tokens": 5.0, "output_tokens": 6.0}}),
            Usage(5, 6, 11),
            id="completion's info, Cohere",
        ),
        pytest.param(
            text_result("Hi", info={"done": True, "prompt_eval_count": 5, "eval_count": 6}),
            Usage(5, 6, 11),
            id="completion's info, Ollama",
        ),
        pytest.param(chat_result(AIMessage("Hi"), llm_output={"token_usage": {}}), None, id="empty"),
        pytest.param(chat_result(AIMessage("Hi")), None, id="none"),
        pytest.param(LLMResult(generations=[]), None, id="no generation"),
    ],
)
def test_the_usage_of_a_result(result: LLMResult, expected: Usage | None) -> None:
    """Usage is found where providers put it, is never summed, and zero is not unknown."""
    assert answers.usage(result) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [({"token_usage": {}}, True), ({"token_usage": PAID}, False), ({"token_usage": None}, False), (None, False)],
    ids=repr,
)
def test_a_prompts_tokens_may_be_counted_with_another_prompt(output: dict[str, Any] | None, expected: bool) -> None:
    """An empty usage is what LangChain leaves with all but the first of several prompts of one request."""
    assert answers.counted_elsewhere(text_result("Hi", llm_output=output)) is expected


def test_the_answers_text() -> None:
    """The text of a result is that of all its generations."""
    several = chat_result(AIMessage("Hel"), AIMessage([{"type": "text", "text": "lo"}]))
    assert answer_texts.answer_text(several) == "Hello"
    assert answer_texts.answer_text(text_result("Hel", "lo")) == "Hello"
    assert answer_texts.answer_text(LLMResult(generations=[])) == ""


# -- chunks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "streamed", "expected"),
    [
        pytest.param("Hi", chunk("Hi"), True, id="text"),
        pytest.param("Hi", None, True, id="text without a chunk"),
        pytest.param(" ", chunk(" "), True, id="a space"),
        pytest.param("Hi", GenerationChunk(text="Hi"), True, id="completion"),
        pytest.param([{"type": "text", "text": "Hi"}], chunk([{"type": "text", "text": "Hi"}]), True, id="block"),
        pytest.param(
            [{"type": "reasoning", "reasoning": "hm"}],
            chunk([{"type": "reasoning", "reasoning": "hm"}]),
            True,
            id="reasoning",
        ),
        pytest.param(
            "",
            chunk(tool_call_chunks=[{"name": "f", "args": "", "id": "1", "index": 0}]),
            True,
            id="tool call",
        ),
        pytest.param("", chunk(additional_kwargs={"reasoning_content": "hm"}), True, id="reasoning content"),
        pytest.param("", chunk(additional_kwargs={"refusal": "No."}), True, id="refusal"),
        pytest.param("", chunk(additional_kwargs={"refusal": None, "parsed": None}), False, id="no refusal"),
        pytest.param("", chunk(), False, id="role"),
        pytest.param("", chunk(additional_kwargs={"reasoning_content": ""}), False, id="no reasoning content"),
        pytest.param("", chunk(chunk_position="last"), False, id="last"),
        pytest.param("", chunk(response_metadata={"finish_reason": "stop"}), False, id="finish"),
        pytest.param("", chunk(usage_metadata=USED), False, id="usage"),
        pytest.param([], chunk([]), False, id="no blocks"),
        pytest.param(
            [{"type": "text", "text": "", "index": 0}],
            chunk([{"type": "text", "text": "", "index": 0}]),
            False,
            id="an empty block",
        ),
        pytest.param("", None, False, id="nothing"),
        pytest.param("", GenerationChunk(text=""), False, id="empty completion"),
    ],
)
def test_which_chunks_have_content(token: object, streamed: object, expected: bool) -> None:
    """Text, reasoning and tool-call data are content; roles, finish reasons, usage and empty blocks are not."""
    assert answer_texts.has_content(token, streamed) is expected


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage("How long is a piece of string?"),
        HumanMessage(""),
        SystemMessage("Be brief."),
        AIMessage("About so long."),
        HumanMessage("Hello", name="ada"),
        AIMessage("", tool_calls=[{"name": "measure", "args": {"what": "string"}, "id": "1"}]),
        ToolMessage("3 m", tool_call_id="1"),
        HumanMessage([{"type": "text", "text": "Hello"}]),
    ],
    ids=lambda message: f"{message.type} {message.text[:8]}",
)
def test_the_estimate_of_a_prompt_is_langchains_but_for_its_characters(message: BaseMessage) -> None:
    """What a message has besides its text counts as LangChain counts it, whichever message it is."""
    text = message.text
    expected = count_tokens_approximately([message, message]) + round(2 * (weight(text) - len(text) / 4))
    assert requests._estimate([message, message], None) == expected


def test_the_approximation_grows_with_the_text() -> None:
    """About a token for five letters."""
    assert 840 <= approximate("x" * 4000) <= 841
    assert approximate("x" * 8000) > approximate("x" * 4000)


# -- LangChain's context ---------------------------------------------------------------------------------------


def test_outside_of_any_run_no_run_encloses() -> None:
    """Where LangChain's context says nothing there is no enclosing run."""
    assert internals.enclosing_run_id() is None


@pytest.mark.parametrize("config", [{}, {"callbacks": None}, {"callbacks": []}], ids=repr)
def test_a_context_without_a_manager_names_no_run(config: RunnableConfig) -> None:
    """A config that holds no callback manager names no run."""
    with set_config_context(config) as context:
        assert context.run(internals.enclosing_run_id) is None


def test_the_enclosing_run_is_the_one_that_the_context_names() -> None:
    """Inside a runnable the run is the one that its config's callbacks belong to."""
    seen: list[UUID | None] = []
    run_id = uuid4()

    def inside(text: str) -> str:
        seen.append(internals.enclosing_run_id())
        return text

    RunnableLambda(inside).invoke("Hello", config={"run_id": run_id, "callbacks": []})
    assert seen == [run_id]
    assert internals.enclosing_run_id() is None
