"""What the tests share: models, applications, ways to run them, servers, and ways to look at what is sent."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
"""The root of the checkout."""

HANG = 600.0
"""Seconds after which something hangs: a process, a thread, an answer. Nothing is ever expected to take that long."""
