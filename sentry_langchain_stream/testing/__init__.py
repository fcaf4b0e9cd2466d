"""TBD."""

from .capture import Captured, capture_spans
from .envelopes import CapturedSpan

__all__ = ["Captured", "CapturedSpan", "capture_spans"]
