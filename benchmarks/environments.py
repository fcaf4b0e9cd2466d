"""An environment per contestant, made once with uv below `.cache/bench`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .contestants import CONTESTANTS, SHARED

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "bench"
QUIET = {"PYTHONWARNINGS": "ignore", "LANGSMITH_TRACING": "false"}
"""Environment variables of a contestant's process."""


def prepare(names: frozenset[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Make the environments of these contestants.

    Those that cannot have the versions of LangChain that this package's has are left out: they would not be compared
    with the same thing.

    Returns:
        The interpreter of each environment, and why those that are missing could not be made.
    """
    wanted = {each.environment: each.requirements for each in CONTESTANTS if each.name in names}
    own = next(each for each in CONTESTANTS if each.name == "own")
    made: dict[str, Path] = {}
    missing: dict[str, str] = {}
    pinned: list[str] = list(SHARED)
    for name, requirements in {own.environment: own.requirements, **wanted}.items():
        python, problem = _make(name, [*requirements, *pinned])
        if problem is not None:
            missing[name] = problem
            continue
        made[name] = python
        if name == own.environment:
            found = versions(python)
            pinned = [f"{each}=={found[each]}" for each in SHARED]
    return made, missing


def versions(python: Path) -> dict[str, str]:
    """What is installed beside an interpreter."""
    listed = subprocess.run(
        [_uv(), "pip", "list", "--quiet", "--format", "json", "--python", python], capture_output=True, check=True
    )
    return {each["name"]: each["version"] for each in json.loads(listed.stdout)}


def told_versions(made: Mapping[str, Path]) -> dict[str, str]:
    """The versions that a reader wants to know: LangChain's, and the contestants' own packages."""
    asked = {*SHARED, "sentry-sdk", "sentry-langchain-stream", "opentelemetry-sdk"}
    asked |= {requirement for each in CONTESTANTS for requirement in each.requirements}
    return {
        name: version for python in made.values() for name, version in sorted(versions(python).items()) if name in asked
    }


def _make(name: str, requirements: list[str]) -> tuple[Path, str | None]:
    folder = CACHE / name
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp = folder / "requirements.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == requirements:
        return python, None
    print(f"installing {name}", file=sys.stderr)
    commands: tuple[list[str | Path], ...] = (
        [_uv(), "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder],
        [_uv(), "pip", "install", "--quiet", "--upgrade", "--python", python, *requirements],
    )
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            return python, _first_line(done.stderr)
    stamp.write_text(json.dumps(requirements))
    return python, None


def _first_line(text: str) -> str:
    lines = [line.strip(" ×╰─▶│") for line in text.splitlines()]
    return " ".join(line for line in lines if line)[:300] or "uv failed"


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv") or "uv"
