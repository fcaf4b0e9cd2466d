"""Keeps what is sent to Sentry: instead of sending it, or besides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import sentry_sdk

from ..testing import Captured, capture_spans
from ..testing.keeper import SendingKeeper


@dataclass(slots=True)
class Delivery:
    """What was captured, and what became of it."""

    captured: Captured
    sent_to: str | None = None
    """The host that it was really sent to."""
    lost: tuple[str, ...] = ()
    """Why envelopes did not arrive there. Complete when the block of `recording` has been left."""


@contextmanager
def recording(dsn: str | None, **options: Any) -> Iterator[Delivery]:
    """Set up Sentry for the block, and keep all that is sent.

    Args:
        dsn: Where to send it; without one nothing leaves the process.
        **options: More options of `sentry_sdk.init`.

    Raises:
        ValueError: It is not a DSN.
    """
    if dsn is None:
        with capture_spans(**options) as captured:
            yield Delivery(captured)
        return

    everywhere = sentry_sdk.get_global_scope()
    before = everywhere.client
    sentry_sdk.init(**{"traces_sample_rate": 1.0, **options, "dsn": dsn, "transport": SendingKeeper})
    client = sentry_sdk.get_client()
    keeper = client.transport
    if not isinstance(keeper, SendingKeeper):
        raise RuntimeError("sentry_sdk.init did not take the transport that keeps envelopes")
    delivery = Delivery(Captured(client, keeper.envelopes), sent_to=urlsplit(dsn).hostname)
    try:
        yield delivery
    finally:
        client.flush(timeout=10.0)
        # A flush that gave up says so only to one that comes after it.
        client.flush(timeout=0.1, callback=lambda pending, timeout: keeper.lost.append(f"{pending} still pending"))
        client.close(timeout=0.1)
        delivery.lost = tuple(dict.fromkeys(keeper.lost))
        everywhere.set_client(before)
