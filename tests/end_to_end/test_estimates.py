"""Where the provider reports no usage there is an estimate, it says that it is one, and how to do without."""

from __future__ import annotations

import base64
import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.messages.tool import tool_call, tool_call_chunk
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import AzureChatOpenAI, ChatOpenAI
from pydantic import SecretStr

from sentry_langchain_stream import SentryStreamHandler, track_stream, watch_runs
from sentry_langchain_stream.demo.endpoint import Answer, create_endpoint
from sentry_langchain_stream.demo.serve import serving
from sentry_langchain_stream.testing import capture_spans
from tests.kit.replay import replaying
from tests.kit.strategies import in_production
from tests.kit.wire import WAYS, WIRE_SHAPES, ScriptedModel, Way, fake_model

STREAMING = [way for way in WAYS if way.streams]
WHOLE = [way for way in WAYS if not way.streams]
QUESTION = "What does Sentry show of a model that answers piece by piece?"
USAGE: Any = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server that speaks OpenAI's wire format, at Azure's paths too."""
    app = create_endpoint(Answer(text="one two three", completion_tokens=7))

    async def anywhere(scope: Any, receive: Any, send: Any) -> None:
        async def closing(message: Any) -> None:
            # AzureChatOpenAI, unlike ChatOpenAI, makes a client per model, and closes none.
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        if scope["type"] == "http":
            await app({**scope, "path": "/v1/chat/completions"}, receive, closing)
        else:
            await app(scope, receive, send)

    with serving(anywhere) as url:
        yield url


def chat(url: str, **options: Any) -> ChatOpenAI:
    """The real model class, pointed at a server: as always with a base URL, it asks for no usage."""
    return ChatOpenAI(model="gpt-4o-mini", base_url=f"{url}/v1", api_key=SecretStr("none"), **options)


def numbers(span: Any) -> tuple[Any, ...]:
    """Input, output and whose numbers they are."""
    keys = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "langchain_stream.usage_source")
    return tuple(span.attributes.get(key) for key in keys)


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_stream_without_usage(endpoint: str, shape: str, way: Way) -> None:
    """By default the output is the number of chunks, and the input is about what langchain-core counts roughly."""
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chat(endpoint), QUESTION, {"callbacks": [SentryStreamHandler()]})
    rough = count_tokens_approximately([HumanMessage(QUESTION)])
    given, *rest = numbers(captured.find(op="gen_ai.chat"))
    assert rest == [3, "estimate"]
    assert 0.75 * rough <= given <= rough


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_token_counter_is_better(endpoint: str, shape: str, way: Way) -> None:
    """With a `token_counter` both estimates are its own, the output's chunk by chunk."""
    handler = SentryStreamHandler(token_counter=len)
    with capture_spans(**WIRE_SHAPES[shape]) as captured:
        await way.run(chat(endpoint), QUESTION, {"callbacks": [handler]})
    assert numbers(captured.find(op="gen_ai.chat")) == (len(QUESTION), len("one two three"), "estimate")


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_token_counter_may_count_parts_of_a_token(way: Way) -> None:
    """A quarter of a token per character is a usual estimate: the parts of all chunks add up."""
    handler = SentryStreamHandler(token_counter=lambda text: len(text) / 4)
    with capture_spans() as captured:
        await way.run(fake_model("one two three"), QUESTION, {"callbacks": [handler]})
    assert numbers(captured.find(op="gen_ai.chat")) == (-(-len(QUESTION) // 4), 4, "estimate")


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_token_counter_that_counts_nothing_is_none(way: Way) -> None:
    """What is no number of tokens is no zero: prompt and answer are estimated as without a `token_counter`."""
    found = []
    for counter in (None, lambda _: -1):
        with capture_spans() as captured, in_production():
            handler = SentryStreamHandler(token_counter=counter)
            await way.run(fake_model("one two three"), QUESTION, {"callbacks": [handler]})
        found.append(numbers(captured.find(op="gen_ai.chat")))
    assert found[0] == found[1]
    assert None not in found[0]


@pytest.mark.parametrize("sampled", [0.0, 1.0])
def test_the_prompt_is_counted_in_the_request_that_asked(sampled: float) -> None:
    """What a `token_counter` reports of a stream that ends in another request belongs to its own, sampled or not."""

    def counting(text: str) -> int:
        if text == QUESTION:
            sentry_sdk.capture_message("the tokenizer is slow")
        return len(text)

    with capture_spans(traces_sample_rate=sampled) as captured, watch_runs() as runs:
        with sentry_sdk.isolation_scope() as request, sentry_sdk.start_transaction(name="asks"):
            request.set_user({"id": "asks"})
            stream = fake_model("one two").stream(
                QUESTION, {"callbacks": [SentryStreamHandler(token_counter=counting)]}
            )
            next(stream)
        with sentry_sdk.isolation_scope() as request, sentry_sdk.start_transaction(name="reads"):
            request.set_user({"id": "reads"})
            list(stream)
    assert runs.input_tokens == len(QUESTION)
    (event,) = captured.events
    assert (event["transaction"], event["user"]["id"]) == ("asks", "asks")


@pytest.mark.parametrize("way", WHOLE, ids=str)
async def test_a_whole_answer_without_usage(way: Way) -> None:
    """An answer that was not streamed is estimated by its text."""
    with capture_spans() as captured:
        await way.run(fake_model("one two three"), QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert numbers(captured.find(op="gen_ai.chat"))[1:] == (3, "estimate")


@pytest.mark.parametrize("way", STREAMING, ids=str)
async def test_a_stream_that_ended_early(way: Way) -> None:
    """A stream that failed has an estimate, though its provider would have reported at the end."""

    def fail(number: int) -> None:
        if number == 2:
            raise ValueError("the model failed")

    with capture_spans() as captured, pytest.raises(ValueError, match="the model failed"):
        await way.run(ScriptedModel(usage=USAGE, before=fail), QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert numbers(captured.find(op="gen_ai.chat"))[1:] == (2, "estimate")


def azure(url: str, **options: Any) -> AzureChatOpenAI:
    """Azure's class, pointed at the same server."""
    return AzureChatOpenAI(
        azure_endpoint=url, model="gpt-4o-mini", api_key=SecretStr("none"), api_version="2024-10-21", **options
    )


ADVICE = [
    pytest.param(chat, {}, True, id="ChatOpenAI"),
    pytest.param(chat, {"stream_usage": True}, False, id="ChatOpenAI that asks for usage"),
    pytest.param(azure, {"stream_usage": False}, True, id="AzureChatOpenAI"),
    pytest.param(azure, {"stream_usage": True}, False, id="AzureChatOpenAI that asks for usage"),
]


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize(("model", "options", "said"), ADVICE)
async def test_it_is_said_once_how_to_get_the_real_numbers(
    endpoint: str, model: Any, options: dict[str, Any], said: bool, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per process names `stream_usage=True`, where a streamed answer came without usage."""
    handler = SentryStreamHandler()
    with capture_spans(), caplog.at_level(logging.WARNING, "sentry_langchain_stream"):
        for _ in range(3):
            await way.run(model(endpoint, **options), QUESTION, {"callbacks": [handler]})
    assert [record.name for record in caplog.records if "stream_usage=True" in record.getMessage()] == [
        "sentry_langchain_stream"
    ] * said


def event(kind: str, **data: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"type": kind, "sequence_number": 0, **data}


RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5", "output": [], "tools": []}
RESPONSE |= {"status": "in_progress", "parallel_tool_calls": True, "tool_choice": "auto"}
OF_RESPONSES = [
    event("response.created", response=RESPONSE),
    event("response.output_text.delta", item_id="m", output_index=0, content_index=0, delta="one", logprobs=[]),
]
OF_CHAT: dict[str, Any] = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
OF_CHAT["choices"] = [{"index": 0, "delta": {"role": "assistant", "content": "one"}, "finish_reason": None}]

UNHEEDED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "Responses API, cut off": (OF_RESPONSES, {"use_responses_api": True}),
    "Responses API, no usage": (
        [*OF_RESPONSES, event("response.completed", response={**RESPONSE, "status": "completed", "usage": None})],
        {"use_responses_api": True},
    ),
    "chat completions, cut off": ([OF_CHAT], {}),
}


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("case", UNHEEDED)
async def test_nothing_is_said_where_it_would_not_help(case: str, way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """The Responses API need not be asked for usage, and a stream that is cut off has none in any case."""
    events, options = UNHEEDED[case]
    with replaying(events) as server, capture_spans() as captured:
        await way.run(chat(server.url, **options), QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert numbers(captured.find(op="gen_ai.chat"))[1:] == (1, "estimate")
    assert caplog.text == ""


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_nothing_is_said_where_there_is_nothing_to_be_done(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    """Of a model that is not OpenAI's, and of a whole answer, nothing is said."""
    with capture_spans():
        await way.run(fake_model(), QUESTION, {"callbacks": [SentryStreamHandler()]})
    assert caplog.text == ""


CHINESE = "它在离线的时候也能用，所以我每天都带着它。"


@pytest.mark.parametrize("way", STREAMING, ids=str)
@pytest.mark.parametrize("shape", WIRE_SHAPES)
async def test_a_server_that_bundles_is_estimated_by_its_texts(shape: str, way: Way) -> None:
    """Eight chunks of forty words are no eight tokens, and a Chinese character is most of one, in the prompt, too."""
    for piece, low, high in (("word " * 40, 300, 400), (CHINESE, 100, 160)):
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            await way.run(ScriptedModel(pieces=(piece,) * 8), CHINESE, {"callbacks": [SentryStreamHandler()]})
        given, arrived, source = numbers(captured.find(op="gen_ai.chat"))
        assert low <= arrived <= high
        assert 14 <= given <= 24
        assert source == "estimate"


DATA = {"digits": "9301 4127 77 50116", "signs": "[{}, (), {}] != [[]]", "words": "the harbour master"}


@pytest.mark.parametrize("shape", WIRE_SHAPES)
def test_digits_and_signs_weigh_more_than_words(shape: str) -> None:
    """A prompt or an answer of as many characters has more tokens if they are digits or signs."""
    found = {}
    for kind, text in DATA.items():
        with capture_spans(**WIRE_SHAPES[shape]) as captured:
            fake_model(text * 40).invoke(text * 40, {"callbacks": [SentryStreamHandler()]})
        found[kind] = [each / len(text * 40) for each in numbers(captured.find(op="gen_ai.chat"))[:2]]
    for given, arrived in (found["digits"], found["signs"]):
        assert given > 1.7 * found["words"][0]
        assert arrived > 1.7 * found["words"][1]


@pytest.mark.parametrize("way", WAYS)
async def test_arguments_of_a_tool_that_come_at_once_are_more_than_one_token(way: Way) -> None:
    """A provider that sends a whole tool call in one chunk, or as the answer, has sent all its arguments."""
    arguments = {"query": "word " * 100}

    class Calling(ScriptedModel):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            answer = AIMessage("", tool_calls=[tool_call(name="find", args=arguments, id="1")])
            return ChatResult(generations=[ChatGeneration(message=answer)])

        async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return self._generate()

        def _stream(self, *args: Any, **kwargs: Any) -> Any:
            call = tool_call_chunk(name="find", args=json.dumps(arguments), id="1", index=0)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[call]))

        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            for chunk in self._stream():
                yield chunk

    with capture_spans() as captured:
        await way.run(Calling(), "Hi", {"callbacks": [SentryStreamHandler()]})
    given, arrived, source = numbers(captured.find(op="gen_ai.chat"))
    assert 1 <= given <= 10
    assert 100 <= arrived <= 160
    assert source == "estimate"


@pytest.mark.parametrize("text", [QUESTION, "今天维也纳的天气怎么样？" * 40, "{'a': [1, 2.5]}" * 40])
def test_a_prompt_is_estimated_alike_with_and_without_langchain(text: str) -> None:
    """What the handler and `track_stream` estimate of the same prompt is the same, in every script."""
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    with capture_spans() as captured:
        list(fake_model("one two").stream(asked, {"callbacks": [SentryStreamHandler()]}))
        list(track_stream(iter(["one ", "two"]), model="m", messages=asked))
    ours, tracked = captured.find_all(op="gen_ai.chat")
    assert numbers(ours)[0] == numbers(tracked)[0] > len(text) / 5
    assert numbers(ours)[2] == numbers(tracked)[2] == "estimate"


class Odd(BaseMessage):
    """A message that langchain-core does not count."""

    type: str = "odd"


@pytest.mark.parametrize("message", [Odd(content=""), RemoveMessage(id="1")], ids=["odd", "to remove"])
def test_a_message_that_langchain_cannot_count_is_estimated_by_its_text(
    message: BaseMessage, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a message costs no log line, and not the estimate of the prompt that it is in."""
    with capture_spans() as captured:
        for last in (HumanMessage(""), message):
            list(ScriptedModel().stream([HumanMessage(QUESTION), last], {"callbacks": [SentryStreamHandler()]}))
    [alone, beside] = captured.find_all(op="gen_ai.chat")
    assert numbers(beside) == numbers(alone)
    assert numbers(beside)[2] == "estimate"
    assert "failed" not in caplog.text


DATA_OF_A_FILE = random.Random(1).randbytes(300_000)
ENCODED = base64.b64encode(DATA_OF_A_FILE).decode()
IMAGE_OF_ANTHROPIC = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ENCODED}}
MEDIA: dict[str, dict[str, Any]] = {
    "LangChain, image": {"type": "image", "base64": ENCODED, "mime_type": "image/png"},
    "LangChain, audio": {"type": "audio", "base64": ENCODED, "mime_type": "audio/wav"},
    "LangChain, file": {"type": "file", "base64": ENCODED, "mime_type": "application/pdf"},
    "OpenAI, audio": {"type": "input_audio", "input_audio": {"data": ENCODED, "format": "wav"}},
    "OpenAI, file": {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{ENCODED}"}},
    "Anthropic, document": {**IMAGE_OF_ANTHROPIC, "type": "document"},
    "Anthropic, tool": {"type": "tool_result", "tool_use_id": "1", "content": [IMAGE_OF_ANTHROPIC]},
    "Bedrock": {"document": {"format": "pdf", "name": "a", "source": {"bytes": DATA_OF_A_FILE}}},
    "Gemini": {"type": "media", "mime_type": "video/mp4", "data": ENCODED},
}


@pytest.mark.parametrize("block", MEDIA.values(), ids=MEDIA)
def test_the_data_of_media_is_not_counted_as_text(block: dict[str, Any]) -> None:
    """A file in the prompt counts about as much as an image, however large it is and whoever's form it has."""
    message = HumanMessage([{"type": "text", "text": QUESTION}, block])
    with capture_spans() as captured:
        list(ScriptedModel().stream([HumanMessage(QUESTION)], {"callbacks": [SentryStreamHandler()]}))
        list(ScriptedModel().stream([message], {"callbacks": [SentryStreamHandler()]}))
    alone, beside = (numbers(span)[0] for span in captured.find_all(op="gen_ai.chat"))
    images = [HumanMessage([{"type": "image"}] * number) for number in (1, 2)]
    one, two = (count_tokens_approximately([each]) for each in images)  # 85 more, or few in the first versions
    assert two - one - 3 <= beside - alone < 160
    unchanged = message.content[1] == block
    assert unchanged


def test_a_document_that_is_a_text_is_counted_as_text() -> None:
    """What a document holds as text is part of the prompt, and a block of another kind is counted as before."""
    text = "word " * 2_000
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}}
    with capture_spans() as captured:
        list(ScriptedModel().stream([HumanMessage([document])], {"callbacks": [SentryStreamHandler()]}))
    assert len(text) / 5 < numbers(captured.find(op="gen_ai.chat"))[0] < len(text) / 3


ARGUMENTS = json.dumps({"query": "word " * 100})
OLDER = {"role": "assistant", "content": None, "function_call": {"name": "find", "arguments": ARGUMENTS}}
CUT_OFF = {"id": "1", "type": "function", "function": {"name": "find", "arguments": ARGUMENTS[:-1]}}


def completion(message: dict[str, Any]) -> dict[str, Any]:
    """A whole answer of OpenAI's, without usage."""
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini", "choices": [choice]}


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(OLDER, id="function call"),
        pytest.param({"role": "assistant", "content": None, "tool_calls": [CUT_OFF]}, id="arguments that are cut off"),
    ],
)
@pytest.mark.parametrize("way", WHOLE, ids=str)
async def test_the_arguments_of_every_call_are_weighed(message: dict[str, Any], way: Way) -> None:
    """A call in OpenAI's older form, and one whose arguments are no JSON, are estimated like any other."""
    with replaying(completion(message)) as server, capture_spans() as captured:
        await way.run(chat(server.url), "Hi", {"callbacks": [SentryStreamHandler()]})
    given, arrived, source = numbers(captured.find(op="gen_ai.chat"))
    assert 1 <= given <= 10
    assert 100 <= arrived <= 160
    assert source == "estimate"


