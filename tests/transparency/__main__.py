"""Runs the unit tests of langchain-core and langgraph, from their sdists, with and without the handler, and compares.

    make transparency
    make transparency ARGS="--suite langgraph -- -k interrupt"   one suite, with arguments for pytest

The sdists are those of the installed versions. They, and an environment with what their tests need, go to `.cache`.
Exits with 1 if a test has another outcome with the handler, and has it again when it runs alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CACHE = PROJECT / ".cache" / "transparency"
PYTHON = CACHE / "venv" / "bin" / "python"

PINNED = ("langchain-core", "langgraph", "langgraph-checkpoint", "langgraph-prebuilt", "sentry-sdk")
NEEDED = (
    "blockbuster>=1.5.18,<1.6",
    "freezegun>=1.2.2,<2",
    "grandalf>=0.8,<1",
    "httpx",
    "langchain-tests>=1.1.9,<2",
    "langgraph-checkpoint-postgres",
    "langgraph-checkpoint-sqlite",
    "langgraph-cli",
    "numpy",
    "psycopg[binary]",
    "pycryptodome",
    "pytest-asyncio>=1.3,<2",
    "pytest-benchmark",
    "pytest-codspeed",
    "pytest-mock>=3.10",
    "pytest-repeat",
    "pytest-socket>=0.7,<0.9",
    "pytest>=9.0.3,<10",
    "redis",
    "responses>=0.25,<1",
    "syrupy>=5,<6",
    "uvloop",
)
"""What the suites' own groups of test dependencies name, without what starts or needs a service."""

RERUNS = 3
"""How often a test that differs is run again by itself, with and without the handler."""


@dataclass(frozen=True)
class Suite:
    """A distribution whose sdist has its unit tests."""

    name: str
    folder: str
    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


SUITES = {
    suite.name: suite
    for suite in (
        Suite("langchain-core", "tests/unit_tests", ("--disable-socket", "--allow-unix-socket")),
        Suite("langgraph", "tests", environment={"NO_DOCKER": "true"}),
    )
}


def prepare() -> None:
    """Make the environment, with the versions that are installed here."""
    uv = [str(Path(sys.executable).parent / "uv")]
    if not PYTHON.exists():
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(CACHE / "venv")], check=True)
    pinned = [f"{name}=={version(name)}" for name in PINNED]
    install = [*uv, "pip", "install", "--quiet", "--python", str(PYTHON), "--editable", str(PROJECT)]
    subprocess.run([*install, *pinned, *NEEDED], check=True)


def unpacked(suite: Suite) -> Path:
    """The folder of a suite's sdist, which is downloaded once."""
    name = f"{suite.name.replace('-', '_')}-{version(suite.name)}"
    if not (CACHE / name).exists():
        wanted = ["--no-deps", "--no-binary", suite.name, f"{suite.name}=={version(suite.name)}"]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "-d", str(CACHE), *wanted], check=True)
        with tarfile.open(CACHE / f"{name}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    return CACHE / name


def run(suite: Suite, handler: bool, arguments: list[str], limit: float) -> dict[str, Any]:
    """Run a suite in a process of its own, and return the plugin's report.

    Args:
        suite: Which one.
        handler: Whether the handler is attached to every run.
        arguments: For pytest, in place of the suite's folder if one of them is a test's id.
        limit: Seconds after which the process is ended.

    Raises:
        RuntimeError: The process has written no report.
    """
    report = CACHE / f"{suite.name}-{'with' if handler else 'without'}.json"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        **suite.environment,
        "PYTHONPATH": str(HERE),
        "TRANSPARENCY_HANDLER": str(int(handler)),
        "TRANSPARENCY_REPORT": str(report),
    }
    plugins = ["-p", "attached", "-p", "no:sentry_langchain_stream", "-p", "no:cacheprovider"]
    command = [str(PYTHON), "-m", "pytest", "-q", "--tb=short", *plugins, *suite.arguments, *arguments]
    log = report.with_suffix(".log")
    with log.open("w") as output:
        subprocess.run(
            command, cwd=unpacked(suite), env=environment, stdout=output, stderr=output, check=False, timeout=limit
        )
    if not report.exists():
        raise RuntimeError(f"pytest wrote no report, see {log}")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def differing(without: dict[str, str], attached: dict[str, str]) -> list[str]:
    """The ids of the tests that have another outcome with the handler, or ran on one side only."""
    return sorted(test for test in without.keys() | attached.keys() if without.get(test) != attached.get(test))


def compare(suite: Suite, arguments: list[str], limit: float) -> int:
    """Run a suite both ways, print what differs, and return how many tests differ again when they run alone."""
    wanted = [suite.folder, *arguments]
    without = run(suite, False, wanted, limit)
    attached = run(suite, True, wanted, limit)
    print(f"\n{suite.name} {version(suite.name)}, Python {sys.version.split()[0]}")
    for title, report in (("without", without), ("with", attached)):
        print(f"  {title:8}", dict(Counter(report["outcomes"].values())))
    print("  sent    ", attached["sent"], "live at the end:", attached["live"])
    for message in attached["contained"]:
        print("  logged  ", message)
    lasting = 0
    for test in differing(without["outcomes"], attached["outcomes"]):
        again = [
            (
                run(suite, False, [test], limit)["outcomes"].get(test),
                run(suite, True, [test], limit)["outcomes"].get(test),
            )
            for _ in range(RERUNS)
        ]
        lasts = any(first != second for first, second in again)
        lasting += lasts
        print(f"  {'DIFFERS' if lasts else 'chance '}  {test}")
        print(f"           {without['outcomes'].get(test)} -> {attached['outcomes'].get(test)}, alone: {again}")
        print(f"           {attached['causes'].get(test) or without['causes'].get(test)}")
    return lasting


def main() -> int:
    """Compare the suites."""
    parser = argparse.ArgumentParser(
        prog="make transparency", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--suite", choices=sorted(SUITES), action="append", help="only this one; may be repeated")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for one run of a suite")
    parser.add_argument("arguments", nargs="*", help="for pytest, after --")
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    prepare()
    lasting = sum(compare(SUITES[name], options.arguments, options.limit) for name in options.suite or SUITES)
    print(f"\n{lasting} tests differ" if lasting else "\nno test differs")
    return 1 if lasting else 0


if __name__ == "__main__":
    sys.exit(main())
