"""The chunks themselves: as objects and as mappings, what is content, and what is the user's own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from sentry_langchain_stream import track_stream
from sentry_langchain_stream._content.policy import NOTHING, Policy
from sentry_langchain_stream._from_clients import answer
from sentry_langchain_stream.testing import CapturedSpan, capture_spans
from tests.clients.apis import APIS
from tests.clients.apis.openai_chat import CHAT
from tests.clients.apis.openai_responses import RESPONSES
from tests.clients.apis.shared import ARGUMENTS, PIECES, QUESTION, SYSTEM, THOUGHT, Api, library
from tests.kit.replay import replaying
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, content_allowed

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

CASES = [pytest.param(api, kind, id=f"{api}-{kind}") for api in APIS for kind in api.kinds]


def span_of(items: Any, allowed: bool = True, shape: str = BOTH_MODELS[0], **options: Any) -> CapturedSpan:
    """Our span of a stream that is read to its end."""
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(allowed)) as captured:
        for _ in track_stream(items, **{"model": "m", **options}):
            pass
    return ours(captured)


def ours(captured: Any) -> CapturedSpan:
    """Our span, beside those of Sentry's integrations."""
    [span] = [each for each in captured.find_all(op="gen_ai.chat") if "langchain_stream.outcome" in each.attributes]
    found: CapturedSpan = span
    return found


def chunks_of(api: Api, kind: str) -> list[Any]:
    """The chunks that the client library makes of an answer."""
    with replaying(api.answer(kind)) as server:
        return list(api.stream(server.url, {}))


def as_sent(chunk: Any) -> Any:
    """A chunk as the mapping that came over the wire, for users who read the events themselves."""
    if isinstance(chunk, dict):
        return chunk
    by_alias = type(chunk).__module__.startswith("google")
    return chunk.model_dump(mode="json", by_alias=by_alias, exclude_none=by_alias)


def answer_of(span: CapturedSpan) -> list[dict[str, Any]]:
    """The parts of the answer that was recorded."""
    [message] = json.loads(span.attributes["gen_ai.output.messages"])
    parts: list[dict[str, Any]] = message["parts"]
    return parts


@pytest.mark.parametrize(("api", "kind"), CASES)
def test_mappings_are_read_like_objects(api: Api, kind: str) -> None:
    """The events as mappings give the same attributes as the client library's objects."""
    timed = ("first_chunk", "tokens_per_second", "decode_rate", "longest_gap", "final_silence", "thread", "sentry.")
    objects = chunks_of(api, kind)
    both = [span_of(items).attributes for items in (objects, [as_sent(chunk) for chunk in objects])]
    told = [{key: value for key, value in each.items() if not any(name in key for name in timed)} for each in both]
    assert told[0] == told[1]
    assert told[0]["langchain_stream.usage_source"] == "provider"


@pytest.mark.parametrize("shape", BOTH_MODELS)
@pytest.mark.parametrize(("api", "kind"), CASES)
def test_no_content_without_leave(api: Api, kind: str, shape: str) -> None:
    """Without leave to record content, nothing of an answer is in the span, and all numbers are."""
    span = span_of(chunks_of(api, kind), allowed=False, shape=shape, **api.same)
    told = json.dumps(span.attributes)
    assert not [each for each in (*PIECES, *ARGUMENTS.values(), THOUGHT, QUESTION, SYSTEM) if each.strip() in told]
    assert span.attributes["gen_ai.usage.input_tokens"] == 20
    assert span.attributes["langchain_stream.chunks"] >= 1
    assert span.attributes["gen_ai.response.finish_reasons"]


