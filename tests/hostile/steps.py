"""Counts the steps that a backtracking matcher takes for a regular expression, as Python's takes them."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from typing import Any

parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")


class Matcher:
    """A small matcher for the constructs that the package's patterns use. It counts the characters that it looks at.

    Args:
        pattern: The pattern.
        text: The text.
    """

    def __init__(self, pattern: re.Pattern[str], text: str) -> None:
        self.tree = parser.parse(pattern.pattern, pattern.flags & (re.ASCII | re.IGNORECASE))
        self.flags = pattern.flags
        self.text = text
        self.steps = 0
        self._one: dict[tuple[int, str], bool] = {}
        self._listed: dict[int, list[tuple[str, Any]]] = {}

    def search_all(self) -> int:
        """Look for every match, from left to right. Return the number of steps."""
        at = 0
        while at <= len(self.text):
            end = self.match(at)
            at = at + 1 if end is None or end == at else end
        return self.steps

    def match(self, at: int) -> int | None:
        """Return where a match that starts here ends."""
        return next(self._sequence(self._nodes(self.tree), 0, at), None)

    def fullmatch(self) -> int:
        """Match the whole text. Return the number of steps."""
        any(end == len(self.text) for end in self._sequence(self._nodes(self.tree), 0, 0))
        return self.steps

    def _nodes(self, parsed: Any) -> list[Any]:
        """The nodes of a part of the pattern: the name and what is given. The tree keeps the part alive."""
        found = self._listed.get(id(parsed))
        if found is None:
            found = self._listed[id(parsed)] = [(str(kind), given) for kind, given in parsed]
        return found

    def _sequence(self, nodes: list[Any], index: int, at: int) -> Iterator[int]:
        if index == len(nodes):
            yield at
            return
        for end in self._node(nodes[index], at):
            yield from self._sequence(nodes, index + 1, end)

    def _node(self, node: tuple[str, Any], at: int) -> Iterator[int]:
        kind, given = node
        if kind in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
            self.steps += 1
            if at < len(self.text) and self._is_one(node, self.text[at]):
                yield at + 1
        elif kind == "MAX_REPEAT":
            least, most, inner = given
            yield from self._repeat(self._nodes(inner), least, most, at)
        elif kind == "SUBPATTERN":
            yield from self._sequence(self._nodes(given[-1]), 0, at)
        elif kind == "BRANCH":
            for branch in given[1]:
                yield from self._sequence(self._nodes(branch), 0, at)
        elif kind in ("ASSERT", "ASSERT_NOT"):
            direction, inner = given
            found = direction < 0 and at == 0
            start = at if direction > 0 else at - 1
            found = start >= 0 and next(self._sequence(self._nodes(inner), 0, start), None) is not None
            if found is (kind == "ASSERT"):
                yield at
        elif kind == "AT":
            if "BEGINNING" not in str(given) and at < len(self.text):
                return
            yield at
        else:
            raise NotImplementedError(kind)

    def _repeat(self, inner: list[Any], least: int, most: Any, at: int) -> Iterator[int]:
        if len(inner) == 1 and inner[0][0] in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
            end, count = at, 0
            while count < most and end < len(self.text) and self._is_one(inner[0], self.text[end]):
                self.steps += 1
                end, count = end + 1, count + 1
            while count >= least:
                yield end
                self.steps += 1
                end, count = end - 1, count - 1
            return
        pending = [(at, 0, self._sequence(inner, 0, at))]  # greedy, without recursion
        while pending:
            start, count, ends = pending[-1]
            reached = next(ends, None) if count < most else None
            if reached is not None and reached > start:
                pending.append((reached, count + 1, self._sequence(inner, 0, reached)))
                continue
            pending.pop()
            if count >= least:
                yield start

    def _is_one(self, node: tuple[str, Any], character: str) -> bool:
        key = id(node), character
        found = self._one.get(key)
        if found is None:
            found = self._one[key] = _class(node, self.flags).match(character) is not None
        return found


def _class(node: tuple[str, Any], flags: int) -> re.Pattern[str]:
    kind, given = node
    if kind == "ANY":
        return re.compile(".")
    if kind == "LITERAL":
        return re.compile(re.escape(chr(given)), flags & re.IGNORECASE)
    if kind == "NOT_LITERAL":
        return re.compile(f"[^{re.escape(chr(given))}]")
    parts = ""
    for what, value in given:
        name = str(what)
        if name == "NEGATE":
            parts += "^"
        elif name == "LITERAL":
            parts += re.escape(chr(value))
        elif name == "RANGE":
            parts += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        else:
            parts += {
                "CATEGORY_DIGIT": r"\d",
                "CATEGORY_NOT_DIGIT": r"\D",
                "CATEGORY_WORD": r"\w",
                "CATEGORY_NOT_WORD": r"\W",
                "CATEGORY_SPACE": r"\s",
                "CATEGORY_NOT_SPACE": r"\S",
            }[str(value)]
    return re.compile(f"[{parts}]", flags & (re.IGNORECASE | re.ASCII))
