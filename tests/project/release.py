"""Whether this commit may be released under a tag: `python -m tests.project.release v0.1.0`.

Prints what the changelog says of the version, which is the text of the release, or why it may not be released. Needs
nothing but Python. The workflow `release.yml` runs it before it builds.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\] - (?P<date>\S+)$", re.MULTILINE)
SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The headings that Keep a Changelog allows."""


def version(root: Path = ROOT) -> str:
    """The version of the package, from the one place where it is written."""
    text = (root / "sentry_langchain_stream" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    return str(found)


def entries(changelog: str) -> dict[str, tuple[str, str]]:
    """Date and text of each version of a changelog, the newest first."""
    found = list(HEADING.finditer(changelog))
    ends = [each.start() for each in found[1:]] + [len(changelog)]
    return {
        each["version"]: (each["date"], changelog[each.end() : end].strip())
        for each, end in zip(found, ends, strict=True)
    }


def faults(changelog: str) -> Iterator[str]:
    """What is wrong with a changelog, whether or not there is a release."""
    known = entries(changelog)
    titles = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    if len(titles) != len(known):
        yield "the changelog has a heading that is not `## [version] - date`, or a version twice"
    numbers = [tuple(map(int, each.split("."))) for each in known if re.fullmatch(r"\d+\.\d+\.\d+", each)]
    if len(numbers) != len(known) or numbers != sorted(numbers, reverse=True):
        yield "the changelog's versions are not numbers like 1.2.3 from the newest to the oldest"
    for number, (date, text) in known.items():
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", date) and (date, number) != ("Unreleased", next(iter(known))):
            yield f"the changelog's date of {number} is {date}: only the newest may be Unreleased"
        if not re.search(r"^- ", text, re.MULTILINE):
            yield f"the changelog says nothing of {number}"
        for title in re.findall(r"^### (.*)$", text, re.MULTILINE):
            if title not in SECTIONS:
                yield f"the changelog's section {title!r} of {number} is not one of {', '.join(SECTIONS)}"


def reasons(tag: str, root: Path = ROOT) -> Iterator[str]:
    """Why this commit may not be released under the tag."""
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    number = version(root)
    if tag != f"v{number}":
        yield f"the tag is {tag}, and the package's version is {number}"
    yield from faults(changelog)
    date, _ = entries(changelog).get(number, ("", ""))
    if not date:
        yield f"the changelog has no entry of {number}"
    elif date == "Unreleased":
        yield f"the changelog has no date for {number}"
    if "not on PyPI yet" in (root / "README.md").read_text(encoding="utf-8"):
        yield 'the README says "not on PyPI yet": let it say `pip install "sentry-langchain-stream[openai]"`'
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    if not os.environ.get("PROJECT_REPOSITORY") and not re.search(r'^repository = "https://', project, re.MULTILINE):
        yield "there is no public address: set `repository` in pyproject.toml, or PROJECT_REPOSITORY"


def main(tag: str, root: Path = ROOT) -> int:
    """Print the text of the release and return 0, or print why there may be none and return 1."""
    found = list(reasons(tag, root))
    for each in found:
        print(f"not released: {each}", file=sys.stderr)
    if not found:
        print(entries((root / "CHANGELOG.md").read_text(encoding="utf-8"))[version(root)][1])
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
