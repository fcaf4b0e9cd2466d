"""See the spans that would leave the process, in one shape whatever the wire shape.

```python
from sentry_langchain_stream.testing import capture_spans

with capture_spans() as captured:
    chain.invoke(question, config={"callbacks": [SentryStreamHandler()]})
print(captured.tree())
assert captured.find(op="gen_ai.chat").attributes["ai.total_tokens"] > 0
```

In pytest, the fixture `captured_spans` does the same around a whole test. In a notebook, `captured` as the last line
of a cell draws a timeline. What is shown is read back from the bytes of the envelopes, not from objects of the SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sentry_sdk
from sentry_sdk.envelope import Envelope

from . import timeline
from .envelopes import CapturedSpan, read_spans
from .internals import steady
from .keeper import Keeper

__all__ = ["Captured", "CapturedSpan", "capture_spans"]

_NOWHERE = "http://captured@127.0.0.1:9/1"


@dataclass(slots=True, repr=False)
class Captured:
    """The envelopes that were kept from leaving, and what is in them. Shown as a tree, in a notebook as a timeline."""

    client: Any
    envelopes: list[bytes] = field(default_factory=list)
    """The envelopes, serialized, in the order in which they would have left."""

    @property
    def items(self) -> list[tuple[str, Any]]:
        """`(type, parsed payload)` of every item of every envelope."""
        self.client.flush(timeout=2.0)
        return [
            (str(item.type), json.loads(item.payload.get_bytes()))
            for raw in self.envelopes
            for item in Envelope.deserialize(raw).items
            if item.type in ("transaction", "span", "event", "trace_metric", "log")
        ]

    @property
    def spans(self) -> list[CapturedSpan]:
        """Every span, by start time, a parent before its children."""
        spans = [span for kind, payload in self.items for span in read_spans(kind, payload)]
        return sorted(spans, key=lambda span: (span.start, not span.is_root))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event that would become an issue."""
        return [payload for kind, payload in self.items if kind == "event"]

    def find(self, *, op: str | None = None, name: str | None = None) -> CapturedSpan:
        """The one span with this op and name.

        Raises:
            LookupError: None or several match; the message lists what there is.
        """
        found = self.find_all(op=op, name=name)
        if len(found) != 1:
            raise LookupError(f"{len(found)} spans have op={op!r} and name={name!r}; there are:\n{self.tree()}")
        return found[0]

    def find_all(self, *, op: str | None = None, name: str | None = None) -> list[CapturedSpan]:
        """All spans with this op and name; what is left out matches anything."""
        return [span for span in self.spans if op in (None, span.op) and name in (None, span.name)]

    def children(self, parent: CapturedSpan) -> list[CapturedSpan]:
        """The spans directly below a span."""
        return [span for span in self.spans if span.parent_id == parent.span_id]

    def tree(self) -> str:
        """The spans as an indented text, a line `op  name` each; siblings stand in the order of their start.

        The line of a run that did not complete says so: ` [cancelled]`, ` [abandoned]`, ` [failed]`.
        """
        return "\n".join(_line(depth, span) for depth, span in timeline.walk(self.spans)) or "(no spans)"

    def __repr__(self) -> str:
        return self.tree()

    def _repr_html_(self) -> str:
        return timeline.as_html(self.spans)


@contextmanager
def capture_spans(**options: Any) -> Iterator[Captured]:
    """Capture what the SDK would send, in place of the current client, which is restored afterwards.

    Threads and tasks are captured too: the client is the process's. So captures may be nested, but not overlap.

    Args:
        **options: Options of `sentry_sdk.init`; by default everything is sampled. No DSN is needed, and
            none is used.
    """
    keeper = Keeper()
    captured = Captured(None, keeper.envelopes)
    chosen = {"traces_sample_rate": 1.0, **options, "dsn": _NOWHERE, "transport": keeper}
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    try:
        with sentry_sdk.isolation_scope() as isolation:
            isolation.set_client(None)
            isolation.set_new_propagation_context()
            current = sentry_sdk.get_current_scope()
            current.set_client(None)
            current.span = None  # what is active belongs to the client from before
            # Not before: making a client makes spans, as it asks git for the release.
            captured.client = sentry_sdk.Client(**chosen)
            steady(captured.client)
            everywhere.set_client(captured.client)
            yield captured
    finally:
        everywhere.set_client(before)
        if captured.client is not None:
            captured.client.close(timeout=2.0)


def _line(depth: int, span: CapturedSpan) -> str:
    outcome = timeline.outcome(span)
    how = f" [{outcome}]" if outcome not in (None, "completed") else ""
    return f"{'  ' * depth}{span.op or '(no op)'}  {span.name}{how}"
