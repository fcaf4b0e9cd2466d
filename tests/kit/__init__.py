"""What the tests share: models, applications, ways to run them, servers, and ways to look at what is sent."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
"""The root of the checkout."""
