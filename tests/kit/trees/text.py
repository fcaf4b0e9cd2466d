"""Trees as text: put siblings that run at the same time into one order, and leave all others in theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from textwrap import indent

TOGETHER = " &"
"""Ends the line of a span that runs at the same time as its neighbours whose lines end so too."""


@dataclass
class Node:
    """A line of a tree, and what is indented below it."""

    line: str
    below: list[Node] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([self.line.removesuffix(TOGETHER), *(indent(str(node), "  ") for node in self.below)])


def parse(tree: str) -> list[Node]:
    """The roots of an indented tree."""
    top = Node("")
    path = [top]
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        node = Node(line.strip())
        path[depth].below.append(node)
        path[depth + 1 :] = [node]
    return top.below


def aligned(expected: str, actual: str) -> tuple[str, str]:
    """Both trees in the same order, as far as the expected one leaves it open."""
    first, second = parse(expected), parse(actual)
    _align(first, second)
    return "\n".join(map(str, first)), "\n".join(map(str, second))


def _align(expected: list[Node], actual: list[Node]) -> None:
    for begin, end in _together(expected):
        for nodes in (expected, actual):
            nodes[begin:end] = sorted(nodes[begin:end], key=str)
    for ours, theirs in zip(expected, actual, strict=False):
        _align(ours.below, theirs.below)


def _together(nodes: Sequence[Node]) -> Iterator[tuple[int, int]]:
    position = 0
    for unordered, group in groupby(nodes, key=lambda node: node.line.endswith(TOGETHER)):
        length = len(list(group))
        if unordered:
            yield position, position + length
        position += length
