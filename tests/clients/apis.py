"""Six streaming APIs: what each sends, and how a user asks it with the client library and with LangChain's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.replay import Answer, aws_events, json_lines

QUESTION = "What does a span show?"
SYSTEM = "Be brief."
PIECES = ("A span ", "shows ", "time.")
THOUGHT = "Time, I think."
ARGUMENTS = {"city": "Vienna"}
ARGUMENTS_SENT = ('{"city": ', '"Vienna"}')
KINDS = ("text", "tool", "thought")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DESCRIPTION = "The weather of a city."


def library(name: str) -> Any:
    """A client library, or LangChain's package for it, that may not be installed."""
    return pytest.importorskip(name)


@dataclass(frozen=True)
class Api:
    """A row of the table.

    `same` are the arguments of `track_stream` that a user copies from the request.
    """

    id: str
    answer: Callable[[str], Answer]
    """What the server sends: a text, a tool call, or a text after some reasoning."""
    stream: Callable[[str, Mapping[str, Any]], Any]
    """A stream of the client library, from the server's address and the tools."""
    astream: Callable[[str, Mapping[str, Any]], Any] | None
    """What the async client returns: an async stream or an awaitable of one."""
    langchain: Callable[[str], Any]
    tools: Any
    same: Mapping[str, Any]
    leave_after: int
    """The number of chunks with which the second piece of text has arrived."""
    better: Sequence[str] = ()
    """Attributes that LangChain's class does not hand on, but the client library does."""
    better_left: Sequence[str] = ()
    """The same for a stream that the consumer leaves."""
    assumed: Sequence[str] = ()
    """What no chunk says, and the handler assumes of LangChain's class."""
    kinds: Sequence[str] = KINDS

    def __str__(self) -> str:
        return self.id


USAGE = ("input_tokens", "output_tokens", "total_tokens")
ALL_USAGE = (
    *(f"gen_ai.usage.{name}" for name in USAGE),
    *("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_creation.input_tokens"),
    *("ai.total_tokens", "ai.total_tokens.used", "gen_ai.usage.reasoning.output_tokens"),
)
MESSAGES = [{"role": "user", "content": QUESTION}]
WITH_SYSTEM = [{"role": "system", "content": SYSTEM}, *MESSAGES]
FUNCTION = {"name": "get_weather", "description": DESCRIPTION, "parameters": SCHEMA}


# -- OpenAI's chat completions -------------------------------------------------------------------------------------


def _chat(kind: str) -> Answer:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
        return {**base, "choices": choices, "usage": None}

    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024-07-18"}
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    more = [{"index": 0, "function": {"arguments": each}} for each in ARGUMENTS_SENT]
    deltas: dict[str, list[dict[str, Any]]] = {
        "text": [{"content": piece} for piece in PIECES],
        "tool": [{"tool_calls": [each]} for each in (call, *more)],
    }
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 9,
        "total_tokens": 29,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
    }
    return [
        chunk({"role": "assistant", "content": "" if kind == "text" else None}),
        *map(chunk, deltas[kind]),
        chunk({}, "stop" if kind == "text" else "tool_calls"),
        {**base, "choices": [], "usage": usage},
        "[DONE]",
    ]


def _chat_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": "gpt-4o-mini",
        "messages": WITH_SYSTEM,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.3,
        "max_tokens": 99,
        "stop": ["END"],
        **tools,
    }


def _openai(url: str, kind: str = "OpenAI") -> Any:
    return getattr(library("openai"), kind)(base_url=f"{url}/v1", api_key="none", max_retries=0)


CHAT = Api(
    "openai-chat",
    _chat,
    lambda url, tools: _openai(url).chat.completions.create(**_chat_request(tools)),
    lambda url, tools: _openai(url, "AsyncOpenAI").chat.completions.create(**_chat_request(tools)),
    lambda url: library("langchain_openai").ChatOpenAI(
        model="gpt-4o-mini",
        base_url=f"{url}/v1",
        api_key="none",
        max_retries=0,
        stream_usage=True,
        temperature=0.3,
        max_tokens=99,
        stop=["END"],
    ),
    [{"type": "function", "function": FUNCTION}],
    {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "messages": WITH_SYSTEM,
        "parameters": _chat_request({}),
    },
    leave_after=3,
    better=("gen_ai.response.id",),
    better_left=("gen_ai.response.model",),
    kinds=("text", "tool"),
)


# -- OpenAI's Responses --------------------------------------------------------------------------------------------


