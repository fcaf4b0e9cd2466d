"""Runs the unit tests of LangChain and LangGraph, from their sdists, with and without the handler, and compares.

    make transparency
    make transparency ARGS="--suite langgraph --way hook -- -k interrupt"   some of it, with arguments for pytest

The sdists are those of the installed versions. They, and environments with what their tests need, go to `.cache`.
Exits with 1 if a test has another outcome with the handler, has it again when it runs alone, and is not explained;
or if the handler has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from tests.transparency.comparison import Report, differences, faults, lasts, new_warnings

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
CACHE = PROJECT / ".cache" / "transparency"

PINNED = ("langchain-core", "langgraph", "langgraph-checkpoint", "langgraph-prebuilt", "sentry-sdk")
NEEDED = (
    "blockbuster>=1.5.18,<1.6",
    "langchain-tests>=1.1.9,<2",
    "pytest-asyncio>=1.3,<2",
    "pytest-benchmark",
    "pytest-mock>=3.10",
    "pytest-socket>=0.7,<0.9",
    "pytest>=9.0.3,<10",
    "syrupy>=5,<6",
)
"""What the suites' own groups of test dependencies name. What starts or needs a service is left out."""

RERUNS = 3
"""How often a test that differs is run again by itself, with and without the handler."""

WAYS = ("integration", "streamed", "hook")
"""How the handler is attached, see `attached`."""


@dataclass(frozen=True)
class Suite:
    """A distribution whose sdist has its unit tests."""

    name: str
    folder: str
    needed: tuple[str, ...]
    """What it needs besides `NEEDED`."""

    arguments: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def venv(self) -> Path:
        """An environment of its own: langchain-core's tests fail where langchain is installed."""
        return CACHE / f"venv-{self.name}"

    @property
    def python(self) -> Path:
        """The interpreter in that environment."""
        return self.venv / "bin" / "python"


_NO_NETWORK = ("--disable-socket", "--allow-unix-socket")
_NO_SERVICES = {"NO_DOCKER": "true"}
_CHECKPOINTS = ("langgraph-checkpoint-postgres", "langgraph-checkpoint-sqlite", "psycopg[binary]", "redis")

SUITES = {
    suite.name: suite
    for suite in (
        Suite(
            "langchain-core",
            "tests/unit_tests",
            ("freezegun>=1.2.2,<2", "grandalf>=0.8,<1", "numpy", "pytest-codspeed", "responses>=0.25,<1"),
            _NO_NETWORK,
        ),
        Suite(
            "langchain",
            "tests/unit_tests",
            (f"langchain=={version('langchain')}", "fastmcp", "langchain-openai", "toml"),
            _NO_NETWORK,
        ),
        Suite("langgraph-prebuilt", "tests", _CHECKPOINTS, environment=_NO_SERVICES),
        Suite(
            "langgraph",
            "tests",
            (*_CHECKPOINTS, "httpx", "langgraph-cli", "pycryptodome", "pytest-repeat", "uvloop"),
            environment=_NO_SERVICES,
        ),
    )
}


def prepare(suite: Suite) -> None:
    """Make a suite's environment, with the versions that are installed here."""
    uv = [str(Path(sys.executable).parent / "uv")]
    if not suite.python.exists():
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, str(suite.venv)], check=True)
    pinned = [f"{name}=={version(name)}" for name in PINNED]
    install = [*uv, "pip", "install", "--quiet", "--python", str(suite.python), "--editable", str(PROJECT)]
    subprocess.run([*install, *pinned, *NEEDED, *suite.needed], check=True)


def unpacked(suite: Suite) -> Path:
    """The folder of a suite's sdist, which is downloaded once."""
    name = f"{suite.name.replace('-', '_')}-{version(suite.name)}"
    if not (CACHE / name).exists():
        wanted = ["--no-deps", "--no-binary", suite.name, f"{suite.name}=={version(suite.name)}"]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "-d", str(CACHE), *wanted], check=True)
        with tarfile.open(CACHE / f"{name}.tar.gz") as archive:
            archive.extractall(CACHE, filter="data")
    return CACHE / name


