"""Finds the text and the reasoning in a content block, in any provider's format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .reading import field

_PLACES = (
    *("reasoning", "thinking", "text", "summary", "content"),
    *("reasoningContent", "reasoning_content", "reasoningText"),
)


def texts_in(body: object) -> Iterator[str]:
    """Yield the plain texts of a message's content, which may be a list of blocks."""
    if isinstance(body, str):
        yield body
    elif isinstance(body, (list, tuple)):
        for block in body:
            if isinstance(block, str):
                yield block
            elif isinstance(block, Mapping) and isinstance(block.get("text"), str):
                yield block["text"]


def text_in(block: Mapping[str, Any]) -> str | None:
    """Return the text of a block: its own text, a refusal, the text of a document, or one that Bedrock wraps."""
    if isinstance(text := block.get("text"), str):
        return text
    source = (block["document"] if isinstance(block.get("document"), Mapping) else block).get("source")
    within = source if isinstance(source, Mapping) else {}
    found = [block.get("refusal"), within.get("text")]
    found.append(within.get("data") if within.get("type") == "text" else None)
    found.append(_lines(within.get("content")) if within.get("type") == "content" else None)  # Anthropic
    found.append(field(field(block.get("guardContent"), "text"), "text"))
    found.append("".join(texts_in(field(block.get("citationsContent"), "content"))) or None)
    return next((text for text in found if isinstance(text, str)), None)


def _lines(content: Any) -> str | None:
    return "\n".join(texts_in(content)) or None


def thought_in(value: Any, depth: int = 4) -> str | None:
    """Return the reasoning text. OpenAI sends a summary in pieces, Mistral uses blocks, Bedrock wraps it twice."""
    if isinstance(value, str):
        return value
    if not depth:  # no provider nests it this deep; the value may contain itself
        return None
    if isinstance(value, Mapping):
        return next((found for name in _PLACES if (found := thought_in(value.get(name), depth - 1))), None)
    if isinstance(value, (list, tuple)):
        return "\n".join(found for each in value if (found := thought_in(each, depth - 1)))
    return None