CYCLE: dict[str, Any] = {}
CYCLE["itself"] = CYCLE


@pytest.mark.parametrize(
    ("message", "low", "high"),
    [
        pytest.param(
            AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(name="find", args=ARGUMENTS)]),
            100,
            160,
            id="chunk",
        ),
        pytest.param(AIMessage("Hi there", tool_calls=[tool_call(name="f", args=CYCLE, id="1")]), 1, 5, id="cycle"),
        pytest.param(
            AIMessage("Hi", tool_calls=[tool_call(name="f", args={"a": {(1, 2): 3}}, id="1")]), 1, 9, id="key"
        ),
    ],
)
def test_the_arguments_of_a_tool_call_are_weighed_once(
    message: AIMessage, low: int, high: int, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer of the class of a chunk has its arguments twice, and arguments that are no JSON cost no estimate."""

    class Whole(ScriptedModel):
        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=message)])

    with capture_spans() as captured:
        Whole().invoke("Hi", {"callbacks": [SentryStreamHandler()]})
    assert low <= numbers(captured.find(op="gen_ai.chat"))[1] <= high
    assert "failed" not in caplog.text


@pytest.mark.parametrize("way", STREAMING, ids=str)
async def test_the_pieces_of_a_function_call_are_chunks(way: Way) -> None:
    """A call in OpenAI's older form is streamed like that of a tool: its name is the first chunk."""
    base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
    pieces: list[dict[str, Any]] = [{"name": "find", "arguments": ""}, {"arguments": ARGUMENTS[:9]}]
    deltas = [{"role": "assistant", "content": None}, *({"function_call": each} for each in pieces)]
    events = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    with replaying([*events, "[DONE]"]) as server, capture_spans() as captured:
        await way.run(chat(server.url), "Hi", {"callbacks": [SentryStreamHandler()]})
    span = captured.find(op="gen_ai.chat")
    assert span.attributes["langchain_stream.chunks"] == 2
    assert span.attributes["gen_ai.response.time_to_first_chunk"] >= 0
    assert 2 <= numbers(span)[1] <= 6


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_the_reasoning_of_the_responses_api_is_chunks_in_every_output_version(version: str) -> None:
    """The first piece of the reasoning is the first chunk, wherever the package puts it."""
    place = {"output_index": 0, "item_id": "rs_1", "summary_index": 0}
    body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "o4-mini", "status": "in_progress"}
    body |= {"output": [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    item = {"type": "reasoning", "id": "rs_1", "summary": []}
    part = {"type": "summary_text", "text": ""}
    events = [
        event("response.created", response=body),
        event("response.output_item.added", output_index=0, item=item),
        event("response.reasoning_summary_part.added", **place, part=part),
        *(event("response.reasoning_summary_text.delta", **place, delta=each) for each in ("I ", "think")),
    ]
    numbered = [(name, {**data, "sequence_number": number}) for number, (name, data) in enumerate(events)]
    with replaying(numbered) as server, capture_spans() as captured:
        model = chat(server.url, use_responses_api=True, output_version=version)
        list(model.stream("Hi", {"callbacks": [SentryStreamHandler()]}))
    assert captured.find(op="gen_ai.chat").attributes["langchain_stream.chunks"] >= 2


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_a_report_of_nothing_is_no_report(way: Way) -> None:
    """Some servers write 0 where they do not count, and a model that answers has read a prompt."""
    nothing = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    found = []
    for usage in (None, nothing):
        with capture_spans() as captured:
            model = ScriptedModel(usage=usage)
            await way.run(model, QUESTION, {"callbacks": [SentryStreamHandler()]})
        found.append(numbers(captured.find(op="gen_ai.chat")))
    assert found[0] == found[1]
    assert found[0][2] == "estimate"
