"""The name, the version and the variables of the prompt that a model is called with, as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._vocabulary.keys import PROMPT_NAME, PROMPT_VARIABLE, PROMPT_VERSION, bounded
from .._vocabulary.names import LONGEST
from .labels import short
from .policy import Policy
from .reading import str_of


@dataclass(slots=True, kw_only=True, eq=False)
class NamedPrompt:
    """A prompt, as it is known where its run starts or from a model's metadata.

    Args:
        name: Its name.
        version: Its version.
        variables: The variables that the user chose, if it is a prompt's own run.
    """

    name: str | None = None
    version: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)


class FilledPrompt:
    """A prompt that was filled in, for the model call that comes next in the same chain.

    It holds attributes, not the prompt: what may not be recorded is not kept.
    """

    __slots__ = ("attributes", "used")

    def __init__(self, attributes: Mapping[str, str]) -> None:
        self.attributes = attributes
        self.used = False


def prompt_attributes(prompt: NamedPrompt, policy: Policy) -> dict[str, str]:
    """Return the attributes of a prompt. Its variables are among them only if inputs may be recorded."""
    found: dict[str, str] = {}
    if prompt.name:
        found[PROMPT_NAME] = bounded(prompt.name, LONGEST)
    if prompt.version:
        found[PROMPT_VERSION] = bounded(prompt.version, LONGEST)
    if policy.inputs:
        for name, value in prompt.variables.items():
            text = short(str_of(value) or "", policy)
            if text:
                found[PROMPT_VARIABLE + name] = text
    return found
