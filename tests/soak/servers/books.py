"""What the processes of a server write down: calls, and the losses that the SDK counts.

They append lines to one file, which survives their end. `sentry_sdk.init` gets the SDK's own HTTP transport, with a
note of each loss that it adds to its client report.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import sentry_sdk
from langchain_core.callbacks import BaseCallbackHandler
from sentry_sdk.transport import HttpTransport

from sentry_langchain_stream.testing.envelopes import read_spans
from tests.kit.wire import WIRE_SHAPES

BOOK, DSN, SHAPE = "SERVERS_BOOK", "SERVERS_DSN", "SERVERS_SHAPE"
"""The environment variables of a server: the file, and what Sentry is told."""

OP = "gen_ai.chat"
SIDES = ("with", "without")
HELD = 2
"""Pieces after which a held answer goes no further, and a failing one fails."""


def note(what: str, **more: Any) -> None:
    """Write a line. It is short, so lines of several processes do not mix."""
    os.write(_file(os.environ[BOOK]), json.dumps({"what": what, **more}).encode() + b"\n")


@cache
def _file(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of all processes."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


class Witness(BaseCallbackHandler):
    """Notes each model call. It knows nothing of our handler, and is on both sides so that it costs both the same."""

    run_inline = True

    def __init__(self, side: str) -> None:
        self._side = side

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        note("call", side=self._side)


def calls_in(item: Any) -> int:
    """How many model spans an item of an envelope has."""
    if item.type not in ("transaction", "span"):
        return 0
    return sum(span.op == OP for span in read_spans(item.type, json.loads(item.payload.get_bytes())))


class Counting(HttpTransport):
    """The SDK's transport, with a note of each model span that its client report counts as lost."""

    _own = threading.local()

    def record_lost_event(self, reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1) -> None:
        nested = getattr(self._own, "counting", False)  # for a transaction it calls itself
        self._own.counting = True
        try:
            super().record_lost_event(reason, data_category, item, quantity=quantity)
        finally:
            self._own.counting = nested
        # A span that is dropped before it is in an envelope is of unknown kind. "buffer_overflow" is the SDK's word for
        # one that is open when its transaction is sent: ours are sent afterwards.
        bare = quantity if data_category == "span" and reason != "buffer_overflow" else 0
        lost = calls_in(item) if item is not None else bare
        if lost and not nested:
            note("lost", reason=reason, calls=lost)


def init(*integrations: Any) -> None:
    """Set up Sentry as the environment says."""
    sentry_sdk.init(
        dsn=os.environ[DSN],
        traces_sample_rate=1.0,
        auto_enabling_integrations=False,
        integrations=list(integrations),
        transport=Counting,
        # With it the SDK samples less while its queue is full, and counts what it drops without saying of which side.
        enable_backpressure_handling=False,
        **WIRE_SHAPES[os.environ[SHAPE]],
    )


def calls(lines: list[dict[str, Any]]) -> int:
    """The calls with the handler."""
    return sum(line["what"] == "call" and line["side"] == "with" for line in lines)


def losses(lines: list[dict[str, Any]]) -> Counter[str]:
    """Model spans that the SDK has counted as lost, by its reason."""
    found: Counter[str] = Counter()
    for line in lines:
        if line["what"] == "lost":
            found[line["reason"]] += line["calls"]
    return found
