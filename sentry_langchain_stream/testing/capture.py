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
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import sentry_sdk
from sentry_sdk.envelope import Envelope

from . import internals, reasons, timeline
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
    _lost: list[str] = field(default_factory=list)
    _before: Mapping[Any, str | None] = field(default_factory=dict)
    """The runs that were open when the capture began: id and trace id."""
    _after: Collection[Any] | None = None
    """The ids of those that were open when it ended."""
    _is_replaced: bool = False
    _read: tuple[list[bytes], list[CapturedSpan]] = field(default_factory=lambda: ([], []))
    """Envelopes, and the spans in them."""

    @property
    def open_runs(self) -> list[str]:
        """The names of root runs that began in the capture and have not ended, so they have no span yet."""
        return [
            each.name
            for each in internals.open_runs()
            if each.id not in self._before and (self._after is None or each.id in self._after)
        ]

    @property
    def items(self) -> list[tuple[str, Any]]:
        """`(type, parsed payload)` of every transaction, span, event, metric, log and feedback."""
        return list(_items(self._sent()))

    def _sent(self) -> list[bytes]:
        self.client.flush(timeout=2.0)
        return [*self.envelopes]

    @property
    def spans(self) -> list[CapturedSpan]:
        """Every span, ordered by start time. A root comes before other spans with the same start time."""
        sent = self._sent()
        if self._read[0] != sent:
            spans = [span for kind, payload in _items(sent) for span in read_spans(kind, payload)]
            self._read = sent, sorted(spans, key=lambda span: (span.start, not span.is_root))
        return [*self._read[1]]

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
            asked = " and ".join(f"{key}={value!r}" for key, value in (("op", op), ("name", name)) if value is not None)
            lines = [self.tree(), *(self._missing() if self.spans else ())]
            which = f"have {asked}; there are" if asked else "are there"
            raise LookupError("\n".join([f"{len(found)} spans {which}:", *lines]))
        return found[0]

    def find_all(self, *, op: str | None = None, name: str | None = None) -> list[CapturedSpan]:
        """Return all spans with this op and name. An argument that is left out matches any span.

        Raises:
            TypeError: An argument is neither a `str` nor `None`.
        """
        for key, value in (("op", op), ("name", name)):
            if not isinstance(value, (str, type(None))):
                raise TypeError(f"{key} must be a str or None, not {type(value).__name__}")
        return [span for span in self.spans if op in (None, span.op) and name in (None, span.name)]

    def children(self, parent: CapturedSpan) -> list[CapturedSpan]:
        """Return the direct children of a span.

        Raises:
            TypeError: The parent is no `CapturedSpan`.
        """
        if not isinstance(parent, CapturedSpan):
            raise TypeError(f"parent must be a CapturedSpan, as find returns it, not {type(parent).__name__}")
        return [span for span in self.spans if span.parent_id == parent.span_id]

    def tree(self) -> str:
        """Return the spans as indented text, one line `op  name` per span. Siblings are ordered by start time.

        The line of a run that did not complete ends with ` [cancelled]`, ` [abandoned]` or ` [failed]`, that of a run
        that began before the capture with ` [began before the capture]`. More lines name the runs that are still open,
        and why there may be no spans.
        """
        spans = self.spans
        return "\n".join([*(self._line(*each) for each in timeline.walk(spans)), *self._notes(spans)])

    def _line(self, depth: int, span: CapturedSpan) -> str:
        outcome = timeline.outcome(span)
        how = f" [{outcome}]" if outcome not in (None, "completed") else ""
        when = " [began before the capture]" if span.trace_id in self._before.values() else ""
        return "  " * depth + printable(f"{span.op or '(no op)'}  {span.name}{how}{when}")

    def _notes(self, spans: Sequence[CapturedSpan]) -> Iterator[str]:
        if not spans:
            yield "(no spans)"
            yield from self._missing()
        yield from reasons.unended(self.open_runs)

    def _missing(self) -> Iterator[str]:
        """Yield why spans may be missing."""
        if self._after is None:
            yield from reasons.waiting()
        if self._is_replaced or (self._after is None and sentry_sdk.get_global_scope().client is not self.client):
            yield reasons.REPLACED
        yield from reasons.dropped(self._lost)

    def __repr__(self) -> str:
        return self.tree()

    def _repr_html_(self) -> str:
        spans = self.spans
        notes = [each for each in self._notes(spans) if spans or each != "(no spans)"]  # which the timeline says
        return timeline.as_html(spans) + "".join(f"<p>{escape(each)}</p>" for each in notes)


def _items(envelopes: Sequence[bytes]) -> Iterator[tuple[str, Any]]:
    for raw in envelopes:
        for item in Envelope.deserialize(raw).items:
            if item.type in ("transaction", "span", "event", "trace_metric", "log", "feedback"):
                yield str(item.type), json.loads(item.payload.get_bytes())


@contextmanager
def capture_spans(**options: Any) -> Iterator[Captured]:
    """Capture what the SDK would send. The current client is replaced, and restored afterwards.

    All threads and tasks are captured, because the client is replaced for the whole process. So captures may be nested,
    but must not overlap.

    Args:
        **options: Options of `sentry_sdk.init`. By default everything is sampled, and nothing goes to Spotlight. The
            application's own options are not taken over: pass the integrations and hooks that the test is about. A
            `dsn` and a `transport` are ignored. An option that the SDK warns of raises nothing, even where warnings are
            errors.

    Raises:
        TypeError: The SDK refuses an option.
    """
    keeper = Keeper()
    captured = Captured(None, keeper.envelopes, keeper.lost, {each.id: each.trace_id for each in internals.open_runs()})
    chosen = {**_DEFAULTS, **options, "dsn": _NOWHERE, "transport": keeper}
    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    try:
        with sentry_sdk.isolation_scope() as isolation:
            isolation.set_client(None)
            isolation.set_new_propagation_context()
            current = sentry_sdk.get_current_scope()
            current.set_client(None)
            current.span = None  # the active span belongs to the previous client
            captured.client = _made(chosen)
            steady(captured.client)
            everywhere.set_client(captured.client)
            yield captured
    finally:
        captured._after = [each.id for each in internals.open_runs()]
        if captured.client is not None:
            _closed[captured.client] = before
            captured._is_replaced = everywhere.client is not captured.client
            captured.client.close(timeout=2.0)
        if everywhere.client not in _of_captures or everywhere.client in _closed:
            everywhere.set_client(_still_open(before))


_DEFAULTS: dict[str, Any] = {
    "traces_sample_rate": 1.0,
    "spotlight": False,  # which the environment may switch on
    "enable_backpressure_handling": False,  # its thread outlives the client
}

_of_captures: WeakSet[Any] = WeakSet()
_closed: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
"""The clients of captures that have ended, and the client before each."""


def _made(options: dict[str, Any]) -> sentry_sdk.Client:
    # Only inside of the capture, because making a client makes spans: it calls git for the release.
    try:
        with _no_error_of_warnings():
            made = sentry_sdk.Client(**options)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise TypeError(f"sentry_sdk makes no client with these options: {error}") from error
    _of_captures.add(made)
    return made


def _still_open(client: Any) -> Any:
    """Return this client, or, if it belongs to a capture that has ended meanwhile, the one from before that."""
    while client in _closed:
        client = _closed[client]
    return client


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
