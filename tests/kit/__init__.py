"""What the tests share: models, applications, ways to run them, servers, and ways to look at what is sent."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
"""The root of the checkout."""

HANG = 600.0
"""Seconds after which something hangs: a process, a thread, an answer. Nothing is ever expected to take that long."""


def lean_environment(*folders: Path) -> dict[str, str]:
    """The environment of a process that has these folders on its path, and in which Sentry finds few packages."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*folders, REPOSITORY / "tests" / "kit" / "site")))}
