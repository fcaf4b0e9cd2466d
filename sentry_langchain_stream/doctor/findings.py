"""The result of a check."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "fail", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check, printed on one line."""

    name: str
    """The name of the check. It does not change from release to release."""
    level: Level
    """`skipped`: not checked, because of what another finding reports."""
    found: str
    """What was found: a sentence without its full stop."""
    remedy: str | None = None
    """How to fix it, in whole sentences. With level `ok`: how to change it."""


def exit_code(findings: Iterable[Finding], *, strict: bool) -> int:
    """Return 1 if a check failed, else 0. With `strict`, a warning counts as a failure."""
    failures = {"fail", "warning"} if strict else {"fail"}
    return int(any(finding.level in failures for finding in findings))


def error_text(error: BaseException) -> str:
    """Return an exception on one line, its message cut to 300 characters."""
    text = " ".join(str(error).split())
    text = text if len(text) <= 300 else f"{text[:300]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