def _responses(kind: str) -> Answer:
    def event(name: str, /, **fields: Any) -> tuple[str, dict[str, Any]]:
        numbers.append(0)
        return name, {"type": name, "sequence_number": len(numbers), **fields}

    def response(status: str, **fields: Any) -> dict[str, Any]:
        body = {"id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-4o-mini-2024-07-18"}
        rest = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "output": []}
        return {**body, **rest, "status": status, **fields}

    numbers: list[int] = []
    place = {"output_index": 0, "item_id": "item_1"}
    text = "".join(PIECES)
    events = [event("response.created", response=response("in_progress"))]
    output: dict[str, Any]
    if kind == "text":
        output = {"type": "message", "id": "item_1", "role": "assistant", "status": "completed"}
        part = {"type": "output_text", "text": text, "annotations": []}
        events += [
            event("response.output_item.added", output_index=0, item={**output, "content": []}),
            event("response.content_part.added", **place, content_index=0, part={**part, "text": ""}),
            *(event("response.output_text.delta", **place, content_index=0, delta=p, logprobs=[]) for p in PIECES),
            event("response.output_text.done", **place, content_index=0, text=text, logprobs=[]),
        ]
        output = {**output, "content": [part]}
    else:
        output = {"type": "function_call", "id": "item_1", "call_id": "call_1", "name": "get_weather"}
        arguments = "".join(ARGUMENTS_SENT)
        events += [
            event("response.output_item.added", output_index=0, item={**output, "arguments": ""}),
            *(event("response.function_call_arguments.delta", **place, delta=each) for each in ARGUMENTS_SENT),
            event("response.function_call_arguments.done", **place, name="get_weather", arguments=arguments),
        ]
        output = {**output, "arguments": arguments, "status": "completed"}
    usage = {
        "input_tokens": 20,
        "output_tokens": 9,
        "total_tokens": 29,
        "input_tokens_details": {"cached_tokens": 8},
        "output_tokens_details": {"reasoning_tokens": 4},
    }
    return [
        *events,
        event("response.output_item.done", output_index=0, item=output),
        event("response.completed", response=response("completed", output=[output], usage=usage)),
    ]


def _responses_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": "gpt-4o-mini",
        "input": WITH_SYSTEM,
        "stream": True,
        "temperature": 0.3,
        "max_output_tokens": 99,
        **tools,
    }


RESPONSES = Api(
    "openai-responses",
    _responses,
    lambda url, tools: _openai(url).responses.create(**_responses_request(tools)),
    lambda url, tools: _openai(url, "AsyncOpenAI").responses.create(**_responses_request(tools)),
    lambda url: library("langchain_openai").ChatOpenAI(
        model="gpt-4o-mini",
        base_url=f"{url}/v1",
        api_key="none",
        max_retries=0,
        use_responses_api=True,
        temperature=0.3,
        max_tokens=99,
    ),
    [{"type": "function", **FUNCTION}],
    {
        "model": "gpt-4o-mini",
        "provider": "openai",
        "messages": WITH_SYSTEM,
        "parameters": _responses_request({}),
    },
    leave_after=5,
    better_left=("gen_ai.response.model",),
    kinds=("text", "tool"),
)


# -- Anthropic -----------------------------------------------------------------------------------------------------


def _anthropic(kind: str) -> Answer:
    def event(name: str, /, **fields: Any) -> tuple[str, dict[str, Any]]:
        return name, {"type": name, **fields}

    def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[Any]:
        return [
            event("content_block_start", index=index, content_block=start),
            *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
            event("content_block_stop", index=index),
        ]

    text = block(0, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in PIECES))
    call = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}
    blocks = {
        "text": text,
        "tool": block(0, call, *({"type": "input_json_delta", "partial_json": each} for each in ARGUMENTS_SENT)),
        "thought": [
            *block(
                0,
                {"type": "thinking", "thinking": "", "signature": ""},
                {"type": "thinking_delta", "thinking": THOUGHT},
            ),
            *block(1, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in PIECES)),
        ],
    }
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-example-20260101",
    }
    usage = {"input_tokens": 12, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0}
    end = {"stop_reason": "tool_use" if kind == "tool" else "end_turn", "stop_sequence": None}
    return [
        event("message_start", message={**message, "stop_reason": None, "usage": {**usage, "output_tokens": 1}}),
        *blocks[kind],
        event("message_delta", delta=end, usage={**usage, "output_tokens": 9}),
        event("message_stop"),
    ]


def _anthropic_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "model": "claude-example",
        "system": SYSTEM,
        "messages": MESSAGES,
        "stream": True,
        "max_tokens": 99,
        "stop_sequences": ["END"],
        **tools,
    }


