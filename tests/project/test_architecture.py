"""The import rules of `docs/architecture.md`, held against the source."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sentry_langchain_stream
from tests.kit import REPOSITORY

PACKAGE = "sentry_langchain_stream"
ROOT = Path(sentry_langchain_stream.__file__).parent
PAGE = REPOSITORY / "docs" / "architecture.md"

OPTIONAL = {
    "_runs": {"genai_prices"},
    "integration": {"typing_extensions"},
    "tracking": {"typing_extensions"},
}
"""Libraries of the extras, or for types only, and where each may be imported."""

FREE = {"cli", "demo", "doctor", "__main__"}
"""Tools for people: they may use any extra."""

PRIVATE = (
    "sentry_sdk._",
    "sentry_sdk.ai.monitoring",
    "sentry_sdk.consts",
    "sentry_sdk.serializer",
    "sentry_sdk.tracing_utils",
    "sentry_sdk.utils",
    "sentry_sdk.worker",
    "langchain_core.runnables.config",
    "langgraph.pregel",
)
"""Modules of libraries that are not documented for users. Only our modules called `internals` may import them."""

FINER: dict[str, list[set[str]]] = {
    "_content": [
        {"reading", "encoded"},
        {"media", "interpreter_texts", "message_formats", "digests", "block_texts"},
        {"error_texts"},
        {"cutting"},
        {"policy"},
        {"gathered", "labels", "budget"},
        {"lists", "prompts", "plain_messages", "offered_tools", "decisions"},
        {"parts"},
        {"messages"},
    ],
    "_runs": [
        {"usage_shapes", "settings", "environment", "estimates", "kinds", "numbers", "task_watch"},
        {"usage", "run_info", "parameters"},
        {"watches"},
        {"call", "usage_reports", "ending", "places"},
        {"texts_call"},
        {"details", "start", "pricing", "call_facts"},
        {"run"},
        {"attributes", "metrics", "silent_ends", "eviction", "enclosing", "attempts", "prompts", "users", "vetoes"},
        {"known_runs", "totals", "own_agent"},
        {"run_spans", "roots", "tree_ends", "labelling"},
        {"starts"},
        {"live_runs"},
    ],
}
"""The order inside the two largest packages: a module imports those of earlier groups only."""


def rules() -> dict[str, set[str]]:
    """Each package or public module of the table in `docs/architecture.md`, and what it may import."""
    found: dict[str, set[str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 3 and cells[0].startswith("`"):
            for name in re.findall(r"`([\w.]+?)(?:/|\.py)?`", cells[0]):
                found[name] = set(re.findall(r"`(\w+?)/?`", cells[2]))
    return found


RULES = rules()


def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name below the package."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in sorted(ROOT.rglob("*.py"))
        if "__pycache__" not in path.parts
    }


def top(module: str) -> str:
    """The package or public module that a module belongs to."""
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
            if base == PACKAGE or (node.level and node.module is None):
                yield from (f"{base}.{alias.name}" for alias in node.names)
            else:
                yield base


def libraries(source: str, module: str) -> set[str]:
    """What a module imports that is neither its own package nor the standard library."""
    tops = {name.partition(".")[0] for name in imports(source, module)}
    return tops - set(sys.stdlib_module_names) - {PACKAGE}


def siblings(source: str, module: str) -> set[str]:
    """The packages and public modules of its own project that a module imports."""
    found = (name.split(".")[1] for name in imports(source, module) if name.startswith(f"{PACKAGE}."))
    # The package itself exports names, all of which come from public modules.
    return {"__init__" if name in sentry_langchain_stream.__all__ else name for name in found}


@pytest.mark.parametrize(
    ("line", "module", "found"),
    [
        ("import json", "a", ["json"]),
        ("import json, sentry_sdk.scope as s", "a", ["json", "sentry_sdk.scope"]),
        ("from sentry_sdk.scope import Scope", "a", ["sentry_sdk.scope"]),
        ("from . import b, c", "a", [f"{PACKAGE}.b", f"{PACKAGE}.c"]),
        ("from . import b", "pack.a", [f"{PACKAGE}.pack.b"]),
        ("from .b import op", "a", [f"{PACKAGE}.b"]),
        ("from .b import op", "demo.a", [f"{PACKAGE}.demo.b"]),
        ("from ..b import op", "demo.a", [f"{PACKAGE}.b"]),
        ("from .. import b", "demo.a", [f"{PACKAGE}.b"]),
        (f"from {PACKAGE} import b", "a", [f"{PACKAGE}.b"]),
        (f"from {PACKAGE}.b import op", "a", [f"{PACKAGE}.b"]),
        (f"import {PACKAGE}.b", "a", [f"{PACKAGE}.b"]),
        ("def late():\n    import sentry_sdk", "a", ["sentry_sdk"]),
        ("try:\n    import sentry_sdk\nexcept ImportError:\n    pass", "a", ["sentry_sdk"]),
        ("if TYPE_CHECKING:\n    import sentry_sdk", "a", ["sentry_sdk"]),
        ("x = 'import sentry_sdk'", "a", []),
    ],
)
def test_every_spelling_of_an_import_is_read(line: str, module: str, found: list[str]) -> None:
    """The reader sees each spelling of an import, at any depth, so that no module can slip through."""
    assert list(imports(line, module)) == found


def test_every_module_has_a_rule() -> None:
    """Each package and each module at the top is in the table, and the table names nothing that is not there."""
    assert {top(name) for name in modules()} - {"__main__"} == set(RULES)


def test_the_rules_have_no_circle() -> None:
    """No package can reach itself through what it may import."""
    for name in RULES:
        seen: set[str] = set()
        ahead = RULES[name] & set(RULES)
        while ahead:
            seen |= ahead
            ahead = set().union(*(RULES[each] & set(RULES) for each in ahead)) - seen
        assert name not in seen


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_package_imports_only_what_its_rule_allows(name: str) -> None:
    """A package imports no other package of ours, and no library, that its line in the table does not name."""
    for module, path in modules().items():
        if top(module) == name:
            source = path.read_text(encoding="utf-8")
            assert siblings(source, module) - {name} <= RULES[name], module
            if name not in FREE:
                assert libraries(source, module) <= RULES[name] | OPTIONAL.get(name, set()), module


def test_every_module_has_a_line() -> None:
    """Below the heading of its package, each private module has a line that says what it is for."""
    text = PAGE.read_text(encoding="utf-8")
    listed = set()
    for package, lines in re.findall(r"^### (_\w+)$(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^- ((?:`\w+`(?:, | and )?)+): ", lines, re.MULTILINE):
            listed |= {f"{package}.{name}" for name in re.findall(r"`(\w+)`", line)}
    private = {name for name in modules() if name.startswith("_") and not name.startswith("__")}
    there = {name for name in private if not name.endswith("__init__")}
    assert not (missing := sorted(there - listed)), f"say in docs/architecture.md what these are for: {missing}"
    assert not (gone := sorted(listed - there)), f"in docs/architecture.md, but there is no such module: {gone}"


@pytest.mark.parametrize("package", FINER)
def test_a_module_imports_only_earlier_groups_of_its_package(package: str) -> None:
    """Inside the largest packages the order of the modules is kept, and every module has its place in it."""
    groups = FINER[package]
    place = {module: index for index, group in enumerate(groups) for module in group}
    found = {module: path for module, path in modules().items() if top(module) == package}
    assert {module.rpartition(".")[2] for module in found} == {*place, "__init__"}
    for module, path in found.items():
        own = module.rpartition(".")[2]
        for name in imports(path.read_text(encoding="utf-8"), module):
            if own != "__init__" and name.startswith(f"{PACKAGE}.{package}."):
                assert place[name.rpartition(".")[2]] < place[own], (module, name)


def test_private_modules_of_libraries_are_imported_in_one_place() -> None:
    """What a library does not document may be missing tomorrow; the modules called `internals` guard against that."""
    for module, path in modules().items():
        if not module.endswith("internals"):
            found = set(imports(path.read_text(encoding="utf-8"), module))
            assert not [name for name in found if name.startswith(PRIVATE)], module
