"""Which prompt a model is called with: LangChain Hub's and Langfuse's metadata, and the runs of prompts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .._content.prompts import NamedPrompt
from .._content.reading import as_text, field

_HUB, _LANGFUSE, _NAME, _VERSION = "lc_hub_repo", "langfuse_prompt", "prompt_name", "prompt_version"

METADATA_KEYS = frozenset({_HUB, _LANGFUSE, _NAME})
"""The keys of metadata that name a prompt."""


def of_metadata(metadata: Mapping[str, Any]) -> NamedPrompt | None:
    """Return the prompt that a run's metadata names, or `None`.

    The first of these: LangChain Hub's (`lc_hub_owner`, `lc_hub_repo`, `lc_hub_commit_hash`, which `pull` puts on the
    prompt), Langfuse's (`langfuse_prompt`, its client's object), the application's (`prompt_name`, `prompt_version`).
    """
    if METADATA_KEYS.isdisjoint(metadata):
        return None
    repository = as_text(metadata.get(_HUB))
    if repository is not None:
        owner = as_text(metadata.get("lc_hub_owner"))
        name = repository if owner in (None, "-") else f"{owner}/{repository}"
        return NamedPrompt(name=name, version=as_text(metadata.get("lc_hub_commit_hash")))
    theirs = metadata.get(_LANGFUSE)
    name_of_theirs = as_text(field(theirs, "name"))
    if name_of_theirs is not None:
        return NamedPrompt(name=name_of_theirs, version=as_text(field(theirs, "version")))
    own = as_text(metadata.get(_NAME))
    return NamedPrompt(name=own, version=as_text(metadata.get(_VERSION))) if own is not None else None


def of_run(
    name: str | None, metadata: Mapping[str, Any], serialized: object, inputs: object, chosen: Collection[str]
) -> NamedPrompt | None:
    """Return the prompt whose own run starts, or `None` if nothing is known of it.

    Args:
        name: The run's name. If the application gave it, it is the prompt's name where the metadata has none.
        metadata: The run's metadata, with that of the prompt.
        serialized: LangChain's description of the prompt.
        inputs: What the prompt is filled with.
        chosen: The names of the variables to record.
    """
    found = of_metadata(metadata) or NamedPrompt()
    if found.name is None and name is not None and not name.endswith("PromptTemplate"):
        path = field(serialized, "id")
        if not (isinstance(path, list) and path and path[-1] == name):
            found.name = name
    if chosen and isinstance(inputs, Mapping):
        found.variables = {each: inputs[each] for each in chosen if each in inputs}
    return found if found.name is not None or found.variables else None
