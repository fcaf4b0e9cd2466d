"""Keeps what would be sent to Sentry, and also sends it if there is a DSN."""

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
    """What was captured, and whether it was delivered."""

    captured: Captured
    sent_to: str | None = None
    """The host to which it was sent, if it was."""
    lost: tuple[str, ...] = ()
    """The reasons why envelopes did not arrive there. Complete after the block of `recording` has ended."""


@contextmanager
def recording(dsn: str | None, **options: Any) -> Iterator[Delivery]:
    """Set up Sentry for the block, and keep everything that is sent.

    Args:
        dsn: The DSN to send to. With `None` nothing is sent.
        **options: Other options of `sentry_sdk.init`.

    Raises:
        ValueError: The DSN is not valid.
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
        raise RuntimeError("sentry_sdk.init did not use the transport that keeps envelopes")
    delivery = Delivery(Captured(client, keeper.envelopes), sent_to=urlsplit(dsn).hostname)
    try:
        yield delivery
    finally:
        client.flush(timeout=10.0)
        # If a flush times out, only the callback of a later flush reports what is still pending.
        client.flush(timeout=0.1, callback=lambda pending, timeout: keeper.lost.append(f"{pending} still pending"))
        client.close(timeout=0.1)
        delivery.lost = tuple(dict.fromkeys(keeper.lost))
        everywhere.set_client(before)
