"""Captures the spans that would be sent to Sentry, in one format for both span models.

```python
from sentry_langchain_stream.testing import capture_spans

with capture_spans() as captured:
    chain.invoke(question, config={"callbacks": [SentryStreamHandler()]})
print(captured.tree())
assert captured.find(op="gen_ai.chat").attributes["gen_ai.usage.total_tokens"] > 0
```

In pytest, the fixture `captured_spans` does the same for a whole test. In a notebook, `captured` as the last line of a
cell draws a timeline. The spans are read back from the bytes of the envelopes, not from objects of the SDK.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope

from . import internals, timeline
from .envelopes import CapturedSpan, read_spans
from .internals import steady
from .keeper import Keeper
from .printable import printable

__all__ = ["Captured", "CapturedSpan", "capture_spans"]

_NOWHERE = "http://captured@127.0.0.1:9/1"


@dataclass(slots=True, repr=False)
class Captured:
    """The captured envelopes and their content. The repr is a tree, and in a notebook a timeline."""

    client: Any
    envelopes: list[bytes] = field(default_factory=list)
    """The serialized envelopes, in the order in which they would have been sent."""
    _before: frozenset[Any] = frozenset()

    @property
    def open_runs(self) -> list[str]:
        """The names of root runs that began in the capture and have not ended, so they have no span yet."""
        return [name for run, name in internals.open_runs().items() if run not in self._before]

    @property
    def items(self) -> list[tuple[str, Any]]:
        """`(type, parsed payload)` of every item of every envelope."""
        self.client.flush(timeout=2.0)
        return [
            (str(item.type), json.loads(item.payload.get_bytes()))
            for raw in self.envelopes
            for item in Envelope.deserialize(raw).items
            if item.type in ("transaction", "span", "event", "trace_metric", "log", "feedback")
        ]

    @property
    def spans(self) -> list[CapturedSpan]:
        """Every span, ordered by start time. A root comes before other spans with the same start time."""
        spans = [span for kind, payload in self.items for span in read_spans(kind, payload)]
        return sorted(spans, key=lambda span: (span.start, not span.is_root))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that would become an issue."""
        return [payload for kind, payload in self.items if kind == "event"]

    def find(self, *, op: str | None = None, name: str | None = None) -> CapturedSpan:
        """Return the only span with this op and name. An argument that is left out matches any span.

        Raises:
            LookupError: No span matches, or several do. The message lists the captured spans.
        """
        found = self.find_all(op=op, name=name)
        if len(found) != 1:
            raise LookupError(f"{len(found)} spans have op={op!r} and name={name!r}; there are:\n{self.tree()}")
        return found[0]

    def find_all(self, *, op: str | None = None, name: str | None = None) -> list[CapturedSpan]:
        """Return all spans with this op and name. An argument that is left out matches any span."""
        return [span for span in self.spans if op in (None, span.op) and name in (None, span.name)]

    def children(self, parent: CapturedSpan) -> list[CapturedSpan]:
        """Return the direct children of a span."""
        return [span for span in self.spans if span.parent_id == parent.span_id]

    def tree(self) -> str:
        """Return the spans as indented text, one line `op  name` per span. Siblings are ordered by start time.

        The line of a run that did not complete ends with ` [cancelled]`, ` [abandoned]` or ` [failed]`. If runs are
        still open, a last line names them.
        """
        lines = [_line(depth, span) for depth, span in timeline.walk(self.spans)] or ["(no spans)"]
        return "\n".join([*lines, *self._open()])

    def _open(self) -> list[str]:
        names = self.open_runs
        if not names:
            return []
        count = "1 run has" if len(names) == 1 else f"{len(names)} runs have"
        shown = printable(", ".join([*names[:10], *(["..."] if len(names) > 10 else [])]))
        return [f"({count} not ended: {shown}. Close the stream or generator, see docs/endings.md)"]

    def __repr__(self) -> str:
        return self.tree()

    def _repr_html_(self) -> str:
        return timeline.as_html(self.spans) + "".join(f"<p>{escape(line)}</p>" for line in self._open())


@contextmanager
def capture_spans(**options: Any) -> Iterator[Captured]:
    """Capture what the SDK would send. The current client is replaced, and restored afterwards.

    All threads and tasks are captured, because the client is replaced for the whole process. So captures may be nested,
    but must not overlap.

    Args:
        **options: Options of `sentry_sdk.init`. By default everything is sampled. A `dsn` is not needed and is ignored.
            An option that the SDK warns of raises nothing, even where warnings are errors.
    """
    keeper = Keeper()
    captured = Captured(None, keeper.envelopes, frozenset(internals.open_runs()))
    chosen = {"traces_sample_rate": 1.0, **options, "dsn": _NOWHERE, "transport": keeper}
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    try:
        with sentry_sdk.isolation_scope() as isolation:
            isolation.set_client(None)
            isolation.set_new_propagation_context()
            current = sentry_sdk.get_current_scope()
            current.set_client(None)
            current.span = None  # the active span belongs to the previous client
            # Only now, because making a client makes spans: it calls git for the release.
            with _no_error_of_warnings():
                captured.client = sentry_sdk.Client(**chosen)
            steady(captured.client)
            everywhere.set_client(captured.client)
            yield captured
    finally:
        everywhere.set_client(before)
        if captured.client is not None:
            captured.client.close(timeout=2.0)


@contextmanager
def _no_error_of_warnings() -> Iterator[None]:
    """Show the warnings of the block, where filters would raise them.

    To make a client imports every library for which the SDK has an integration, and the SDK warns of an option that is
    deprecated. In a test suite with `filterwarnings = error` neither is what the test is about.
    """
    if not any(each[0] == "error" for each in warnings.filters):
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


def _line(depth: int, span: CapturedSpan) -> str:
    outcome = timeline.outcome(span)
    how = f" [{outcome}]" if outcome not in (None, "completed") else ""
    return "  " * depth + printable(f"{span.op or '(no op)'}  {span.name}{how}")