def _anthropic_client(url: str, kind: str = "Anthropic") -> Any:
    return getattr(library("anthropic"), kind)(base_url=url, api_key="none", max_retries=0)


ANTHROPIC = Api(
    "anthropic",
    _anthropic,
    lambda url, tools: _anthropic_client(url).messages.create(**_anthropic_request(tools)),
    lambda url, tools: _anthropic_client(url, "AsyncAnthropic").messages.create(**_anthropic_request(tools)),
    lambda url: library("langchain_anthropic").ChatAnthropic(
        model="claude-example", base_url=url, api_key="none", max_retries=0, max_tokens=99, stop=["END"]
    ),
    [{"name": "get_weather", "description": DESCRIPTION, "input_schema": SCHEMA}],
    {
        "model": "claude-example",
        "provider": "anthropic",
        "messages": MESSAGES,
        "system": SYSTEM,
        "parameters": _anthropic_request({}),
    },
    leave_after=4,
    better=("gen_ai.response.id",),
    better_left=ALL_USAGE,  # the prompt's tokens are in the first event
)


# -- Gemini --------------------------------------------------------------------------------------------------------


def _gemini(kind: str) -> Answer:
    def chunk(part: dict[str, Any], tokens: int, reason: str | None = None) -> dict[str, Any]:
        candidate = {"content": {"role": "model", "parts": [part]}, "index": 0}
        usage = {"promptTokenCount": 20, "candidatesTokenCount": tokens, "totalTokenCount": 24 + tokens}
        return {
            "candidates": [{**candidate, "finishReason": reason} if reason else candidate],
            "usageMetadata": {**usage, "thoughtsTokenCount": 4, "cachedContentTokenCount": 8},
            "modelVersion": "gemini-2.5-flash-001",
            "responseId": "resp-1",
        }

    *first, last = PIECES
    texts = [*(chunk({"text": piece}, 1) for piece in first), chunk({"text": last}, 5, "STOP")]
    call = {"functionCall": {"name": "get_weather", "args": ARGUMENTS, "id": "call_1"}}
    return {
        "text": texts,
        "tool": [chunk(call, 5, "STOP")],
        "thought": [chunk({"text": THOUGHT, "thought": True}, 0), *texts],
    }[kind]


_GEMINI_CONFIG = {"system_instruction": SYSTEM, "max_output_tokens": 99, "temperature": 0.3, "stop_sequences": ["END"]}


def _gemini_request(tools: Mapping[str, Any]) -> dict[str, Any]:
    return {"model": "gemini-2.5-flash", "contents": QUESTION, "config": {**_GEMINI_CONFIG, **tools}}


def _gemini_client(url: str) -> Any:
    options = library("google.genai").types.HttpOptions(base_url=url, api_version="v1beta")
    return library("google.genai").Client(api_key="none", http_options=options)


def _gemini_stream(url: str, tools: Mapping[str, Any]) -> Any:
    client = _gemini_client(url)
    yield from client.models.generate_content_stream(**_gemini_request(tools))


async def _gemini_astream(url: str, tools: Mapping[str, Any]) -> Any:
    client = _gemini_client(url)
    async for chunk in await client.aio.models.generate_content_stream(**_gemini_request(tools)):
        yield chunk
    await client.aio.aclose()


GEMINI = Api(
    "gemini",
    _gemini,
    _gemini_stream,
    _gemini_astream,
    lambda url: library("langchain_google_genai").ChatGoogleGenerativeAI(
        model="gemini-2.5-flash",
        base_url=url,
        api_version="v1beta",
        api_key="none",
        max_retries=1,
        max_output_tokens=99,
        temperature=0.3,
        stop=["END"],
    ),
    [{"function_declarations": [{"name": "get_weather", "description": DESCRIPTION, "parameters": SCHEMA}]}],
    {
        "model": "gemini-2.5-flash",
        "provider": "google_genai",
        "messages": QUESTION,
        "system": SYSTEM,
        "parameters": _gemini_request({}),
    },
    leave_after=2,
    better=("gen_ai.response.id",),
    better_left=("gen_ai.response.model",),
)


# -- Bedrock's Converse --------------------------------------------------------------------------------------------


