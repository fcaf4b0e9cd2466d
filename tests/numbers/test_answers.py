"""Models, ids, finish reasons and answers: what providers and their packages really hand over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from pydantic import BaseModel

from tests.kit.absent import needs
from tests.kit.wire import WIRE_SHAPES
from tests.numbers.kit import answered, ask, chat, chunk, details, of, says, tokens

DATED = "gpt-4o-mini-2024-07-18"
USED = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def openai(**options: Any) -> Any:
    return lambda url: of("langchain_openai", "ChatOpenAI")(
        model="gpt-4o-mini", base_url=url, api_key="none", max_retries=0, **options
    )


def choice(index: int, text: str | None = None, reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text} if text else {}, "finish_reason": reason}


def stream(*choices: list[dict[str, Any]], with_usage: list[dict[str, Any]] | None = None) -> list[Any]:
    """A stream of OpenAI's chat completions; the last chunk has the usage, and may repeat choices."""
    last = chunk(None, choices=with_usage or [], usage=USED)
    return [*(chunk(None, choices=each) for each in choices), last, "[DONE]"]


STREAMS = [
    pytest.param(
        {"n": 2},
        stream([choice(0, "a")], [choice(1, "b")], [choice(0, None, "stop")], [choice(1, None, "stop")]),
        "stop",
        id="two answers",
    ),
    pytest.param(
        {"n": 2},
        stream([choice(0, "a")], [choice(1, "b")], [choice(0, None, "stop")], [choice(1, None, "length")]),
        "stop,length",
        id="two answers that end differently",
    ),
    pytest.param(
        {},
        stream([choice(0, "a")], [choice(0, None, "stop")], with_usage=[choice(0, None, "stop")]),
        "stop",
        id="the finish reason with the usage again",
    ),
]


@needs("genai_prices")
@pytest.mark.parametrize(("options", "events", "reason"), STREAMS)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_model_of_a_stream_is_named_once(
    shape: str, options: dict[str, Any], events: list[Any], reason: str
) -> None:
    """LangChain strings together what each chunk repeats: the span has the model once, its cost, and each reason."""
    span = answered(openai(stream_usage=True, **options), events, way="stream", shape=shape, cost=True)
    assert span.attributes["gen_ai.response.model"] == DATED
    assert span.attributes["gen_ai.response.finish_reasons"] == reason
    assert span.attributes["gen_ai.cost.total_tokens"] > 0


def named(text: str, model: str = DATED) -> AIMessageChunk:
    return AIMessageChunk(content=text, response_metadata={"model_name": model})


CUT = {
    "named by each chunk": ([named("one "), named("two "), named("three")], DATED),
    "named by the first": ([named("one "), AIMessageChunk(content="two "), AIMessageChunk(content="three")], DATED),
    "not named yet": ([AIMessageChunk(content="one "), AIMessageChunk(content="two "), named("three")], None),
}


@pytest.mark.parametrize("chain", [False, True], ids=["model", "chain"])
@pytest.mark.parametrize("case", CUT)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_the_model_of_a_stream_that_is_left_is_what_the_chunks_named(shape: str, case: str, chain: bool) -> None:
    """Whoever answered is known from the chunks that arrived, or it is not recorded. A parser reads all of them."""
    chunks, expected = CUT[case]
    model: Any = says(*chunks)
    span = ask(model | StrOutputParser() if chain else model, "left", shape)
    assert span.attributes.get("gen_ai.response.model") == (DATED if chain else expected)
    assert span.attributes["langchain_stream.outcome"] == "abandoned"


@needs("genai_prices")
def test_a_stream_that_is_left_has_a_cost_without_a_named_model() -> None:
    """The cost falls back to the model that was asked."""
    nameless = [{**chunk(text), "model": None} for text in ("a ", "b ", "c")]
    span = answered(openai(), [*nameless, "[DONE]"], way="left", cost=True)
    assert "gen_ai.response.model" not in span.attributes
    assert span.attributes["gen_ai.cost.total_tokens"] > 0


GOOGLE = {
    "models/gemini-2.5-flash": "gemini-2.5-flash",
    "publishers/google/models/gemini-2.5-flash": "gemini-2.5-flash",
    "projects/p/locations/l/publishers/google/models/gemini-2.5-flash": "gemini-2.5-flash",
    "accounts/fireworks/models/llama-v3p1-8b-instruct": "accounts/fireworks/models/llama-v3p1-8b-instruct",
}


@pytest.mark.parametrize("asked", GOOGLE)
def test_the_model_asked_for_has_its_own_name(asked: str) -> None:
    """The name of Google's resource is not the model's. Fireworks's is."""
    span = ask(says(AIMessage("Hello")), call={"model": asked})
    assert span.attributes["gen_ai.request.model"] == span.attributes["ai.model_id"] == GOOGLE[asked]


