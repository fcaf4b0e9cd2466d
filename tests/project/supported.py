"""The supported range as it was really run: from the results of `make matrix` to the tables of the documentation.

`python -m tests.project.supported` prints a line per cell that was run. Those that ran the whole suite it keeps in
`docs/supported.json`, from which it writes the tables of `docs/supported.md`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.kit import REPOSITORY

RESULTS = REPOSITORY / ".cache" / "matrix"
"""For each cell that was run `<cell>.json`, with the versions, and pytest's `<cell>.xml`."""
KEPT = REPOSITORY / "docs" / "supported.json"
PAGE = REPOSITORY / "docs" / "supported.md"

_COLUMNS = ("python", "sentry-sdk", "langchain-core", "langchain", "langgraph")


@dataclass(frozen=True)
class Cell:
    """What came of the suite with one set of versions."""

    name: str
    """Such as `oldest-3.10`."""
    versions: dict[str, str | None]
    """Of Python and of the packages; `None` is not installed."""
    passed: int
    failed: int
    skipped: int
    seconds: int
    on: str
    """The day, such as `2026-11-30`."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why tests were skipped, and how many."""

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items() if version is not None)
        counts = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped, {self.seconds} s"
        return f"{self.name:<12}  {counts:<52}  {versions}"


def read(folder: Path) -> dict[str, tuple[Cell, bool]]:
    """The cells whose results are there, and whether each ran the whole suite, by name."""
    found = {}
    for about in sorted(folder.glob("*.json")):
        told = json.loads(about.read_text(encoding="utf-8"))
        report = about.with_suffix(".xml")
        if not report.exists():
            print(f"{about.stem:<12}  did not come to its end")
            continue
        found[about.stem] = _cell(about.stem, told["versions"], ElementTree.parse(report)), told["whole"]
    return found


def _cell(name: str, versions: dict[str, str | None], report: Any) -> Cell:
    suites = list(report.iter("testsuite"))
    counts = {
        each: sum(int(suite.get(each)) for suite in suites) for each in ("tests", "failures", "errors", "skipped")
    }
    failed = counts["failures"] + counts["errors"]
    return Cell(
        name=name,
        versions=versions,
        passed=counts["tests"] - failed - counts["skipped"],
        failed=failed,
        skipped=counts["skipped"],
        seconds=round(sum(float(suite.get("time")) for suite in suites)),
        on=min(suite.get("timestamp") for suite in suites)[:10],
        reasons=dict(Counter(_reason(each) for each in report.iter("skipped")).most_common()),
    )


def _reason(skipped: Any) -> str:
    """Why a test was skipped, without the files of this machine; for a whole file pytest tells it last, after where."""
    message = skipped.get("message") or ""
    if message == "collection skipped":
        message = (skipped.text or "").rpartition("Skipped: ")[2].rstrip("')")
    return " ".join(_FILE.sub("", message).split())


_FILE = re.compile(r"\((?:/|[A-Z]:\\)[^)]*\)?")
"""What an import error says of where the module is."""


def kept() -> list[Cell]:
    """The cells of which the documentation tells."""
    return [Cell(**each) for each in json.loads(KEPT.read_text(encoding="utf-8"))] if KEPT.exists() else []


def table(cells: list[Cell]) -> str:
    """The cells as a table in Markdown."""
    if not cells:
        return "The suite has not been run over these versions yet."
    head = "| Python | sentry-sdk | langchain-core | langchain | langgraph | passed | failed | skipped | on |"
    lines = [head, f"|{'---|' * 9}"]
    for cell in cells:
        versions = [cell.versions.get(each) or "none" for each in _COLUMNS]
        lines.append(f"| {' | '.join(versions)} | {cell.passed:,} | {cell.failed:,} | {cell.skipped:,} | {cell.on} |")
    return "\n".join(lines)


def skips(cells: list[Cell]) -> str:
    """Why tests are skipped, and in which cell how many, as a table in Markdown."""
    if not cells:
        return table(cells)
    reasons = sorted({reason for cell in cells for reason in cell.reasons})
    lines = [f"| why | {' | '.join(cell.name for cell in cells)} |", f"|{'---|' * (len(cells) + 1)}"]
    lines += [f"| {why} | {' | '.join(str(cell.reasons.get(why, '')) for cell in cells)} |" for why in reasons]
    return "\n".join(lines)


def written(text: str, name: str, made: str) -> str:
    """A page in which what stands between the marks of this name is what was made."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
    return re.sub(pattern, lambda _: f"{begin}{made}{end}", text, flags=re.DOTALL)


def pages(cells: list[Cell]) -> dict[Path, str]:
    """The page that has tables of these cells, as it should be."""
    text = written(PAGE.read_text(encoding="utf-8"), "supported", table(cells))
    return {PAGE: written(text, "skipped", skips(cells))}


def main() -> None:
    """Print what was run, and keep it."""
    found = read(RESULTS)
    print("\n" + "\n".join(str(cell) for cell, _ in found.values()))
    if not any(whole for _, whole in found.values()):
        return
    cells = {cell.name: cell for cell in kept()} | {name: cell for name, (cell, whole) in found.items() if whole}
    kinds = ("newest", "oldest", "bare")
    ordered = sorted(cells.values(), key=lambda cell: (kinds.index(cell.name.partition("-")[0]), cell.name))
    KEPT.write_text(json.dumps([asdict(cell) for cell in ordered], indent=2) + "\n", encoding="utf-8")
    for page, text in pages(ordered).items():
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
