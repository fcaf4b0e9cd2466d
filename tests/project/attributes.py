"""The tables of `docs/attributes.md`, made of the vocabulary: keys from the code, meanings from its docstrings.

`python -m tests.project.attributes` writes them.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise

from sentry_langchain_stream._vocabulary import facts, keys
from sentry_langchain_stream._vocabulary.facts import FACTS
from tests.kit import REPOSITORY
from tests.project.supported import written

PAGE = REPOSITORY / "docs" / "attributes.md"

OTHERS = {
    keys.TAGS: "Your tags, if inputs may be recorded.",
    f"{keys.METADATA}<key>": "[Metadata that you chose](runs.md#tags-and-metadata), if inputs may be recorded.",
    keys.LEFT_OUT: "Number of attributes that the span lost because its transaction was too large.",
}
"""The keys that are no facts."""


def meanings() -> dict[str, str]:
    """The docstring below each fact, by the fact's name."""
    body = ast.parse(inspect.getsource(facts)).body
    found = {}
    for line, below in pairwise(body):
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            found[line.targets[0].id] = " ".join(str(text).split()).removesuffix(".")
    return found


def groups() -> Iterator[tuple[str, list[str]]]:
    """The names of the facts below each comment that begins with two hyphens."""
    for block in re.split(r"^# -- ", inspect.getsource(facts), flags=re.MULTILINE)[1:]:
        title, _, lines = block.partition("\n")
        yield title.strip(), re.findall(r"^([A-Z_]+) = Fact", lines, re.MULTILINE)


def tables() -> str:
    """A heading and a table for each group."""
    told = meanings()
    lines: list[str] = []
    for title, names in groups():
        known = [(FACTS[name], told.get(name, "")) for name in names]
        rows = [(_quoted(fact.keys), _quoted(fact.added), text) for fact, text in known]
        lines += _table(title, rows)
    lines += _table("Yours", [(_quoted((key,)), "", text.removesuffix(".")) for key, text in OTHERS.items()])
    return "\n".join(lines).strip()


def _table(title: str, rows: list[tuple[str, str, str]]) -> list[str]:
    """A table, without the middle column if no row has anything there."""
    both = any(added for _, added, _ in rows)
    head = ['| key | `dialect="ai"` adds | meaning |', "|---|---|---|"] if both else ["| key | meaning |", "|---|---|"]
    body = [f"| {' | '.join(row if both else (row[0], row[2]))} |".replace("|  |", "| |") for row in rows]
    return ["", f"### {title}", "", *head, *body]


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def page() -> str:
    """The page as it should be."""
    return written(PAGE.read_text(encoding="utf-8"), "attributes", f"\n{tables()}\n")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
