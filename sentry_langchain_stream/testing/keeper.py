"""A transport that keeps what it is given to send."""

from __future__ import annotations

from typing import Any

from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport, Transport


class Keeper(Transport):
    """Keeps envelopes, and notes what the SDK reports as lost. Sends nothing.

    Args:
        options: The options of the client.
    """

    def __init__(self, options: dict[str, Any] | None = None) -> None:
        super().__init__(options)
        self.envelopes: list[bytes] = []
        """The envelopes, serialized, in the order in which they would leave."""
        self.lost: list[str] = []
        """`"category: reason"` of what the SDK dropped."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep an envelope."""
        self.envelopes.append(envelope.serialize())

    def record_lost_event(self, reason: str, data_category: Any = None, item: Any = None, *, quantity: int = 1) -> None:
        """Note that something was dropped."""
        self.lost.append(f"{item.data_category if item is not None else data_category}: {reason}")


class SendingKeeper(HttpTransport):
    """Keeps envelopes, and sends them.

    Args:
        options: The options of the client.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.envelopes: list[bytes] = []
        """The envelopes, serialized, in the order in which they left."""
        self.lost: list[str] = []
        """Why envelopes did not arrive."""

    def capture_envelope(self, envelope: Envelope) -> None:
        """Keep an envelope, and queue it for sending."""
        self.envelopes.append(envelope.serialize())
        super().capture_envelope(envelope)

    def on_dropped_event(self, reason: str) -> None:
        """Note that an envelope did not arrive."""
        self.lost.append(reason)
