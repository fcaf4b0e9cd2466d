"""A scenario: what runs, and the tree that it makes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from inspect import cleandoc
from textwrap import indent
from typing import Any

import pytest
import sentry_sdk

from sentry_langchain_stream import SentryStreamHandler
from sentry_langchain_stream.testing import Captured, capture_spans
from tests.trees import ways
from tests.trees.rules import check
from tests.trees.text import aligned
from tests.wire import WIRE_SHAPES, active_span, content_allowed, current_span_id

ANSWERS: Any = {"configurable": {"thread_id": "thread-1"}}


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
    ways: tuple[ways.Run, ...] = ways.ANY
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


def each(cases: Iterable[Case]) -> list[Any]:
    """A test's parameters: each case in each of its ways."""
    return [pytest.param(case, way, id=f"{case}-{way.__name__}") for case in cases for way in case.ways]


async def play(case: Case, way: ways.Run, shape: str, active: bool = False, client: Any = None, **handler: Any) -> str:
    """Run a case, check what holds of every tree, and return this one, in the order of the one expected."""
    watching = SentryStreamHandler("demo", **handler)
    options = {**WIRE_SHAPES[shape], **content_allowed(True), **(client or {})}
    with capture_spans(**options) as captured:
        with active_span(shape) if active else nullcontext():
            current, scope = current_span_id(), sentry_sdk.get_current_scope()
            await run(case, way, watching)
            assert (current_span_id(), sentry_sdk.get_current_scope()) == (current, scope)
        assert current_span_id() is None
    check(captured)
    return captured
