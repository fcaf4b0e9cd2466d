"""What a check says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check says, on one line."""

    name: str
    """The check's name, which stays the same from release to release."""
    level: Level
    told: str
    """What was found, a sentence without its full stop."""
    remedy: str | None = None
    """How to mend it, in whole sentences; with `ok`, how to have it otherwise."""


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """0, or 1 if a check failed; when strict, warnings count as failures."""
    failures = {"fail", "warning"} if strict else {"fail"}
    return int(any(finding.level in failures for finding in findings))


def said(error: BaseException) -> str:
    """An exception on one line, cut where it gets long."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:300]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
