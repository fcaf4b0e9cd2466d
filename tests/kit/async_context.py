"""What cannot be seen on Python 3.10, where a task cannot be given a context.

LangChain hands its callbacks on in the context. On Python 3.10, whatever an async node of a graph, an async tool or an
async call with fallbacks calls without a config of its own has no callbacks, or has no parent run. So it is no run of
ours, and Sentry's own integration may take it for its own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable

import pytest

HAS_ASYNC_CONTEXT = sys.version_info >= (3, 11)
"""Whether LangChain passes callbacks on inside async runs: a task can have a context since Python 3.11."""

REASON = "on Python 3.10 LangChain passes no callbacks on inside async nodes, tools and fallbacks"


def needs_async_context(where: Callable[..., bool] = lambda: True) -> pytest.MarkDecorator:
    """Skip a test on Python 3.10.

    Args:
        where: For which parameters of the test; it is called with those that it names.
    """
    return pytest.mark.needs_async_context(where=where)


def is_async(way: object) -> bool:
    """Whether a way to run something, a function or a `Way`, is an async one."""
    name = getattr(way, "__name__", None) or str(way)
    return name.startswith(("abatch", "ainvoke", "astream"))


def needed_by(item: pytest.Item) -> bool:
    """Whether a test needs what Python 3.10 lacks."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    for mark in item.iter_markers("needs_async_context"):
        where = mark.kwargs["where"]
        if where(**{name: parameters[name] for name in inspect.signature(where).parameters}):
            return True
    return False
