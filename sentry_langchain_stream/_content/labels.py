"""The user's tags and metadata as attributes, and the conversation id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice
from typing import Any
from uuid import UUID

from .._vocabulary.keys import METADATA, TAGS
from .policy import Policy
from .reading import str_of

CONVERSATION = ("conversation_id", "session_id", "thread_id")
"""The keys of metadata under which the id of the conversation is looked for, in this order."""


def conversation_id(metadata: Mapping[str, Any]) -> str | None:
    """Return the id of the conversation that a run belongs to, hashed unless it is opaque already.

    A slash in the id breaks Sentry's page, and an email address or a name is personal data. The same id always gives
    the same hash.
    """
    for name in CONVERSATION:
        if name in metadata and (found := _id(metadata[name])):
            return found if _OPAQUE.match(found) else hashlib.sha256(found.encode("utf-8", "replace")).hexdigest()[:32]
    return None


def user_labels(
    tags: Sequence[str], metadata: Mapping[str, Any], keys: Collection[str], policy: Policy
) -> dict[str, str | list[str]]:
    """Return the user's tags and selected metadata as attributes, if inputs may be recorded: at most 64 keys.

    Args:
        tags: The run's tags, including LangChain's own.
        metadata: The run's metadata.
        keys: The keys of the metadata to record.
        policy: What may be recorded.
    """
    if not policy.inputs:
        return {}
    found: dict[str, str | list[str]] = {}
    kept = [text for text in (short(tag, policy) for tag in own_tags(tags)) if text]
    if kept:
        found[TAGS] = kept
    for key in islice((each for each in keys if each in metadata), _MOST_KEYS):
        if text := short(str_of(metadata[key]) or "", policy):
            found[METADATA + key] = text
    return found


def user_id(metadata: Mapping[str, Any], key: str, redact: Callable[[str], str] | None) -> str | None:
    """Return the id of the user that the metadata has under the key that the user of this package chose.

    Args:
        metadata: The run's metadata.
        key: The key.
        redact: Called with the id.
    """
    text = _id(metadata.get(key))
    return short(text, Policy(redact=redact)) if text else None


def _id(value: object) -> str | None:
    """Return an id in the user's metadata as text, or `None` if the value is not one."""
    kind = type(value)  # `isinstance` would ask the value for its class, and that may raise
    return str_of(value) if issubclass(kind, (str, int, UUID)) and kind is not bool else None


def own_tags(tags: Sequence[Any]) -> list[str]:
    """Return the user's tags, at most 20, without LangChain's own."""
    return [tag for tag in tags if isinstance(tag, str) and not _OWN_TAG.match(tag)][:_MOST_TAGS]


def short(text: str, policy: Policy) -> str | None:
    """Return a text as it may be recorded, cut to 200 characters, or `None` if `redact` failed."""
    kept = policy.text(text)
    return kept if kept is None or len(kept) <= _LONGEST_LABEL else f"{kept[: _LONGEST_LABEL - 3]}..."


_OWN_TAG = re.compile(
    r"(seq:step|graph:step|map:key|retry:attempt|langsmith):|condition:\d+\Z|branch:(\d+|default)\Z|nostream\Z"
)


_OPAQUE = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")


_MOST_TAGS = 20


_MOST_KEYS = 64


_LONGEST_LABEL = 200
