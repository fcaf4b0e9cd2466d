"""Ollama's chat API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.clients.apis.shared import ARGUMENTS, FUNCTION, PIECES, THOUGHT, WITH_SYSTEM, Api, library
from tests.kit.replay import Answer, json_lines


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
