"""Transports that keep the envelopes they are given."""

from __future__ import annotations

from typing import Any

from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport, Transport


class Keeper(Transport):
    """Keeps envelopes, and records what the SDK reports as lost. Sends nothing.

    Args:
        options: The options of the client.
    """

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.envelopes: list[bytes] = []
        """The serialized envelopes, in the order in which they would be sent."""
        self.lost: list[str] = []
        """`"category: reason"` for each event or span that the SDK dropped."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep an envelope."""
        self.envelopes.append(envelope.serialize())

    def record_lost_event(self, reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1) -> None:
        """Record that the SDK dropped something."""
        self.lost.append(f"{item.data_category if item is not None else data_category}: {reason}")


class SendingKeeper(HttpTransport):
    """Keeps envelopes, and sends them.

    Args:
        options: The options of the client.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.envelopes: list[bytes] = []
        """The serialized envelopes, in the order in which they were queued for sending."""
        self.lost: list[str] = []
        """The reasons why envelopes did not arrive."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep an envelope, and queue it for sending."""
        self.envelopes.append(envelope.serialize())
        super().capture_envelope(envelope)

    def on_dropped_event(self, reason: str) -> None:
        """Record that an envelope did not arrive."""
        self.lost.append(reason)
