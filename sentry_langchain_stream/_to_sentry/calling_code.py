"""Where the calling code is: in which run, or in the source of a stream that is not LangChain's.

Which run encloses it is asked of LangChain, by the function that `ask` is given.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from .._runtime.containment import contain
from .._vocabulary.keys import AttributeValue
from .span_models import AnySpan

if TYPE_CHECKING:
    from .pulled_streams import Pull


class Inside(NamedTuple):
    """Where the calling code is.

    Args:
        key: Identifies the run that encloses it.
        span: The active span there, unless the code has opened one of its own.
        is_ours: Whether that span is one of this package's, rather than the application's.
        is_live: Whether that run is still live.
        is_call: Whether it is a model call.
        is_stream: Whether it is a stream that is not LangChain's, whose source is code of the application.
        nests: Whether the span is to be the active one.
        labels: Returns what a span of Sentry's integrations of client libraries gets, if it is made there.
    """

    key: Hashable
    span: AnySpan
    is_ours: bool
    is_live: Callable[[], bool]
    is_call: bool = False
    is_stream: bool = False
    nests: bool = True
    labels: Callable[[], Mapping[str, AttributeValue]] = dict


Find = Callable[[], Inside | None]
"""Finds out where the calling code is; `None` if it is in no run of ours."""

_find: Find | None = None


def ask(find: Find) -> None:
    """From now on ask this function where the calling code is."""
    global _find
    _find = find


pulled: ContextVar[tuple[Pull, Hashable] | None] = ContextVar("sentry_langchain_stream_pulled", default=None)
"""The stream whose source is pulled in this context, and the key of what that is inside of."""


def find_inside() -> Inside | None:
    """Where the calling code is. Never raises: the user's own code asks this, with each span that it opens."""
    inside = find_run()
    found = pulled.get()
    if found is not None:
        pull, outer = found
        if not pull.is_over and key_of(inside) == outer:  # else a run has started since, which is inside the stream
            return Inside(id(pull), pull.span, True, pull.is_live, is_call=True, is_stream=True)
    return inside


def find_run() -> Inside | None:
    """In which run the calling code is, streams that are not LangChain's left aside. Never raises."""
    try:
        return _find() if _find is not None else None
    except Exception as error:
        contain("active span", error)
        return None


def key_of(inside: Inside | None) -> Hashable:
    """What identifies the run, if there is one."""
    return inside.key if inside is not None else None
