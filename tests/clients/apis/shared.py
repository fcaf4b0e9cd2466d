"""What the APIs share: the question, the answer, and the row of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.replay import Answer

QUESTION = "What does a span show?"
SYSTEM = "Be brief."
PIECES = ("A span ", "shows ", "durations.")
THOUGHT = "Durations, I think."
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