@pytest.mark.parametrize(("api", "kind"), CASES)
def test_redact_gets_every_text(api: Api, kind: str) -> None:
    """Text, reasoning and arguments that were streamed in pieces pass `redact` as wholes."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return "REDACTED"

    told = json.dumps(span_of(chunks_of(api, kind), redact=redact, **api.same).attributes)
    whole = {"text": "".join(PIECES), "tool": "Vienna", "thought": THOUGHT}[kind]
    assert whole in seen
    assert whole not in told
    assert "REDACTED" in told


@pytest.mark.parametrize("api", APIS, ids=str)
def test_a_text_function_is_the_users_word(api: Api) -> None:
    """With `text`, what it returns is the answer that is recorded; the provider's numbers are read all the same."""
    span = span_of(chunks_of(api, "text"), text=lambda _: "x", **api.same)
    assert set(answer_of(span)[0]["content"]) == {"x"}
    assert [each["type"] for each in answer_of(span)] == ["text"]
    assert span.attributes["gen_ai.usage.total_tokens"] == 29


@dataclass
class Chunk:
    """A chunk of the application's own."""

    choices: list[str] = field(default_factory=lambda: ["mine"])
    model: str = "mine"
    type: str = "message_delta"
    delta: str = "mine"
    candidates: list[str] = field(default_factory=lambda: ["mine"])
    done: bool = True
    message: str = "mine"
    created_at: str = "now"
    usage: dict[str, int] = field(default_factory=lambda: {"input_tokens": 1_000, "output_tokens": 1_000})

    def __str__(self) -> str:
        return "mine"


class Hostile:
    """An object whose every attribute raises."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)

    def __str__(self) -> str:
        return "mine"


LOOKALIKES = [
    pytest.param(Chunk(), id="object"),
    pytest.param(Hostile(), id="hostile"),
    pytest.param(SimpleNamespace(type="response.output_text.delta", delta="x"), id="type of OpenAI's"),
    pytest.param({"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": 1_000}}, id="choices"),
    pytest.param({"type": "response.output_text.delta", "delta": "x"}, id="Responses without a number"),
    pytest.param({"type": "message_delta", "delta": "x", "usage": {"output_tokens": 1_000}}, id="delta as text"),
    pytest.param({"type": "message_start", "usage": {"input_tokens": 1_000}}, id="start without a message"),
    pytest.param({"candidates": ["Ann", "Bob"], "usage_metadata": {"prompt_token_count": 1_000}}, id="candidates"),
    pytest.param({"metadata": {"usage": {"inputTokens": 1_000}}}, id="metadata"),
    pytest.param({"contentBlockDelta": "x"}, id="contentBlockDelta"),
    pytest.param(
        {"model": "m", "done": True, "message": {"content": "x"}, "prompt_eval_count": 1_000},
        id="Ollama without a time",
    ),
    pytest.param(("message_start", {"message": {}}), id="pair"),
    pytest.param(b"data: {}", id="bytes"),
    pytest.param(7, id="number"),
]


@pytest.mark.parametrize("item", LOOKALIKES)
def test_an_item_of_the_users_own_is_never_misread(item: Any) -> None:
    """An item that only resembles a provider's chunk is text, and counts as a token, whatever it has in it."""
    span = span_of([item, item])
    assert span.attributes["gen_ai.usage.output_tokens"] == 2
    assert span.attributes["langchain_stream.usage_source"] == "estimate"
    assert answer_of(span)[0]["content"] == str(item) * 2
    assert not {"gen_ai.response.model", "gen_ai.provider.name", "gen_ai.usage.input_tokens"} & span.attributes.keys()


def test_texts_beside_the_chunks_are_the_users() -> None:
    """A generator may yield texts of its own before and between the chunks: they count, each as one."""
    span = span_of(["One moment. ", *chunks_of(CHAT, "text"), " Bye."])
    assert span.attributes["langchain_stream.chunks"] == 2 + len(PIECES)
    assert span.attributes["gen_ai.usage.output_tokens"] == 9


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_leaving_the_block_closes_the_clients_connection(way: str) -> None:
    """A stream of `openai` that is left in the middle has closed its response, which its iterator alone does not."""
    with replaying(CHAT.answer("text")) as server, capture_spans():
        if way == "sync":
            raw = CHAT.stream(server.url, {})
            with track_stream(raw, model="m") as stream:
                next(stream)
        else:
            assert CHAT.astream is not None
            raw = await CHAT.astream(server.url, {})
            async with track_stream(raw, model="m") as astream:
                await anext(astream)
        assert raw.response.is_closed


