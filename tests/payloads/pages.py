"""The pages of the book: one YAML file per provider, with the fields of `Page`; its payloads have those of `Payload`.

All numbers are made up, and different enough that no sum is right by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

BOOK = Path(__file__).parent / "book"

KINDS = ("whole", "stream", "tools", "cached", "reasoning", "cut")
"""The payloads that every page has, or says in `missing` why it has not."""

FACTS = {
    "input": "gen_ai.usage.input_tokens",
    "output": "gen_ai.usage.output_tokens",
    "total": "gen_ai.usage.total_tokens",
    "cached": "gen_ai.usage.cache_read.input_tokens",
    "written": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "source": "langchain_stream.usage_source",
    "model": "gen_ai.response.model",
    "id": "gen_ai.response.id",
    "reasons": "gen_ai.response.finish_reasons",
    "outcome": "langchain_stream.outcome",
}
"""What a page expects of a span, by the names that it uses. A name that it leaves out must be absent from the span."""

BY_DEFAULT = {"source": "provider", "outcome": "completed"}


@dataclass(frozen=True)
class Payload:
    """What a provider sends as one answer, and what is expected of its span."""

    kind: str
    sent: Any
    streams: bool
    expect: Mapping[str, Any]
    asked: Literal["invoke", "stream"]
    """How the model is asked."""
    leave: int | None = None
    """After how many chunks the consumer leaves the stream, if it does."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers of the answer that the package reads."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Options of the call."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of the class."""


@dataclass(frozen=True)
class Page:
    """What one class of a provider's package is sent."""

    name: str
    package: str
    chat: str
    """The class, as module and name."""
    arguments: Mapping[str, Any]
    source: Sequence[str]
    transport: Literal["sse", "ndjson", "array", "aws", "aws-chunks"] = "sse"
    replaced: str | None = None
    """The function of `replaced.py` that makes the model, where its arguments are not enough."""
    ways: Sequence[str] = ("sync", "async")
    """The ways in which the class can ask this server."""
    note: str | None = None
    loses: Mapping[str, str] = field(default_factory=dict)
    """The facts that the package does not hand on to LangChain's callbacks, so that no span can have them, and why."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """The kinds that are not here, and why."""
    payloads: Sequence[Payload] = ()

    def __str__(self) -> str:
        return self.name


def _payload(kind: str, raw: dict[str, Any]) -> Payload:
    events = raw.pop("events", None)
    sent = raw.pop("answer") if events is None else events
    asked = raw.pop("asked", "invoke" if events is None else "stream")
    return Payload(kind, sent, events is not None, {**BY_DEFAULT, **raw.pop("expect")}, asked, **raw)


@cache
def pages() -> tuple[Page, ...]:
    """All pages, by name."""
    read = []
    for path in sorted(BOOK.glob("*.yaml")):
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        raw.pop("shared", None)  # anchors
        payloads = [_payload(kind, each) for kind, each in raw.pop("payloads").items()]
        read.append(Page(path.stem, payloads=payloads, **raw))
    return tuple(read)
