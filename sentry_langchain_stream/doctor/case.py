"""The input of the checks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from .probe import Probe


def installed(distribution: str) -> str | None:
    """Return the version of an installed distribution, or `None`."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Case:
    """The input of the checks."""

    client: Any
    """The active Sentry client. If there is none, the SDK's placeholder for it."""
    probe: Probe | None = None
    """The result of the probe; `None` if it did not run, because nothing would have been recorded."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    installed: Callable[[str], str | None] = installed
    """Returns the version of an installed distribution, or `None`."""