def run(
    folder: Path,
    way: str,
    arguments: list[str],
    *,
    to: Path,
    python: Path,
    environment: dict[str, str] | None = None,
    limit: float = 3600,
) -> Report:
    """Run the tests of a folder in a process of its own.

    Args:
        folder: The working directory.
        way: How the handler is attached, or `""`.
        arguments: For pytest: what to run, and more.
        to: The file for the report; what pytest prints goes beside it.
        python: The interpreter.
        environment: Variables to set.
        limit: Seconds after which the process is ended.

    Raises:
        RuntimeError: pytest did not get to the end.
    """
    to.unlink(missing_ok=True)
    variables = {
        **os.environ,
        **(environment or {}),
        "PYTHONPATH": str(HERE),
        "TRANSPARENCY_WAY": way,
        "TRANSPARENCY_REPORT": str(to),
    }
    plugins = ["-p", "attached", "-p", "no:sentry_langchain_stream", "-p", "no:cacheprovider"]
    command = [str(python), "-m", "pytest", "-q", "--tb=short", *plugins, *arguments]
    log = to.with_suffix(".log")
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=folder, env=variables, stdout=output, stderr=output, check=False, timeout=limit
        )
    # 0: all passed, 1: some failed. With any other number tests are missing.
    if done.returncode not in (0, 1) or not to.exists():
        raise RuntimeError(f"pytest ended with {done.returncode}, see {log}")
    return Report(**json.loads(to.read_text()))


def compare(suite: Suite, ways: list[str], arguments: list[str], limit: float) -> int:
    """Run a suite without the handler and in each way, print what differs, and return how much is not explained."""
    prepare(suite)
    folder = unpacked(suite)

    def outcome(way: str, wanted: list[str], name: str) -> Report:
        to = CACHE / f"{suite.name}-{name}.json"
        options = [*suite.arguments, *wanted]
        return run(folder, way, options, to=to, python=suite.python, environment=suite.environment, limit=limit)

    def say(title: str, text: object) -> None:
        print(f"  {title:12} {text}", flush=True)

    print(f"\n{suite.name} {version(suite.name)}, sentry-sdk {version('sentry-sdk')}, Python {sys.version.split()[0]}")
    without = outcome("", [suite.folder, *arguments], "without")
    say("without", f"{without.counts} in {without.seconds:.0f} s")
    unexplained = 0
    for way in ways:
        attached = outcome(way, [suite.folder, *arguments], way)
        say(way, f"{attached.counts} in {attached.seconds:.0f} s, sent {attached.sent}")
        wrong = faults(without, attached)
        for fault in wrong:
            say("  FAULT", fault)
        for warning in new_warnings(without, attached):
            say("  warning", warning)
        unexplained += len(wrong)
        for each in differences(suite.name, without, attached):
            verdict = "explained" if each.why else "chance"
            if not each.why:
                alone = [
                    (
                        outcome("", [each.test], "again").outcomes.get(each.test),
                        outcome(way, [each.test], "again").outcomes.get(each.test),
                    )
                    for _ in range(RERUNS)
                ]
                if lasts(each, alone):
                    verdict = "DIFFERS"
                    unexplained += 1
            say(f"  {verdict}", f"{each.test}: {each.without} -> {each.attached}")
            say("", each.why or (each.cause.splitlines() or ["?"])[0][:200])
    return unexplained


def main() -> int:
    """Compare the suites."""
    parser = argparse.ArgumentParser(
        prog="make transparency", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--suite", choices=sorted(SUITES), action="append", help="only this one; may be repeated")
    parser.add_argument("--way", choices=WAYS, action="append", help="only this way to attach; may be repeated")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for one run of a suite")
    parser.add_argument("arguments", nargs="*", help="for pytest, after --")
    options = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    ways = options.way or list(WAYS)
    unexplained = sum(
        compare(SUITES[name], ways, options.arguments, options.limit) for name in options.suite or list(SUITES)
    )
    print(f"\n{unexplained} differences are not explained" if unexplained else "\nevery difference is explained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
