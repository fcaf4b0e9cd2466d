"""Spotlight: Sentry's viewer for one's own machine, which takes what the SDK sends and tells what it has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.node import install, running

HERE = Path(__file__).parent
PACKAGE = "@spotlightjs/spotlight"


@pytest.fixture(scope="session")
def spotlight() -> Iterator[str]:
    """The URL at which a running Spotlight takes envelopes, and tells of them."""
    start = HERE / "node_modules" / PACKAGE / "dist" / "run.js"
    command = [install(HERE, [PACKAGE, "hono"]), "--require", str(HERE / "loopback.cjs"), str(start)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SENTRY_", "SPOTLIGHT_"))}
    # Spotlight reports its own doings to its makers. That report ends here.
    environment |= {"https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    with running([*command, "server", "--port", "0"], HERE, environment, r"listening on (\d+)") as port:
        yield f"http://127.0.0.1:{port}/stream"
