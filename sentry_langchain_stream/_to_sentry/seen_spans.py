"""Which spans the application's code has made active inside runs, and in which run each was opened."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .calling_code import Inside


class Named(NamedTuple):
    """How events were named before code in a run opened a transaction, or a segment, of its own.

    Args:
        name: The name.
        info: What is known of it, such as its source.
        root: What the code has opened, after which the SDK names events since then.
    """

    name: Any
    info: dict[str, Any]
    root: Any


class SeenSpans:
    """The spans that code in the runs of one scope has made active."""

    __slots__ = ("bases", "names", "opened", "own")

    _MANY = 64
    _MOST = 2_000

    def __init__(self) -> None:
        self.own: dict[Hashable, tuple[Any, Callable[[], bool]]] = {}
        """The active span of code that has opened one of its own, and whether its run is live, by that run."""
        self.opened: dict[str, Hashable] = {}
        """The ids of such spans, and their runs: when an inner one ends, it puts back the outer one."""
        self.bases: dict[str, Hashable] = {}
        """The ids of runs' spans, and the runs in which they were active: the outermost span of code puts back that."""
        self.names: dict[Hashable, Named] = {}
        """How events were named before code opened a root of its own, by run."""

    def copy(self) -> SeenSpans:
        """Return a copy, for a fork of the scope."""
        made = SeenSpans()
        made.own, made.opened, made.bases = dict(self.own), dict(self.opened), dict(self.bases)
        made.names = dict(self.names)
        return made

    def add(self, span: Any, span_id: str | None, inside: Inside) -> None:
        """Code in a run has made a span active."""
        self.own[inside.key] = span, inside.is_live
        if span_id is not None:
            self.opened.setdefault(span_id, inside.key)
        if inside.is_ours:
            self.bases[inside.span.span_id] = inside.key
        self._trim()

    def is_late(self, span_id: str | None, inside: Inside | None) -> bool:
        """Whether a span that was opened in another run has ended only now, and puts back what was active there."""
        if span_id is None:
            return False
        if span_id in self.bases:
            return True
        opened_in = self.opened.get(span_id)
        if opened_in is None or (inside is not None and opened_in == inside.key):
            return False
        closing = self.own.get(opened_in)
        # Else somebody makes a span of that run the active one here, too.
        return closing is None or _has_ended(closing[0])

    def _trim(self) -> None:
        """Forget what ended runs have left, and the spans that were seen longest ago."""
        with suppress(RuntimeError, StopIteration):  # threads that share the scope trim it, too
            if len(self.own) > self._MANY:
                for key in [key for key, (_, is_live) in list(self.own.items()) if not is_live()]:
                    self.own.pop(key, None)
                    self.names.pop(key, None)
            for kept in (self.opened, self.bases):
                while len(kept) > self._MOST:
                    kept.pop(next(iter(kept)), None)


def _has_ended(span: Any) -> bool:
    """Whether a span has ended. It is unknown of a streamed span that is about to end."""
    return getattr(span, "timestamp", True) is not None
