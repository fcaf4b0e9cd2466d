"""A scenario: what runs, and the tree that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from inspect import cleandoc
from itertools import product
from textwrap import indent
from typing import Any

import pytest

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.kit.pairwise import pairwise, parameters
from tests.kit.trees.rules import check
from tests.kit.trees.text import aligned
from tests.kit.trees.ways import ANY, Run, settled
from tests.kit.wire import BOTH_MODELS, WIRE_SHAPES, active_span, content_allowed, current_span_id


@dataclass(frozen=True)
class Case:
    """A scenario: what runs, and the tree that it makes.

    Args:
        name: What it is called in the tests.
        make: Makes the runnable, anew for each run.
        tree: The tree in dialect `gen_ai` where no span is active, the pipeline being named "demo".
        ai: The tree in dialect `ai`, for those that are run in it too.
        asked: The inputs, one call after the other.
        ways: How it can be run.
        bare: Whether its pipeline's span is there only as no other is active.
        raises: What the caller gets to see of its failure.
        config: What the call is configured with, besides the handler.
    """

    name: str
    make: Callable[[], Any]
    tree: str
    ai: str = ""
    asked: tuple[Any, ...] = ({"question": "Hi"},)
    ways: tuple[Run, ...] = ANY
    bare: bool = False
    raises: str | None = None
    config: Any = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name

    def expected(self, shape: str, active: bool) -> str:
        """The tree, below a span of the application's own or not."""
        tree = cleandoc(self.tree)
        if not active:
            return tree
        if self.bare:
            _, *below = tree.splitlines()
            tree = "\n".join(line.removeprefix("  ") for line in below)
        return f"{'(no op)' if shape == 'stream' else 'test'}  handle\n{indent(tree, '  ')}"


SURROUNDINGS = [*((shape, False) for shape in WIRE_SHAPES), *((shape, True) for shape in BOTH_MODELS)]
"""The wire shapes, and whether a span of the application's own is active around the run."""


def each(cases: Iterable[Case], *others: Sequence[Any]) -> list[Any]:
    """A test's parameters: each case in each of its ways, and pairwise with whatever else there is to choose."""
    runs = [(case, way) for case in cases for way in case.ways]
    return parameters(pairwise((*run, *more) for run, *more in product(runs, *others)))


def around(cases: Iterable[Case]) -> list[Any]:
    """A test's parameters: each case in each of its ways, and pairwise with the surroundings."""
    runs = [(case, way) for case in cases for way in case.ways]
    return parameters(pairwise((*run, *where) for run in runs for where in SURROUNDINGS))


async def play(
    case: Case, way: Run, shape: str, active: bool = False, without: str | None = None, **handler: Any
) -> None:
    """Run a case, check what holds of every tree, and compare this one with the one that is expected.

    Args:
        case: The case.
        way: The way to run it.
        shape: The wire shape.
        active: Whether a span of the application's own is around it.
        without: One of Sentry's integrations, that is to be off.
        **handler: The handler's arguments.
    """
    captured = await record(case, way, shape, active, without, **handler)
    expected = cleandoc(case.ai) if handler.get("dialect") == "ai" else case.expected(shape, active)
    wanted, got = aligned(expected, captured.tree())
    assert got == wanted


async def record(
    case: Case, way: Run, shape: str, active: bool = False, without: str | None = None, **handler: Any
) -> Captured:
    """Run a case, and check what holds of every tree and afterwards."""
    # Of two threads that start, one may take the other's tree for idle before it is open: that has a test of its own.
    watching = SentryStreamHandler("demo", **handler)
    config = {**case.config, "callbacks": [watching]}
    app = case.make()
    with capture_spans(**WIRE_SHAPES[shape], **content_allowed(True)) as captured:
        # What was on for one client, the SDK does not turn off for another: it looks here at each call.
        captured.client.integrations.pop(without, None)
        with active_span(shape) if active else nullcontext() as around:
            for question in case.asked:
                with pytest.raises(Exception, match=case.raises) if case.raises else nullcontext():
                    await way(app, question, config)
                await settled(watching)
            assert current_span_id() == around
        assert current_span_id() is None
    assert watching.live_runs == 0
    check(captured)
    return captured
