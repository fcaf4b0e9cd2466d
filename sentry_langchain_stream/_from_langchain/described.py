"""What LangChain says of a model at each call: provider, model and parameters. It is read once for calls that agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .._runtime.containment import contain, contained
from .._vocabulary.providers import Provider
from . import parameters, requests


class Described(NamedTuple):
    """A model, as its calls describe it."""

    provider: Provider | None
    model: str | None
    parameters: Mapping[str, Any]
    """Request parameters by the names in `parameters.PARAMETERS`. Stop sequences are among them, which are content."""


_MOST = 64
"""So many descriptions are kept."""
_LONGEST = 2_000
"""The most characters of one that is kept: a text from the application may have any length."""

_IN_OPTIONS = parameters.READ.union(requests.IN_OPTIONS, ("_type",))
_IN_METADATA = parameters.READ.union(requests.IN_METADATA, ("ls_provider",))
_IN_ARGUMENTS = parameters.READ.union(requests.IN_ARGUMENTS)
"""What is read of the options and of the metadata of a call, and of the arguments of the model's constructor."""

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
    if type(path) is not list or type(arguments) is not dict:
        return None
    asked, told = tuple(_IN_OPTIONS.intersection(options)), tuple(_IN_METADATA.intersection(metadata))
    given = tuple(_IN_ARGUMENTS.intersection(arguments))
    values = (
        *map(options.__getitem__, asked),
        *map(metadata.__getitem__, told),
        *map(arguments.__getitem__, given),
        *path,
    )
    kinds = tuple(map(type, values))  # 1, 1.0 and True are equal
    return (asked, told, given, kinds, values) if _PLAIN.issuperset(kinds) else None


def _length(key: tuple[Any, ...]) -> int:
    return sum(len(each) for each in key[-1] if type(each) is str)


def _read(serialized: object, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[Described, bool]:
    """Read a description, and whether that succeeded: what cannot be read is left out."""
    provider: Provider | None = None
    model: str | None = None
    arguments: Mapping[str, Any] = {}
    found: Mapping[str, Any] = {}
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
    return Described(provider, model, found), read == 3
