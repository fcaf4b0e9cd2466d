"""No handler: what LangChain costs by itself."""

from __future__ import annotations

from . import Adapter, Sink


def setup(sink: Sink, variant: str) -> Adapter:
    """Nothing to set up."""
    return Adapter()