GEMINI = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
}


@needs("genai_prices")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_geminis_prefix_costs_no_cost() -> None:
    """ChatGoogleGenerativeAI(model="models/...") has a price, also where the answer names no model."""
    span = answered(
        lambda url: of("langchain_google_genai", "ChatGoogleGenerativeAI")(
            model="models/gemini-2.5-flash", base_url=url, api_version="v1beta", api_key="none", max_retries=1
        ),
        GEMINI,
        cost=True,
    )
    assert span.attributes["gen_ai.request.model"] == "gemini-2.5-flash"
    assert span.attributes["gen_ai.cost.total_tokens"] > 0


# langchain-google-vertexai's `_utils.get_generation_info` puts the candidate's reason into every chunk.
REASONS = [
    pytest.param(["FINISH_REASON_UNSPECIFIED", "FINISH_REASON_UNSPECIFIED", "STOP"], "STOP", id="Vertex AI"),
    pytest.param(["FINISH_REASON_UNSPECIFIED", "MAX_TOKENS"], "MAX_TOKENS", id="Vertex AI, cut"),
    pytest.param(["FINISH_REASON_UNSPECIFIED"] * 2, None, id="Vertex AI, none"),
    pytest.param(["STOP", "STOP"], "STOP", id="Gemini"),
    pytest.param(["end_turn"], "end_turn", id="one"),
    pytest.param(["stop", "tool_calls"], "stop,tool_calls", id="two"),
]


@pytest.mark.parametrize(("reasons", "expected"), REASONS)
def test_the_reasons_of_chunks_are_told_apart(reasons: list[str], expected: str | None) -> None:
    """A reason in each chunk is one reason; one that says nothing is none."""
    chunks = [AIMessageChunk(content="a ", response_metadata={"finish_reason": reason}) for reason in reasons]
    span = ask(says(*chunks), "stream")
    assert span.attributes.get("gen_ai.response.finish_reasons") == expected


def test_a_stream_that_is_left_at_an_unspecified_reason_is_an_estimate() -> None:
    """Vertex AI's chunks before the last one have no reason, so what they report is not final."""
    usage: Any = {"input_tokens": 200, "output_tokens": 1, "total_tokens": 201}
    reason = {"finish_reason": "FINISH_REASON_UNSPECIFIED"}
    chunks = [AIMessageChunk(content="a ", response_metadata=reason, usage_metadata=usage)] * 3
    attributes = ask(says(*chunks), "left").attributes
    assert attributes["langchain_stream.usage_source"] == "estimate"
    assert "gen_ai.response.finish_reasons" not in attributes


def test_an_address_is_no_model() -> None:
    """langchain-huggingface names the address of an endpoint as the model that answered."""
    message = AIMessage("Hello", response_metadata={"model_name": "https://example.com/v1"})
    assert ask(says(message)).attributes["gen_ai.response.model"] == "says"


def test_the_reasons_of_vertex_ai_itself() -> None:
    """The same with the package's own reader of Vertex AI's candidates."""
    candidate_type = pytest.importorskip("google.cloud.aiplatform_v1beta1.types").Candidate
    read = pytest.importorskip("langchain_google_vertexai._utils").get_generation_info
    kinds = candidate_type.FinishReason
    infos = [
        read(candidate_type(finish_reason=kind), usage_metadata={})
        for kind in (kinds.FINISH_REASON_UNSPECIFIED, kinds.FINISH_REASON_UNSPECIFIED, kinds.STOP)
    ]
    chunks = [
        AIMessageChunk(content="a ", response_metadata={"finish_reason": each["finish_reason"]}) for each in infos
    ]
    assert ask(says(*chunks), "stream").attributes["gen_ai.response.finish_reasons"] == "STOP"


class Answer(BaseModel):
    """An answer that must have a number."""

    number: int


