"""Mutation tests of the modules without a library in them, by mutmut: how many small changes some test notices.

    make mutation                        every module
    make mutation ARGS="_runs.usage _content"   some of them

What is mutated and which tests run is set in `pyproject.toml`; what survives is explained in `docs/mutation.md`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable

PACKAGE = "sentry_langchain_stream"
VERDICTS = ("killed", "timeout", "survived", "no tests", "not checked")
"""What mutmut says of a mutant. One that runs for too long is noticed too."""

_LINE = re.compile(rf"\s*({PACKAGE}\.([\w.]+)\.[^\s.]+): (.+?)\s*")


def count(lines: Iterable[str]) -> tuple[dict[str, Counter[str]], list[str]]:
    """How many mutants of each module got which verdict, and the names of those that nobody has noticed.

    Args:
        lines: What `mutmut results --all true` prints.
    """
    modules: defaultdict[str, Counter[str]] = defaultdict(Counter)
    left: list[str] = []
    for found in map(_LINE.fullmatch, lines):
        if found is not None:
            mutant, module, verdict = found.groups()
            modules[module][verdict] += 1
            if verdict in ("survived", "no tests"):
                left.append(mutant)
    return dict(sorted(modules.items())), left


def main(wanted: Iterable[str]) -> int:
    """Run mutmut on these modules, or on all of them, and print the table of the report."""
    mutmut = [sys.executable, "-m", "mutmut"]
    env = {**os.environ, "HYPOTHESIS_PROFILE": "mutation"}
    ran = subprocess.run([*mutmut, "run", *(f"{PACKAGE}.{module}.*" for module in wanted)], env=env, check=False)
    told = subprocess.run([*mutmut, "results", "--all", "true"], capture_output=True, text=True, check=True)
    modules, left = count(told.stdout.splitlines())
    print("\n".join(("", *left, "", f"| module | {' | '.join(VERDICTS)} | total |", f"|---|{'---:|' * 6}")))
    for module, verdicts in modules.items():
        if sum(verdicts.values()) > verdicts["not checked"]:
            counts = " | ".join(str(verdicts[verdict]) for verdict in VERDICTS)
            print(f"| `{module}` | {counts} | {sum(verdicts.values())} |")
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
