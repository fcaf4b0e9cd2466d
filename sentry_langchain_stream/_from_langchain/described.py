"""What LangChain says of a model at each call: provider, model, parameters, tier. Read once for calls that agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._runs import parameters
from .._runtime.containment import contain, contained
from .._vocabulary.providers import Provider
from . import requests


class Described(NamedTuple):
    """A model, as its calls describe it."""

    provider: Provider | None
    model: str | None
    parameters: Mapping[str, Any]
    """Request parameters by the names in `parameters.PARAMETERS`. Stop sequences are among them, which are content."""
    tier: str | None = None
    """The service tier that is asked for."""


_MOST = 64
"""So many descriptions are kept."""
_LONGEST = 2_500
"""The most characters of one that is kept, with its names: a text from the application may have any length."""

_IN_OPTIONS = parameters.READ.union(requests.IN_OPTIONS, ("_type",))
_IN_METADATA = parameters.READ.union(requests.IN_METADATA, ("ls_provider",))
_IN_ARGUMENTS = parameters.READ.union(requests.IN_ARGUMENTS)
"""What is read of the options and of the metadata of a call, and of the arguments of the model's constructor."""

_TEXT = frozenset({str})
_PLAIN = frozenset({str, int, float, bool, type(None)})
"""The types that can be compared without the application's code being called."""


class Descriptions:
    """Reads descriptions of models, and keeps them for the next call that says the same."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], Described] = {}

    def of(self, serialized: object, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> Described:
        """Return the description of a model.

        Args:
            serialized: LangChain's description of the model, if there is one.
            metadata: The metadata of the run, including LangChain's `ls_*` entries.
            options: The invocation parameters and call options, merged.
        """
        try:
            key = _key(serialized, metadata, options)
            kept = self._kept.get(key) if key is not None else None
        except Exception as error:
            contain("extract.description", error)
            key = kept = None
        if kept is not None:
            return kept
        found, is_whole = _read(serialized, metadata, options)
        if key is not None and is_whole and _length(key) <= _LONGEST:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[key] = found
        return found


def _key(serialized: object, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """What a description is made of, or `None` if that cannot be compared."""
    described = {} if serialized is None else serialized
    if type(described) is not dict:
        return None
    path, arguments = described.get("id", []), described.get("kwargs", {})
    if type(path) is not list or type(arguments) is not dict or not _TEXT.issuperset(map(type, path)):
        return None
    found: list[Any] = [*path]
    for read, held in ((_IN_OPTIONS, options), (_IN_METADATA, metadata), (_IN_ARGUMENTS, arguments)):
        for name, value in held.items():
            if name in read:
                kind = type(value)
                if kind not in _PLAIN:
                    return None
                found += (name, kind, value)  # 1, 1.0 and True are equal
        found.append(None)
    return tuple(found)


def _length(key: tuple[Any, ...]) -> int:
    return sum(len(each) for each in key if type(each) is str)


def _read(serialized: object, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Described, bool]:
    """Read a description, and whether that succeeded: what cannot be read is left out."""
    provider: Provider | None = None
    model: str | None = None
    arguments: Mapping[str, Any] = {}
    found: Mapping[str, Any] = {}
    tier: str | None = None
    read = 0
    with contained("extract.provider"):
        provider = requests.provider(serialized, metadata, options)
        read += 1
    with contained("extract.model"):
        arguments = requests.arguments(serialized)
        model = requests.model(arguments, metadata, options)
        read += 1
    with contained("extract.parameters"):
        found = parameters.request_parameters((options, metadata, arguments))
        read += 1
    with contained("extract.tier"):
        tier = parameters.asked_tier((options, arguments))
        read += 1
    return Described(provider, model, found, tier), read == 4
