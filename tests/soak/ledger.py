"""What was started and what arrived, stream by stream.

Each stream has a pipeline name of its own, which is on all of its spans. What LangChain starts is counted by a handler
that knows nothing of ours; what arrives is read from the bytes of the envelopes.
"""

from __future__ import annotations

import itertools
import json
import logging
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from sentry_langchain_stream._to_sentry.joining import ORIGIN
from sentry_langchain_stream.testing.envelopes import read_spans

NAME = "gen_ai.pipeline.name"


@dataclass(slots=True)
class Stream:
    """One stream, and all that is known of it."""

    ending: str
    allowed: frozenset[str]
    """The outcomes that its ending implies for its models."""
    pipelines: int | None
    """How many spans stand above its models, tools and retrievers, if it starts; `None` if threads decide that."""
    began: bool = False
    """Whether anything of it has started: a task may be cancelled before it does."""
    models: int = 0
    others: int = 0
    """Tools and retrievers."""
    outcomes: list[str] = field(default_factory=list)
    """Of its models, as they arrived."""
    arrived: int = 0
    """Other spans of ours that arrived."""


@dataclass(slots=True)
class Settled:
    """The balance of a phase: streams, model spans, and what is wrong with them."""

    streams: int = 0
    started: int = 0
    arrived: Counter[str] = field(default_factory=Counter)
    """Model spans by outcome."""
    endings: dict[str, Counter[str]] = field(default_factory=dict)
    """The same by ending."""
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    """Model spans with an outcome that the ending does not imply, and streams with other spans than they must have."""
    strays: int = 0
    """Spans that came after their stream was settled, or belong to none."""
    dropped: int = 0
    """What the SDK says that it has dropped."""
    raised: int = 0
    """Failures of ours, contained or not."""
    complaints: Counter[str] = field(default_factory=Counter)
    """What was wrong, in words."""

    @property
    def faults(self) -> int:
        """How much is wrong."""
        return self.lost + self.doubled + self.wrong + self.strays + self.dropped + self.raised


class Ledger:
    """Keeps the balance.

    What happens is appended to a queue and read when the threads are at rest. A lock would not do: garbage collection
    may end a run, and so send its span, while this very thread holds one.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._happened: deque[tuple[str, str, Any]] = deque()
        self._open: dict[str, Stream] = {}
        self._strays = 0
        self._dropped = 0
        self._raised: Counter[str] = Counter()

    def begin(self, stream: Stream) -> str:
        """A stream begins. Returns its pipeline name."""
        name = f"stream {next(self._numbers)}"
        self._happened.append(("begin", name, stream))
        return name

    def note(self, what: str, name: str, more: Any = None) -> None:
        """Something has been started, or has arrived."""
        self._happened.append((what, name, more))

    def missing(self) -> int:
        """How many model spans have not arrived yet."""
        self._read()
        return sum(max(0, stream.models - len(stream.outcomes)) for stream in self._open.values())

    def settle(self) -> Settled:
        """The balance of all streams since the last time. They are forgotten."""
        self._read()
        settled = Settled(strays=self._strays, dropped=self._dropped)
        settled.raised, settled.complaints = self._raised.total(), self._raised
        self._strays, self._dropped, self._raised = 0, 0, Counter()
        for stream in self._open.values():
            settled.streams += 1
            settled.started += stream.models
            came = Counter(stream.outcomes)
            settled.arrived += came
            settled.endings.setdefault(stream.ending, Counter()).update(came)
            lost, doubled = stream.models - len(stream.outcomes), len(stream.outcomes) - stream.models
            settled.lost += max(0, lost)
            settled.doubled += max(0, doubled)
            wrong = sum(count for outcome, count in came.items() if outcome not in stream.allowed)
            due = None if stream.pipelines is None else stream.others + stream.pipelines * stream.began
            wrong += due is not None and stream.arrived != due
            settled.wrong += wrong
            if wrong or lost:
                told = f"{stream.ending}: {stream.models} models, {dict(came)} and {stream.arrived} others arrived"
                settled.complaints[told if due is None else f"{told} of {due}"] += 1
        self._open = {}
        return settled

    def _read(self) -> None:
        while self._happened:
            what, name, more = self._happened.popleft()
            stream = self._open.get(name)
            if what == "begin":
                self._open[name] = more
            elif what == "dropped":
                self._dropped += more
            elif what == "raised":
                self._raised[name] += 1
            elif stream is None:
                self._strays += 1
            elif what == "span":
                if more is None:
                    stream.arrived += 1
                else:
                    stream.outcomes.append(more)
            else:
                stream.began = True
                stream.models += what == "model"
                stream.others += what == "other"


class Witness(BaseCallbackHandler):
    """Counts what LangChain starts, as any other handler would see it."""

    run_inline = True

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def on_chain_start(self, *_: Any, metadata: Any = None, **__: Any) -> None:
        self._ledger.note("chain", metadata["pipeline_name"])

    def on_chat_model_start(self, *_: Any, metadata: Any = None, **__: Any) -> None:
        self._ledger.note("model", metadata["pipeline_name"])

    def on_tool_start(self, *_: Any, metadata: Any = None, **__: Any) -> None:
        self._ledger.note("other", metadata["pipeline_name"])

    def on_retriever_start(self, *_: Any, metadata: Any = None, **__: Any) -> None:
        self._ledger.note("other", metadata["pipeline_name"])


class Listener(logging.Handler):
    """Notes what our package logs, that is: failures of ours that it contained, and what cannot be raised to anybody.

    Others' complaints of streams that are abandoned on purpose are swallowed.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        logging.getLogger("sentry_langchain_stream").addHandler(self)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)
        sys.unraisablehook = self._unraisable

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg.startswith("%s failed"):  # not what is said once, as of usage that is an estimate
            self._ledger.note("raised", record.getMessage())

    def _unraisable(self, unraisable: sys.UnraisableHookArgs) -> None:
        trace = unraisable.exc_traceback
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        if trace is not None and str(trace.tb_frame.f_globals.get("__name__")).startswith("sentry_langchain_stream"):
            self._ledger.note("raised", repr(unraisable.exc_value))


def transport(ledger: Ledger) -> type[Transport]:
    """A transport that reads what it is given, notes it and swallows it."""

    class Sink(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            for item in Envelope.deserialize(envelope.serialize()).items:
                if item.type in ("transaction", "span"):
                    for span in read_spans(str(item.type), json.loads(item.payload.get_bytes())):
                        if span.origin == ORIGIN:
                            outcome = span.attributes["langchain_stream.outcome"] if span.op == "gen_ai.chat" else None
                            ledger.note("span", span.attributes.get(NAME, ""), outcome)

        def record_lost_event(self, reason: str, *_: Any, quantity: int = 1, **__: Any) -> None:
            if reason != "buffer_overflow":  # so it calls a span that is open when its transaction is sent
                ledger.note("dropped", reason, quantity)

    return Sink
