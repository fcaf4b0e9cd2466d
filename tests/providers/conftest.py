"""aimock: a server that nobody here wrote, and that speaks the wire formats of the providers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.node import install, running

HERE = Path(__file__).parent
PACKAGE = "@copilotkit/aimock"


@pytest.fixture(scope="session")
def aimock() -> Iterator[str]:
    """The server's base URL, without a trailing slash."""
    start = HERE / "node_modules" / PACKAGE / "dist" / "cli.js"
    command = [install(HERE, [PACKAGE]), str(start), "--port", "0", "--fixtures", str(HERE / "fixtures")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIMOCK_")}
    with running(
        [*command, "--strict", "--validate-on-load"], HERE, environment, r"listening on (http://\S+?)/?(\s|$)"
    ) as url:
        yield url
