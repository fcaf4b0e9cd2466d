"""What is remembered of attempts that failed is bounded."""

from __future__ import annotations

import pytest

from sentry_langchain_stream._runs import attempts
from sentry_langchain_stream._runs.run import Run
from tests.kit.helpers import run_of


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run whose children's failures are remembered, two at the most."""
    monkeypatch.setattr(attempts, "_MOST", 2)
    return run_of()


def test_the_attempts_at_one_work_are_bounded(parent: Run) -> None:
    """However often the same work fails, as few failures as are allowed are remembered."""
    run = run_of(kind="tool", work="a")
    for _ in range(5):
        attempts.note(run, parent)
    assert [len(failed) for failed in parent.failed_attempts.values()] == [2]


def test_the_works_that_failed_are_bounded(parent: Run) -> None:
    """Where very many works fail, those before are forgotten, and the latest is counted as an attempt."""
    latest = run_of(kind="tool", work="c")
    for run in (run_of(kind="tool", work="a"), run_of(kind="tool", work="b"), latest):
        attempts.note(run, parent)
    assert [*parent.failed_attempts] == ["c"]
    assert attempts.count(latest, parent) == (2, None)


def test_a_work_that_is_known_forgets_no_other(parent: Run) -> None:
    """A further failure of a work that is remembered already leaves all others remembered."""
    for work in ("a", "b", "b"):
        attempts.note(run_of(kind="tool", work=work), parent)
    assert {work: len(failed) for work, failed in parent.failed_attempts.items()} == {"a": 1, "b": 2}
