"""A real model whose chunks arrive at known times, and what its span then records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from tests.kit.helpers import Clock
from tests.kit.wire import ScriptedModel

PAUSES = (0.1, 0.4, 0.5, 2.0, 0.25, 0.25)
"""Seconds before each chunk that the endpoint sends: the role, three with text, the finish reason, the usage."""


TIMING = {
    "gen_ai.response.time_to_first_chunk": 0.5,
    "langchain_stream.chunks": 3,
    "langchain_stream.longest_gap": 2.0,
    "langchain_stream.longest_gap_at": 1.0,
    "gen_ai.response.tokens_per_second": 2.0,  # 7 tokens in 3.5 s
    "langchain_stream.decode_rate": 7 * 2 / 3 / 2.5,  # two of three chunks in the 2.5 s after the first
}


class Network(BaseCallbackHandler):
    """Lets time pass before each chunk of a real model: LangChain calls handlers in the order of their list."""

    run_inline = True

    def __init__(self, clock: Clock, pauses: Sequence[float] = PAUSES) -> None:
        self.clock = clock
        self.pauses = list(pauses)

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        if self.pauses:
            self.clock.advance(self.pauses.pop(0))


class Pieces(ScriptedModel):
    """A model that streams these messages."""

    chunks: tuple[AIMessageChunk, ...]

    def _chunk(self, number: int) -> ChatGenerationChunk:
        return ChatGenerationChunk(
            message=self.chunks[number] if number < len(self.chunks) else AIMessageChunk(content="")
        )
