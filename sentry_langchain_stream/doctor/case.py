"""What the checks look at."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from .probe import Probe


def installed(distribution: str) -> str | None:
    """The version of an installed distribution, or `None`."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class Case:
    """What the checks look at."""

    client: Any
    """The application's Sentry client, which is the active one; or, if there is none, the SDK's stand-in."""
    probe: Probe | None = None
    """What became of the probe; `None` if it could not run, because nothing would have been recorded."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    installed: Callable[[str], str | None] = installed
    """The version of an installed distribution, or `None`."""
