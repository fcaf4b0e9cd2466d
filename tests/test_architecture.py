"""The rooms keep to themselves: who imports what, read from the source."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentry_langchain_stream

PACKAGE = "sentry_langchain_stream"
ROOT = Path(sentry_langchain_stream.__file__).parent

ROOMS: dict[str, set[str]] = {
    "containment": set(),
    "garbage": set(),
    "tasks": set(),
    "inline": set(),
    "media": set(),
    "usage": set(),
    "privacy": {"containment", "media"},
    "settings": {"privacy"},
    "naming": {"settings"},
    "conventions": {"settings"},
    "room": {"media", "privacy"},
    "blocks": {"media", "room"},
    "content": {"blocks", "privacy", "room"},
    "parameters": {"containment", "privacy", "room", "usage"},
    "events": {"usage"},
    "call": {"containment", "naming", "privacy", "usage"},
    "pricing": {"call", "usage"},
    "record": {"call", "privacy", "usage"},
    "bookkeeping": {"conventions", "privacy", "record"},
    "extract": {"call", "content", "naming", "containment", "parameters", "privacy", "usage"},
    "details": {"blocks", "content", "parameters", "privacy", "record"},
    "attributes": {"call", "containment", "conventions", "record", "settings"},
    "backends": {"call", "containment", "conventions", "garbage", "privacy", "record", "tasks"},
    "watch": {"garbage", "record", "tasks"},
    "spans": {
        "attributes",
        "backends",
        "call",
        "containment",
        "content",
        "conventions",
        "naming",
        "pricing",
        "privacy",
        "record",
        "settings",
        "watch",
    },
    "roots": {"backends", "containment", "naming", "privacy", "record", "settings", "watch"},
    "lifecycle": {
        "backends",
        "bookkeeping",
        "call",
        "containment",
        "garbage",
        "privacy",
        "record",
        "roots",
        "settings",
        "spans",
        "watch",
    },
    "models": {
        "backends",
        "call",
        "containment",
        "content",
        "events",
        "extract",
        "lifecycle",
        "privacy",
        "record",
        "settings",
        "usage",
    },
    "steps": {"bookkeeping", "containment", "details", "lifecycle", "privacy", "record"},
    "generators": {
        "bookkeeping",
        "call",
        "containment",
        "content",
        "lifecycle",
        "naming",
        "privacy",
        "record",
        "settings",
        "usage",
    },
    "handler": {
        "backends",
        "bookkeeping",
        "containment",
        "extract",
        "inline",
        "lifecycle",
        "models",
        "privacy",
        "record",
        "settings",
        "steps",
    },
    "integration": {"backends", "containment", "handler"},
    "__init__": {"generators", "handler", "integration", "privacy"},
    "envelopes": set(),
    "timeline": {"envelopes"},
    "testing": {"envelopes", "timeline"},
    "pytest_plugin": {"testing"},
}
"""A room, which is a file or a folder, and the other rooms that it may import."""

OUTSIDE: dict[str, set[str]] = {
    "backends": {"sentry_sdk"},
    "testing": {"sentry_sdk"},
    "pricing": {"genai_prices"},
    "extract": {"langchain_core"},
    "handler": {"langchain_core"},
    "inline": {"langchain_core"},
    "integration": {"langchain_core", "sentry_sdk"},
    "pytest_plugin": {"pytest"},
}
"""What a room may import besides the standard library; any other room, nothing."""

ALLOWED_BELOW: dict[str, set[str]] = {
    "sentry_sdk": {"backends", "integration", "testing", "cli", "demo", "doctor"},
    "langchain_core": {"handler", "inline", "extract", "integration", "demo", "doctor"},
}
"""A library, and the rooms that may import it."""

FREE = {"cli", "__main__", "demo", "doctor"}
"""Rooms outside of the table."""


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted(ROOT.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def room_of(module: str) -> str:
    """The room that a module stands in."""
    return module.partition(".")[0]


def imports(source: str, module: str) -> Iterator[str]:
    """The absolute dotted names that a module imports, wherever in it, also for typing only.

    Args:
        source: Its source.
        module: Its dotted name below the package, which relative imports start from.
    """
    folder = [PACKAGE, *module.split(".")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base == PACKAGE:
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base


def libraries(source: str, module: str) -> set[str]:
    """What a module imports that is neither its own package nor the standard library."""
    tops = {name.partition(".")[0] for name in imports(source, module)}
    return tops - set(sys.stdlib_module_names) - {PACKAGE}


def neighbours(source: str, module: str) -> set[str]:
    """The modules at the top of its own package that a module imports."""
    return {
        name.split(".")[1] for name in imports(source, module) if name.startswith(f"{PACKAGE}.") and name != PACKAGE
    }


@pytest.mark.parametrize(
    ("line", "module", "found"),
    [
        ("import json", "room", ["json"]),
        ("import json, sentry_sdk.scope as s", "room", ["json", "sentry_sdk.scope"]),
        ("from sentry_sdk.scope import Scope", "room", ["sentry_sdk.scope"]),
        ("from . import naming, usage", "room", [f"{PACKAGE}.naming", f"{PACKAGE}.usage"]),
        ("from .naming import op", "room", [f"{PACKAGE}.naming"]),
        ("from .naming import op", "demo.room", [f"{PACKAGE}.demo.naming"]),
        ("from ..naming import op", "demo.room", [f"{PACKAGE}.naming"]),
        ("from .. import naming", "demo.room", [f"{PACKAGE}.naming"]),
        (f"from {PACKAGE} import naming", "room", [f"{PACKAGE}.naming"]),
        (f"from {PACKAGE}.naming import op", "room", [f"{PACKAGE}.naming"]),
        (f"import {PACKAGE}.naming", "room", [f"{PACKAGE}.naming"]),
        ("def late():\n    import sentry_sdk", "room", ["sentry_sdk"]),
        ("try:\n    import sentry_sdk\nexcept ImportError:\n    pass", "room", ["sentry_sdk"]),
        ("if TYPE_CHECKING:\n    import sentry_sdk", "room", ["sentry_sdk"]),
        ("x = 'import sentry_sdk'", "room", []),
    ],
)
def test_every_way_to_import_is_seen(line: str, module: str, found: list[str]) -> None:
    """The reader sees each spelling of an import, at whatever depth, so that no room can slip through."""
    assert list(imports(line, module)) == found


def test_every_room_is_in_the_table() -> None:
    """Every module has its place, in the table or among those outside of it; and the table has no ghosts."""
    found = {room_of(name) for name in modules()} - FREE
    assert found == set(ROOMS)


def test_the_table_has_no_circles() -> None:
    """Data flows one way: no room can reach itself through what it may import."""
    for room in ROOMS:
        seen: set[str] = set()
        ahead = set(ROOMS[room])
        while ahead:
            seen |= ahead
            ahead = set().union(*(ROOMS[each] for each in ahead)) - seen
        assert room not in seen


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_that_it_may(room: str) -> None:
    """A room imports no other room than the table allows."""
    for name, path in modules().items():
        if room_of(name) == room:
            assert neighbours(path.read_text(encoding="utf-8"), name) - {room} <= ROOMS[room]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_libraries_that_it_may(room: str) -> None:
    """A pure room needs nothing but the standard library, the others the one library that is theirs."""
    for name, path in modules().items():
        if room_of(name) == room:
            assert libraries(path.read_text(encoding="utf-8"), name) <= OUTSIDE.get(room, set())


@pytest.mark.parametrize("library", ALLOWED_BELOW)
def test_a_library_is_imported_only_where_it_belongs(library: str) -> None:
    """`sentry_sdk` and `langchain_core` are each imported by few modules, and by nobody else."""
    rooms = ALLOWED_BELOW[library]
    found = {name for name, path in modules().items() if library in libraries(path.read_text(encoding="utf-8"), name)}
    assert {room_of(name) for name in found} <= rooms
    assert found, "nobody imports it: the reader of imports is broken"
