"""What is remembered of the spans that the application makes active inside runs is bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sentry_langchain_stream._to_sentry.seen_spans import SeenSpans


def inside(number: int, is_live: bool = True) -> Any:
    """The code of a run, whose span is active there."""
    return SimpleNamespace(
        key=number, is_live=lambda: is_live, is_ours=True, span=SimpleNamespace(span_id=f"run {number}")
    )


def test_the_latest_spans_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many spans that were opened in runs, and of these runs' own, the latest are remembered."""
    monkeypatch.setattr(SeenSpans, "_MOST", 2)
    seen = SeenSpans()
    for number in range(5):
        seen.add(None, f"opened {number}", inside(number))
    assert [*seen.opened] == ["opened 3", "opened 4"]
    assert [*seen.bases] == ["run 3", "run 4"]


def test_what_ended_runs_have_left_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there are many runs with a span of their own, those that have ended are forgotten, and no live one is."""
    monkeypatch.setattr(SeenSpans, "_MANY", 3)
    seen = SeenSpans()
    for number, is_live in enumerate((True, False, True)):
        seen.add(None, None, inside(number, is_live))
    assert [*seen.own] == [0, 1, 2]
    seen.add(None, None, inside(3))
    assert [*seen.own] == [0, 2, 3]
