"""The input of the checks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from .made import Made
from .own_chain import OwnRun
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
    made: Made = field(default_factory=Made)
    """What the application has made."""
    own: OwnRun | None = None
    """The result of the probe through the application's own chain; `None` if `--app` named none, or it did not run."""
    app: bool = False
    """Whether `--app` was given."""
    expects_content: bool = False
    """Whether prompts and answers are expected in Sentry (`--expect-content`)."""
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    installed: Callable[[str], str | None] = installed
    """Returns the version of an installed distribution, or `None`."""