REFUSED = chat({"prompt_tokens": 400, "completion_tokens": 46, "total_tokens": 446, **{}})
REFUSED["choices"] = [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"number": "x"}'}}
]
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": DATED,
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": '{"number": "x"}', "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 400,
        "output_tokens": 46,
        "total_tokens": 446,
        "input_tokens_details": {"cached_tokens": 100},
        "output_tokens_details": {"reasoning_tokens": 20},
    },
}


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_an_answer_that_its_schema_refuses_was_paid_for(shape: str, api: str) -> None:
    """The HTTP answer is on the exception: what it used, who gave it and why it ended are recorded."""
    make = openai(use_responses_api=api == "responses")
    span = answered(
        lambda url: make(url).with_structured_output(Answer, method="json_schema"),
        REFUSED if api == "chat" else RESPONSE,
        shape=shape,
        fails=(ValueError,),
    )
    assert span.attributes["langchain_stream.outcome"] == "failed"
    assert (tokens(span), span.attributes["langchain_stream.usage_source"]) == ((400, 46, 446), "provider")
    assert span.attributes["gen_ai.response.model"] == DATED
    assert span.attributes["gen_ai.response.id"] == ("cmpl-1" if api == "chat" else "resp_1")
    if api == "responses":
        assert details(span) == (100, None, 20)


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_a_streamed_refusal_is_a_chunk(shape: str) -> None:
    """ChatOpenAI hands over a refusal at the end of the stream, beside the content: it is all that the model said."""
    deltas: list[Any] = [{"role": "assistant", "content": ""}, {"refusal": "I can"}, {"refusal": "not."}]
    pieces = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    options: Any = {"method": "json_schema", "include_raw": True}
    span = answered(
        lambda url: openai(stream_usage=True)(url).with_structured_output(Answer, **options),
        stream(*pieces, [choice(0, None, "stop")]),
        way="stream",
        shape=shape,
        fails=(Exception,),
    )
    assert json.loads(span.attributes["gen_ai.output.messages"])[0]["parts"] == [
        {"type": "text", "content": "I cannot."}
    ]
    assert span.attributes["langchain_stream.chunks"] == 1
    assert span.attributes["gen_ai.response.time_to_first_chunk"] > 0


def test_several_answers_share_the_id_of_the_request() -> None:
    """With n=2, not streamed, the id is in the output of the run."""
    answer = chat(USED)
    answer["choices"] = [{**answer["choices"][0], "index": index} for index in (0, 1)]
    span = answered(openai(n=2), answer)
    assert span.attributes["gen_ai.response.id"] == "cmpl-1"


# -- What the model says -------------------------------------------------------------------------------------------


def event(kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, **data}


def delta(index: int, **data: Any) -> tuple[str, dict[str, Any]]:
    return event("content_block_delta", index=index, delta=data)


# https://docs.anthropic.com/en/docs/build-with-claude/streaming#streaming-request-with-web-search-tool-use
SEARCH = [
    event(
        "message_start",
        message={
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "output_tokens": 1},
        },
    ),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    delta(0, type="text_delta", text="I'll look."),
    event("content_block_stop", index=0),
    event(
        "content_block_start",
        index=1,
        content_block={"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
    ),
    delta(1, type="input_json_delta", partial_json='{"query":'),
    delta(1, type="input_json_delta", partial_json=' "weather Vienna"}'),
    event("content_block_stop", index=1),
    event("content_block_start", index=2, content_block={"type": "text", "text": ""}),
    delta(2, type="text_delta", text="Sunny."),
    event("content_block_stop", index=2),
    event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 30}),
    event("message_stop"),
]


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.filterwarnings("ignore:Received unexpected tool:UserWarning", "ignore:unclosed:ResourceWarning")
def test_a_server_tool_has_its_arguments(version: str) -> None:
    """ChatAnthropic, streamed, leaves a server tool's `input` empty and its arguments in `partial_json`."""
    span = answered(
        lambda url: of("langchain_anthropic", "ChatAnthropic")(
            model="claude-example", base_url=url, api_key="none", output_version=version
        ),
        SEARCH,
        way="stream",
    )
    parts = json.loads(span.attributes["gen_ai.output.messages"])[0]["parts"]
    (call,) = [part for part in parts if part["type"] == "tool_call"]
    assert (call["name"], call["arguments"]) == ("web_search", {"query": "weather Vienna"})


SERVERS_CALL = {"type": "server_tool_call", "id": "s1", "name": "count", "args": {}}
SERVERS_RESULT = {"type": "server_tool_result", "tool_call_id": "s1", "status": "success"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"output": 0}, "0"),
        ({"output": False}, "false"),
        ({"output": {}}, "{}"),
        ({"output": 1}, "1"),
        ({"output": []}, ""),
        ({}, ""),
        ({"output": {}, "extras": {"error": "unavailable"}}, "unavailable"),
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_what_a_server_tool_returns_is_recorded(shape: str, said: dict[str, Any], expected: str) -> None:
    """A result of 0 or False is one. An empty list of blocks is an empty text, as in a tool's message."""
    span = ask(says(AIMessage(content_blocks=[SERVERS_CALL, {**SERVERS_RESULT, **said}])), shape=shape)  # type: ignore[list-item]
    parts = json.loads(span.attributes["gen_ai.output.messages"])[0]["parts"]
    assert [part["result"] for part in parts if part["type"] == "tool_call_response"] == [expected]
