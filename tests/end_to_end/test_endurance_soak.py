"""The soak in its small form: see `tests/soak`."""

from __future__ import annotations

import subprocess
import sys

from tests.kit import HANG, REPOSITORY, lean_environment
from tests.kit.absent import needs


@needs("langgraph")
def test_the_soak_ends_with_the_numbers_that_it_began_with() -> None:
    """Streams with every ending, in threads and loops: each model call is told once, as it ended, and nothing stays."""
    command = [sys.executable, "-m", "tests.soak", "--streams", "600"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=lean_environment(), capture_output=True, text=True, timeout=HANG, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