def _bedrock(kind: str) -> Answer:
    def deltas(index: int, *bodies: dict[str, Any]) -> list[dict[str, Any]]:
        events = [{"contentBlockDelta": {"contentBlockIndex": index, "delta": body}} for body in bodies]
        return [*events, {"contentBlockStop": {"contentBlockIndex": index}}]

    tool = {"toolUse": {"toolUseId": "call_1", "name": "get_weather"}}
    blocks = {
        "text": deltas(0, *({"text": piece} for piece in PIECES)),
        "tool": [
            {"contentBlockStart": {"contentBlockIndex": 0, "start": tool}},
            *deltas(0, *({"toolUse": {"input": each}} for each in ARGUMENTS_SENT)),
        ],
        "thought": [
            *deltas(0, {"reasoningContent": {"text": THOUGHT}}),
            *deltas(1, *({"text": piece} for piece in PIECES)),
        ],
    }
    usage = {"inputTokens": 12, "outputTokens": 9, "totalTokens": 29, "cacheReadInputTokens": 8}
    return aws_events(
        {"messageStart": {"role": "assistant"}},
        *blocks[kind],
        {"messageStop": {"stopReason": "tool_use" if kind == "tool" else "end_turn"}},
        {"metadata": {"usage": {**usage, "cacheWriteInputTokens": 0}, "metrics": {"latencyMs": 1}}},
    )


_BEDROCK_MODEL = "anthropic.claude-3-5-haiku-20241022-v1:0"
_BEDROCK_MESSAGES = [{"role": "user", "content": [{"text": QUESTION}]}]
_BEDROCK_CONFIG = {"inferenceConfig": {"maxTokens": 99, "temperature": 0.3, "stopSequences": ["END"]}}


def _bedrock_stream(url: str, tools: Mapping[str, Any]) -> Any:
    client = library("boto3").client(
        "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    request = {
        "modelId": _BEDROCK_MODEL,
        "messages": _BEDROCK_MESSAGES,
        "system": [{"text": SYSTEM}],
        **_BEDROCK_CONFIG,
    }
    offered = {"toolConfig": tools["tools"]} if tools else {}
    return client.converse_stream(**request, **offered)["stream"]


BEDROCK = Api(
    "bedrock",
    _bedrock,
    _bedrock_stream,
    None,
    lambda url: library("langchain_aws").ChatBedrockConverse(
        model=_BEDROCK_MODEL,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",
        max_tokens=99,
        temperature=0.3,
        stop=["END"],
    ),
    {"tools": [{"toolSpec": {"name": "get_weather", "description": DESCRIPTION, "inputSchema": {"json": SCHEMA}}}]},
    {
        "model": _BEDROCK_MODEL,
        "messages": _BEDROCK_MESSAGES,
        "system": [{"text": SYSTEM}],
        "parameters": _BEDROCK_CONFIG,
    },
    leave_after=3,
    assumed=("gen_ai.response.model",),
)


# -- Ollama --------------------------------------------------------------------------------------------------------


def _ollama(kind: str) -> Answer:
    def chunk(message: dict[str, Any], **more: Any) -> dict[str, Any]:
        base = {"model": "llama3.2", "created_at": "2026-01-01T00:00:00Z", "done": False}
        return {**base, "message": {"role": "assistant", "content": "", **message}, **more}

    texts = [chunk({"content": piece}) for piece in PIECES]
    call = {"function": {"name": "get_weather", "arguments": ARGUMENTS}}
    chunks = {
        "text": texts,
        "tool": [chunk({"tool_calls": [call]})],
        "thought": [chunk({"thinking": THOUGHT}), *texts],
    }
    counts = {"prompt_eval_count": 20, "eval_count": 9, "total_duration": 5, "eval_duration": 4}
    return json_lines(*chunks[kind], chunk({}, **{"done": True, "done_reason": "stop", **counts}))


_OLLAMA_OPTIONS = {"temperature": 0.3, "stop": ["END"]}


def _ollama_stream(url: str, tools: Mapping[str, Any], client: str = "Client") -> Any:
    options: dict[str, Any] = {"stream": True, "think": True, "options": {**_OLLAMA_OPTIONS, "num_predict": 99}}
    return getattr(library("ollama"), client)(host=url).chat(model="llama3.2", messages=WITH_SYSTEM, **options, **tools)


OLLAMA = Api(
    "ollama",
    _ollama,
    _ollama_stream,
    lambda url, tools: _ollama_stream(url, tools, "AsyncClient"),
    lambda url: library("langchain_ollama").ChatOllama(
        model="llama3.2", base_url=url, temperature=0.3, num_predict=99, stop=["END"], reasoning=True
    ),
    [{"type": "function", "function": FUNCTION}],
    {
        "model": "llama3.2",
        "messages": WITH_SYSTEM,
        "parameters": {"options": _OLLAMA_OPTIONS},
    },
    leave_after=2,
    better_left=("gen_ai.response.model",),
)

APIS = (CHAT, RESPONSES, ANTHROPIC, GEMINI, BEDROCK, OLLAMA)
