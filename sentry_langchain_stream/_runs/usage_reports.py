"""Finds the usage in what a provider answers, or in what the application hands over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._content.reading import as_mapping
from .usage import Usage
from .usage_shapes import tier_in

_NAMES = (
    *("token_usage", "usage", "usage_metadata", "usageMetadata", "tokenUsage", "token_count"),
    "amazon-bedrock-invocationMetrics",
)
"""The keys under which an answer may have its usage. LangChain passes most of them on as they are."""
_ANY_NAME = frozenset(_NAMES)


def reported_in(answer: Mapping[str, Any]) -> Usage | None:
    """Return the usage that a mapping has or is. langchain-litellm passes on LiteLLM's own object."""
    if not _ANY_NAME.isdisjoint(answer):
        for name in _NAMES:
            part = answer.get(name)
            if part is not None and (found := Usage.reported(as_mapping(part))) is not None:
                return found if found.tier is not None else found._replace(tier=tier_in(answer))
    return Usage.reported(answer)


def is_same_report(answer: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two mappings have the same objects where an answer has its usage, and at least one."""
    names = _ANY_NAME.intersection(answer)
    return bool(names) and names == _ANY_NAME.intersection(other) and all(answer[each] is other[each] for each in names)


def reported_by(value: object) -> Usage | None:
    """Return the usage that an object of a client library is, or has: an answer or a chunk."""
    body = as_mapping(value)
    if not isinstance(body, Mapping):
        return None
    inner = (reported_in(part) for name in _AROUND if isinstance(part := body.get(name), Mapping))
    return reported_in(body) or next((found for found in inner if found is not None), None)


_AROUND = ("metadata", "message", "response")
"""The keys under which an event of a stream has what has the usage: Bedrock's, Anthropic's, OpenAI's Responses."""