def test_two_answers_to_one_request() -> None:
    """With n=2 each answer is a message of its own, with its reason."""

    def chunk(number: int, text: str | None, reason: str | None, **delta: Any) -> dict[str, Any]:
        choices = [{"index": number, "delta": {"content": text, **delta}, "finish_reason": reason}]
        return {"object": "chat.completion.chunk", "id": "c", "model": "m", "choices": choices}

    call = {"index": 0, "id": "c1", "function": {"name": "look", "arguments": "{}"}}
    span = span_of(
        [
            chunk(0, "A", None),
            chunk(1, "B", None),
            chunk(1, None, "tool_calls", tool_calls=[call]),
            chunk(0, "A", "stop"),
        ]
    )
    messages = json.loads(span.attributes["gen_ai.output.messages"])
    assert [(each["parts"][0]["content"], each["finish_reason"]) for each in messages] == [
        ("AA", "stop"),
        ("B", "tool_calls"),
    ]
    assert [len(each["parts"]) for each in messages] == [1, 2]
    assert span.attributes["gen_ai.response.finish_reasons"] == "stop,tool_calls"


@pytest.mark.parametrize("prompt", [9_000, 0], ids=["repeated", "increments"])
def test_reports_with_every_chunk(prompt: int) -> None:
    """Servers with OpenAI's protocol that report with each chunk, from the start or what was added, are both right."""

    def chunk(input: int, output: int) -> dict[str, Any]:
        choices = [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]
        usage = {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}
        return {"object": "chat.completion.chunk", "choices": choices, "usage": usage}

    span = span_of([chunk(9_000, 1), chunk(prompt, 2 if prompt else 1), chunk(prompt, 3 if prompt else 1)])
    assert [span.attributes[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output")] == [9_000, 3]


ONE = ("c1", "weather", {"city": "Rome"})
CALLS: dict[str, tuple[list[tuple[str | None, str | None, str]], list[tuple[str, str, Any]]]] = {
    "one after the other": (
        [("c1", "weather", '{"city": '), (None, None, '"Rome"}'), ("c2", "time", "{"), ("c2", None, "}")],
        [ONE, ("c2", "time", {})],
    ),
    "in turns": (
        [("c1", "weather", '{"city": '), ("c2", "time", "{"), ("c1", None, '"Rome"}'), ("c2", None, "}")],
        [ONE, ("c2", "time", {})],
    ),
    "an id made up for each piece": (
        [("c1", "weather", ""), ("x2", None, '{"city": '), ("x3", None, '"Rome"}')],
        [ONE],
    ),
}


@pytest.mark.parametrize("case", CALLS)
def test_calls_that_have_the_same_number_are_told_apart_by_their_ids(case: str) -> None:
    """Some servers with OpenAI's protocol number all calls 0: another id is another call, if it comes with a name."""
    pieces, expected = CALLS[case]

    def chunk(id: str | None, name: str | None, arguments: str) -> dict[str, Any]:
        call = {"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}
        choices = [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]
        return {"object": "chat.completion.chunk", "id": "r", "model": "m", "choices": choices}

    span = span_of([chunk(*each) for each in pieces])
    assert [(each["id"], each["name"], each["arguments"]) for each in answer_of(span)] == expected


@pytest.mark.parametrize("first", [{"index": 0}, {}], ids=["numbered", "without a 0, as in REST"])
def test_geminis_answers_are_told_apart_by_their_numbers(first: dict[str, int]) -> None:
    """The answers of a chunk may stand in any order."""

    def candidate(text: str, **number: int) -> dict[str, Any]:
        return {"content": {"parts": [{"text": text}], "role": "model"}, **number}

    chunks = [{"candidates": [candidate("second", index=1), candidate("first", **first)]}]
    messages = json.loads(span_of(chunks).attributes["gen_ai.output.messages"])
    assert [each["parts"][0]["content"] for each in messages] == ["first", "second"]


def test_the_tokens_of_geminis_turns_add_up() -> None:
    """When Google's client asks again for a function that it has called, both answers are billed."""

    def chunk(id: str, text: str, asked: int, answered: int) -> dict[str, Any]:
        used = {"promptTokenCount": asked, "candidatesTokenCount": answered, "totalTokenCount": asked + answered}
        said = {"content": {"parts": [{"text": text}], "role": "model"}}
        return {"candidates": [said], "responseId": id, "usageMetadata": used}

    turns = [chunk("1", "a", 20, 2), chunk("1", "b", 20, 5), chunk("2", "c", 40, 3), chunk("2", "d", 40, 9)]
    told = span_of(turns).attributes
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (60, 14)
    assert told["langchain_stream.usage_source"] == "provider"


def test_a_failure_that_is_an_event() -> None:
    """A response that fails in the middle of a stream of OpenAI's Responses is a failed call, though nothing raises."""
    *before, _ = chunks_of(RESPONSES, "text")
    failed = {
        "type": "response.failed",
        "sequence_number": 99,
        "response": {"id": "resp_1", "model": "m", "status": "failed", "error": {"code": "server_error"}},
    }
    span = span_of([*before, failed])
    assert span.attributes["langchain_stream.outcome"] == "failed"
    assert span.attributes["gen_ai.response.finish_reasons"] == "failed"


def test_an_error_that_is_an_event() -> None:
    """A stream of OpenAI's Responses that ends with an `error` is a failed call, with what had arrived."""
    *before, _ = chunks_of(RESPONSES, "text")
    span = span_of([*before, {"type": "error", "sequence_number": 99, "code": "server_error", "message": "no"}])
    assert span.attributes["langchain_stream.outcome"] == "failed"
    assert answer_of(span) == [{"type": "text", "content": "".join(PIECES)}]


def test_a_cancelled_response_has_the_providers_usage() -> None:
    """A response that is cancelled on OpenAI's side ends with its usage, which is the provider's."""
    *before, _ = chunks_of(RESPONSES, "text")
    used = {"input_tokens": 20, "output_tokens": 2, "total_tokens": 22}
    response = {"id": "resp_1", "model": "m", "status": "cancelled", "usage": used}
    span = span_of([*before, {"type": "response.cancelled", "sequence_number": 99, "response": response}])
    assert [span.attributes[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output", "total")] == [20, 2, 22]
    assert span.attributes["langchain_stream.usage_source"] == "provider"
    assert span.attributes["gen_ai.response.finish_reasons"] == "cancelled"


@pytest.mark.parametrize("end", [{"output_tokens": 5}, {"input_tokens": None, "output_tokens": 5}], ids=str)
def test_the_prompts_tokens_are_those_of_the_start(end: dict[str, Any]) -> None:
    """Where the last event of Anthropic's does not count the prompt, the number of the first event stays."""
    start = {"id": "m1", "model": "claude", "usage": {"input_tokens": 3, "output_tokens": 1}}
    delta = {"type": "text_delta", "text": "So."}
    span = span_of(
        [
            {"type": "message_start", "message": start},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": end},
        ]
    )
    assert [span.attributes[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output")] == [3, 5]


def test_the_events_of_openais_helper_are_counted_once() -> None:
    """`client.chat.completions.stream` sends each chunk, and events that repeat it."""
    with replaying(CHAT.answer("text")) as server, capture_spans(**content_allowed(True)) as captured:
        client = library("openai").OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
        request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": QUESTION}]}
        with client.chat.completions.stream(**request) as stream:
            for _ in track_stream(stream, model="gpt-4o-mini"):
                pass
    span = ours(captured)
    assert span.attributes["langchain_stream.chunks"] == len(PIECES)
    assert answer_of(span) == [{"type": "text", "content": "".join(PIECES)}]


def test_the_events_of_anthropics_helper_are_counted_once() -> None:
    """`client.messages.stream` sends each event, and events that repeat it."""
    api = next(each for each in APIS if each.id == "anthropic")
    with replaying(api.answer("thought")) as server, capture_spans(**content_allowed(True)) as captured:
        client = library("anthropic").Anthropic(base_url=server.url, api_key="none", max_retries=0)
        request: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": QUESTION}]}
        with client.messages.stream(**request) as stream:
            for _ in track_stream(stream, model="m"):
                pass
    span = ours(captured)
    assert span.attributes["langchain_stream.chunks"] == 1 + len(PIECES)
    assert [each["content"] for each in answer_of(span)] == [THOUGHT, "".join(PIECES)]
    assert span.attributes["gen_ai.usage.total_tokens"] == 29


def test_a_providers_own_tool_and_citations() -> None:
    """Anthropic's server tools are recorded in their place, with the query that was streamed; texts keep citations."""

    def event(type: str, **fields: Any) -> dict[str, Any]:
        return {"type": type, **fields}

    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "text", "text": "found"}]}
    cited = {"type": "citations_delta", "citation": {"url": "https://example.com/a", "title": "A", "cited_text": "q"}}
    span = span_of(
        [
            event("message_start", message={"id": "m1", "model": "claude", "usage": {"input_tokens": 3}}),
            event("content_block_start", index=0, content_block=search),
            event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"query": "q"}'}),
            event("content_block_start", index=1, content_block=result),
            event("content_block_start", index=2, content_block={"type": "text", "text": ""}),
            event("content_block_delta", index=2, delta={"type": "text_delta", "text": "So."}),
            event("content_block_delta", index=2, delta=cited),
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
        ]
    )
    assert [span.attributes[f"gen_ai.usage.{name}_tokens"] for name in ("input", "output")] == [3, 5]
    assert answer_of(span) == [
        {"type": "tool_call", "id": "s1", "name": "web_search", "arguments": {"query": "q"}},
        {"type": "tool_call_response", "id": "s1", "result": "found"},
        {
            "type": "text",
            "content": "So.",
            "citations": [{"title": "A", "url": "https://example.com/a", "cited_text": "q"}],
        },
    ]


@pytest.mark.usefixtures("lenient")
def test_a_chunk_that_cannot_be_read_costs_its_own_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that fails loses what the chunk said; the stream and the span go on."""
    from sentry_langchain_stream._from_clients import openai_chat, readers

    def broken(item: object, answer: object) -> None:
        raise LookupError("ours")

    monkeypatch.setattr(readers, "READERS", (readers.Reader(openai_chat.recognises, broken),))
    chunks = chunks_of(CHAT, "text")
    with capture_spans(**content_allowed(True)) as captured:
        assert list(track_stream(iter(chunks), model="m")) == chunks
    assert ours(captured).attributes["langchain_stream.outcome"] == "completed"


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure.ai.openai"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("openai.example.com", None),
        ("notapi.openai.com.example.com", None),
        ("127.0.0.1", None),
    ],
)
def test_the_host_makes_the_provider_certain(host: str, provider: str | None) -> None:
    """Without `provider`, the host that a client's stream comes from decides, if it is one of a provider's."""
    openai = library("openai")

    class Stream(list[Any]):
        response = openai.OpenAI(api_key="none")._client.build_request("POST", f"https://{host}/v1")

    class Answered(Stream):
        response = type("Response", (), {"url": Stream.response.url})()

    assert span_of(Answered(["x"])).attributes.get("gen_ai.provider.name") == provider


async def test_the_given_provider_counts() -> None:
    """A provider that the application names stays, whatever the host of the awaited response is."""
    openai = library("openai")

    class Stream:
        response = openai.OpenAI(api_key="none")._client.build_request("POST", "https://api.openai.com/v1")

        async def __aiter__(self) -> AsyncIterator[str]:
            yield "x"

    async def request() -> Stream:
        return Stream()

    async def told(**options: Any) -> Any:
        with capture_spans() as captured:
            async for _ in track_stream(request(), model="m", **options):
                pass
        return ours(captured).attributes["gen_ai.provider.name"]

    assert await told() == "openai"
    assert await told(provider="azure") == "azure.ai.openai"


@pytest.mark.parametrize(("given", "told"), [({}, "ollama"), ({"provider": "groq"}, "groq")], ids=str)
def test_the_given_provider_counts_more_than_the_chunks(given: dict[str, Any], told: str) -> None:
    """Chunks of Ollama's show the provider, unless the application names another one, as a server of its protocol."""
    chunk = {"model": "m", "created_at": "now", "done": False, "message": {"content": "x"}}
    assert span_of([chunk], **given).attributes["gen_ai.provider.name"] == told


def text_of_choice(number: int, text: str) -> dict[str, Any]:
    """A chunk of OpenAI's chat with a piece of one of several answers."""
    choices = [{"index": number, "delta": {"content": text}, "finish_reason": None}]
    return {"object": "chat.completion.chunk", "id": "c", "model": "m", "choices": choices}


def delta_of_block(number: int, **delta: Any) -> dict[str, Any]:
    """An event of Anthropic's with a piece of one of several blocks."""
    return {"type": "content_block_delta", "index": number, "delta": delta}


def test_the_blocks_of_an_answer_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer in very many blocks the first ones are recorded, whole, and every chunk counts."""
    monkeypatch.setattr(answer, "_MOST_PARTS", 2)
    numbers = (0, 1, 2, 3, 1)
    span = span_of([delta_of_block(number, type="text_delta", text=f"{number}") for number in numbers])
    assert [each["content"] for each in answer_of(span)] == ["0", "11"]
    assert span.attributes["langchain_stream.chunks"] == 5


def test_the_answers_to_a_request_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many answers to a request as many are recorded as are allowed."""
    monkeypatch.setattr(answer, "_MOST_PARTS", 2)
    span = span_of([text_of_choice(number, f"{number}") for number in range(9)])
    assert len(json.loads(span.attributes["gen_ai.output.messages"])) == 2


def test_the_citations_of_a_text_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a text with very many citations the first ones are recorded."""
    monkeypatch.setattr(answer, "_MOST_PARTS", 2)
    cited = [delta_of_block(0, type="citations_delta", citation={"title": f"{number}"}) for number in range(9)]
    (part,) = answer_of(span_of([delta_of_block(0, type="text_delta", text="So."), *cited]))
    assert [each["title"] for each in part["citations"]] == ["0", "1"]


@pytest.mark.parametrize("outputs", [True, False])
def test_the_numbers_of_calls_are_bounded(outputs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many tool calls no more numbers are kept than are allowed, whether or not the answer is recorded."""
    monkeypatch.setattr(answer, "_MOST_PARTS", 2)
    made = answer.Answer(Policy(outputs=outputs))
    assert [made.numbered_call(number, f"c{number}", "look") for number in (0, 1, 2, 1)] == [
        (0, 0),
        (1, 0),
        (2, 0),
        (1, 0),
    ]
    assert len(made._numbered) == 2


def test_the_ids_of_calls_with_one_number_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many tool calls that all have the number 0, no more are told apart than are allowed."""
    monkeypatch.setattr(answer, "_MOST_PARTS", 2)
    made = answer.Answer(NOTHING)
    found = [made.numbered_call(0, f"c{number}", "look") for number in (0, 1, 2, 0)]
    assert found == [(0, 0), (0, 1), (0, 1), (0, 0)]
    assert [len(each.ids) for each in made._numbered.values()] == [2]


def chat(**delta: Any) -> dict[str, Any]:
    """A chunk of OpenAI's chat."""
    choices = [{"index": 0, "delta": delta, "finish_reason": None}]
    return {"object": "chat.completion.chunk", "id": "c", "model": "m", "choices": choices}


def event(type: str, **fields: Any) -> dict[str, Any]:
    """An event of OpenAI's Responses."""
    return {"type": f"response.{type}", "sequence_number": 1, "output_index": 0, **fields}


def generated(**fields: Any) -> dict[str, Any]:
    """A chunk of Ollama's generate API."""
    return {"model": "m", "created_at": "now", "done": False, "response": "", **fields}


PARTS: dict[str, tuple[list[Any], list[dict[str, Any]]]] = {
    "the transcript of audio": (
        [chat(audio={"id": "a1", "transcript": "A "}), chat(audio={"transcript": "span."})],
        [{"type": "text", "content": "A span."}],
    ),
    "the older function_call": (
        [chat(function_call={"name": "look", "arguments": '{"city": '}), chat(function_call={"arguments": '"Rome"}'})],
        [{"type": "tool_call", "name": "look", "arguments": {"city": "Rome"}}],
    ),
    "the text of reasoning": (
        [event("reasoning_text.delta", content_index=0, delta=each) for each in ("Well, ", "so.")],
        [{"type": "reasoning", "content": "Well, so."}],
    ),
    "a custom tool": (
        [event("output_item.done", item={"type": "custom_tool_call", "call_id": "c1", "name": "run", "input": "ls"})],
        [{"type": "tool_call", "id": "c1", "name": "run", "arguments": {"__arg1": "ls"}}],
    ),
    "what Ollama thinks": (
        [generated(thinking="Well, "), generated(thinking="so."), generated(response="Hi")],
        [{"type": "reasoning", "content": "Well, so."}, {"type": "text", "content": "Hi"}],
    ),
}


@pytest.mark.parametrize("case", PARTS)
def test_the_parts_that_chunks_bring(case: str) -> None:
    """Pieces of each kind become one part of the answer, as a whole."""
    chunks, expected = PARTS[case]
    found = [{key: value for key, value in part.items() if value is not None} for part in answer_of(span_of(chunks))]
    assert found == expected


def test_a_package_whose_name_begins_the_same_is_another_one() -> None:
    """A class of the application's package `openai_gateway` is not one of `openai`, whatever it is called."""

    class ChatCompletionChunk:
        choices = ()
        usage: Mapping[str, int] = {"prompt_tokens": 1_000}

        def __str__(self) -> str:
            return "mine"

    ChatCompletionChunk.__module__ = "openai_gateway"
    span = span_of([ChatCompletionChunk()])
    assert answer_of(span) == [{"type": "text", "content": "mine"}]
    assert span.attributes["langchain_stream.usage_source"] == "estimate"


@pytest.mark.parametrize("asked", [False, True])
def test_groqs_own_report_of_the_usage_is_read(asked: bool) -> None:
    """Groq reports the usage beside OpenAI's place for it unless that is asked for, and then in both."""
    usage = {"prompt_tokens": 120, "completion_tokens": 34, "total_tokens": 154}
    base = {"object": "chat.completion.chunk", "model": "m"}
    chunks: list[Any] = [
        {**base, "choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "x_groq": {"usage": usage}},
    ]
    if asked:
        chunks.append({**base, "choices": [], "usage": usage})
    attributes = span_of(chunks).attributes
    keys = ("input_tokens", "output_tokens", "total_tokens")
    assert [attributes[f"gen_ai.usage.{key}"] for key in keys] == [120, 34, 154]
    assert attributes["langchain_stream.usage_source"] == "provider"
