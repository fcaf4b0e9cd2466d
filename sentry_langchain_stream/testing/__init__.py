"""Test tools: capture the spans that would be sent, and show them as a tree or a timeline."""

from .capture import Captured, capture_spans
from .envelopes import CapturedSpan

__all__ = ["Captured", "CapturedSpan", "capture_spans"]
