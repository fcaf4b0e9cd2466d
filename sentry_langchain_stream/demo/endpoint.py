"""An OpenAI-compatible `/v1/chat/completions` with a predefined answer.

```python
with serving(create_endpoint(Answer("Hello there", completion_tokens=2))) as url:
    ChatOpenAI(base_url=f"{url}/v1", api_key="not-needed", stream_usage=True).invoke("Hello?")
```

The wire format follows OpenAI's API reference, "Chat Completions", for streamed and whole answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from sse_starlette import EventSourceResponse

from .serve import Elsewhere


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call in the answer of the model."""

    name: str
    arguments: str = "{}"
    """The arguments as a JSON object, written by the model."""
    id: str = "call_1"


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of the endpoint. It reports the given token numbers, independent of the text."""

    text: str = "Hello there!"
    pieces: tuple[str, ...] | None = None
    """The text of each content chunk. The default is the words of `text`, each with the space before it."""
    prompt_tokens: int = 11
    completion_tokens: int = 3
    cached_tokens: int = 0
    """The number of prompt tokens that came from the cache."""
    reasoning_tokens: int = 0
    """The number of completion tokens that were reasoning."""
    tool_calls: tuple[ToolCall, ...] = ()
    pause: float = 0.0
    """The pause before each chunk except the first, in seconds."""
    gate: Callable[[int], Awaitable[None]] | None = None
    """Awaited before each chunk, with its index, in the event loop of the server. The role chunk has index 0."""
    status: int = 200
    """The HTTP status. If it is 400 or more, the answer is an OpenAI error with this status."""
    cut_after: int | None = None
    """Drop the connection after this many chunks. For streamed answers only."""
    model: str | None = None
    """The model that answers. The default is a dated version of the requested model."""

    @property
    def words(self) -> tuple[str, ...]:
        """The text of each content chunk."""
        return self.pieces if self.pieces is not None else tuple(re.findall(r"\s*\S+|\s+$", self.text))

    @property
    def total_tokens(self) -> int:
        """The sum of prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Received:
    """A request that the endpoint received."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    """The headers, with lower-case names."""


def create_endpoint(answer: Answer | Callable[[dict[str, Any]], Answer]) -> FastAPI:
    """Make the endpoint as an app, to be served with `serving`.

    Args:
        answer: The answer to every request, or a function that returns it for a request's body.

    Returns:
        An app whose `app.state.requests` is the list of `Received`, in order. It acts as another machine, so the Sentry
        client of this process does not trace it.
    """
    app = Elsewhere(title="OpenAI-compatible endpoint")
    received: list[Received] = []
    app.state.requests = received
    logging.getLogger("uvicorn.error").addFilter(_not_a_cut)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        body = await request.json()
        received.append(Received(body, dict(request.headers)))
        chosen = answer(body) if callable(answer) else answer
        if chosen.status >= 400:
            return JSONResponse(_error(chosen.status), chosen.status)
        head = {
            "id": f"chatcmpl-{len(received)}",
            "created": int(time.time()),
            "model": chosen.model or f"{body['model']}-2024-07-18",
        }
        if body.get("stream"):
            options = body.get("stream_options") or {}
            return EventSourceResponse(_events(chosen, head, bool(options.get("include_usage"))), sep="\n")
        return JSONResponse(_completion(chosen, head))

    return app


class _Cut(Exception):
    """Raised to drop the connection. An app has no other way to make the server do that."""


def _not_a_cut(record: logging.LogRecord) -> bool:
    """Keep uvicorn from logging a connection that was dropped on purpose. Sentry would report it as an issue."""
    return not (record.exc_info and isinstance(record.exc_info[1], _Cut))


async def _events(answer: Answer, head: dict[str, Any], include_usage: bool) -> AsyncIterator[dict[str, str]]:
    chunks: list[dict[str, Any]] = [{"choices": [choice]} for choice in _choices(answer)]
    if include_usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks] + [{"choices": [], "usage": _usage(answer)}]
    for index, chunk in enumerate(chunks):
        if index == answer.cut_after:
            raise _Cut
        if index and answer.pause:
            await asyncio.sleep(answer.pause)
        if answer.gate is not None:
            await answer.gate(index)
        yield {"data": json.dumps({**head, "object": "chat.completion.chunk", **chunk})}
    yield {"data": "[DONE]"}


def _choices(answer: Answer) -> Iterator[dict[str, Any]]:
    """Yield the choice of each chunk of a stream. The last chunk has the usage and no choice."""

    def choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}

    yield choice({"role": "assistant", "content": "", "refusal": None})
    if not answer.tool_calls:
        for word in answer.words:
            yield choice({"content": word})
    for index, call in enumerate(answer.tool_calls):
        opened = {"index": index, **_tool_call(call, arguments="")}
        yield choice({"tool_calls": [opened]})
        yield choice({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]})
    yield choice({}, _finish_reason(answer))


def _completion(answer: Answer, head: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.words), "refusal": None}
    if answer.tool_calls:
        message |= {"content": None, "tool_calls": [_tool_call(call, call.arguments) for call in answer.tool_calls]}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(answer)}


def _tool_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.tool_calls else "stop"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "total_tokens": answer.total_tokens,
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens, "audio_tokens": 0},
    }


def _error(status: int) -> dict[str, Any]:
    kinds = {401: ("authentication_error", "invalid_api_key"), 429: ("rate_limit_error", "rate_limit_exceeded")}
    kind, code = kinds.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    message = f"This endpoint is configured to answer {status}."
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
